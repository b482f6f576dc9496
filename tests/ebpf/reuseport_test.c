/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows which socket of a real reuseport group each kind of datagram arrives at,
 * over the loopback interface of the test's namespace, for IPv4 and for IPv6:
 * the kernel's test-run does not know this program type everywhere.
 */
#include "tests/ebpf/ebpf_test.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ebpf/steer_shared.h"
#include "reuseport.skel.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define PORT	    41641
#define WORKERS	    3
#define CONTROL	    WORKERS
#define GROUP	    (WORKERS + 1)
#define CPUS_MAX    1024
#define FLOWS	    64
#define WAIT_MS	    2000
#define SEGMENT_LEN 1200
#define SEGMENTS    40

struct group {
	int family;
	struct reuseport *skel;
	int fds[GROUP]; /* the workers', then causewayd's; -1 = closed */
};

static socklen_t loopback_addr(int family, uint16_t port, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (family == AF_INET) {
		struct sockaddr_in *in = (void *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	in6->sin6_addr = in6addr_loopback;
	return sizeof(*in6);
}

static int member_open(int family)
{
	struct sockaddr_storage ss;
	socklen_t len = loopback_addr(family, PORT, &ss);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&ss, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool group_add(struct group *g, int i)
{
	struct bpf_map *map = i == CONTROL ? g->skel->maps.control : g->skel->maps.workers;
	uint32_t key = i == CONTROL ? 0 : (uint32_t)i;
	uint64_t value;

	g->fds[i] = member_open(g->family);
	value = (uint64_t)g->fds[i];
	return g->fds[i] >= 0 && !bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY);
}

static bool group_open(struct group *g, int family)
{
	int prog;

	g->family = family;
	for (int i = 0; i < GROUP; i++)
		g->fds[i] = -1;
	g->skel = reuseport__open_and_load();
	if (!check(g->skel, "reuseport: load: %s", strerror(errno)))
		return false;
	g->skel->bss->worker_count = WORKERS;
	for (int i = 0; i < GROUP; i++)
		if (!check(group_add(g, i), "group member %d: %s", i, strerror(errno)))
			return false;
	prog = bpf_program__fd(g->skel->progs.choose_socket);
	return check(
		!setsockopt(g->fds[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &prog, sizeof(prog)),
		"attach: %s", strerror(errno));
}

static void member_close(struct group *g, int i)
{
	if (g->fds[i] >= 0)
		close(g->fds[i]);
	g->fds[i] = -1;
}

static void group_close(struct group *g)
{
	for (int i = 0; i < GROUP; i++)
		member_close(g, i);
	reuseport__destroy(g->skel);
}

static uint64_t count(struct group *g, enum reuseport_verdict verdict)
{
	int cpus = libbpf_num_possible_cpus();
	static uint64_t values[CPUS_MAX];
	uint64_t sum = 0;
	uint32_t key = verdict;

	if (cpus > CPUS_MAX ||
	    bpf_map_lookup_elem(bpf_map__fd(g->skel->maps.counters), &key, values))
		return 0;
	for (int c = 0; c < cpus; c++)
		sum += values[c];
	return sum;
}

static int client_open(int family)
{
	struct sockaddr_storage ss;
	socklen_t len = loopback_addr(family, PORT, &ss);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The member that something arrived at (which is then read away), or -1. */
static int arrived_at(struct group *g)
{
	static uint8_t buf[65536];
	struct pollfd p[GROUP];

	for (int i = 0; i < GROUP; i++)
		p[i] = (struct pollfd){.fd = g->fds[i], .events = POLLIN};
	if (poll(p, GROUP, WAIT_MS) <= 0)
		return -1;
	for (int i = 0; i < GROUP; i++) {
		if (!(p[i].revents & POLLIN))
			continue;
		while (recv(g->fds[i], buf, sizeof(buf), MSG_DONTWAIT) >= 0)
			;
		return i;
	}
	return -1;
}

static const uint8_t geneve[8] = {0x00, 0x00, 0x7a, 0x12, 0x00, 0x00, 0x2a, 0x00};

/* A message of the given type and length, within Geneve if asked; its whole length. */
static size_t message(uint8_t *buf, uint32_t type, size_t len, bool is_geneve)
{
	size_t head = is_geneve ? sizeof(geneve) : 0;

	memcpy(buf, geneve, head);
	for (size_t i = 0; i < len; i++)
		buf[head + i] = i < 4 ? (uint8_t)(type >> (8 * i)) : 0x55;
	return head + len;
}

static void test_kinds(struct group *g)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint16_t len;
		bool is_geneve, is_control_bit;
		enum reuseport_verdict verdict;
	} rows[] = {
		{"data", 4, 32, false, false, REUSEPORT_DATA},
		{"data, long", 4, 1452, false, false, REUSEPORT_DATA},
		{"data in Geneve", 4, 32, true, false, REUSEPORT_DATA_GENEVE},
		{"data of 31 bytes", 4, 31, false, false, REUSEPORT_CONTROL},
		{"data of 31 bytes in Geneve", 4, 31, true, false, REUSEPORT_CONTROL},
		{"type 1", 1, 148, false, false, REUSEPORT_CONTROL},
		{"type 2", 2, 92, false, false, REUSEPORT_CONTROL},
		{"type 3", 3, 64, false, false, REUSEPORT_CONTROL},
		{"type 1 in Geneve", 1, 148, true, false, REUSEPORT_CONTROL},
		{"Geneve with the O bit", 4, 32, true, true, REUSEPORT_CONTROL},
		{"type 0x00000104", 0x104, 32, false, false, REUSEPORT_CONTROL},
		{"one byte", 7, 1, false, false, REUSEPORT_CONTROL},
		{"empty", 0, 0, false, false, REUSEPORT_CONTROL},
		{"12 bytes", 4, 12, false, false, REUSEPORT_CONTROL},
	};
	int fd = client_open(g->family);
	uint8_t buf[2048];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = count(g, rows[i].verdict);
		size_t len = message(buf, rows[i].type, rows[i].len, rows[i].is_geneve);
		int at;

		if (rows[i].is_control_bit)
			buf[1] |= 0x80;
		send(fd, buf, len, 0);
		at = arrived_at(g);
		check(at >= 0 && (at == CONTROL) == (rows[i].verdict == REUSEPORT_CONTROL),
		      "family %d, %s: arrived at %d", g->family, rows[i].name, at);
		check(count(g, rows[i].verdict) == before + 1, "family %d, %s: not counted",
		      g->family, rows[i].name);
	}
	close(fd);
}

/* Sessions spread over all workers by their index, from wherever they come. */
static void test_spread(struct group *g)
{
	unsigned hits[GROUP] = {0};
	uint8_t buf[64];
	size_t len = message(buf, 4, 48, false);
	unsigned moved = 0;

	for (int flow = 0; flow < FLOWS; flow++) {
		int fd = client_open(g->family), first = -1;

		for (int n = 0; n < 3; n++) {
			int at;

			buf[4] = (uint8_t)flow;
			send(fd, buf, len, 0);
			at = arrived_at(g);
			if (n == 0)
				first = at;
			else if (at != first)
				moved++;
		}
		check(first == flow % WORKERS, "family %d: index %d at socket %d", g->family, flow,
		      first);
		if (first >= 0)
			hits[first]++;
		close(fd);
	}
	check(moved == 0, "family %d: %u datagrams left their session's worker", g->family, moved);
	check(hits[CONTROL] == 0, "family %d: %u flows at causewayd", g->family, hits[CONTROL]);
	for (int i = 0; i < WORKERS; i++)
		check(hits[i] > 0, "family %d: worker %d got none of %d flows", g->family, i,
		      FLOWS);
}

/* A super-packet, whose payload does not lie in the skb's linear part. */
static void test_segments(struct group *g)
{
	static uint8_t buf[SEGMENTS * SEGMENT_LEN];
	int fd = client_open(g->family), one = 1, segment = SEGMENT_LEN, at;

	for (int i = 0; i < GROUP; i++)
		setsockopt(g->fds[i], IPPROTO_UDP, UDP_GRO, &one, sizeof(one));
	for (int i = 0; i < SEGMENTS; i++)
		message(buf + i * SEGMENT_LEN, 4, SEGMENT_LEN, false);
	check(!setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) &&
		      send(fd, buf, sizeof(buf), 0) == (ssize_t)sizeof(buf),
	      "family %d: segmented send: %s", g->family, strerror(errno));
	at = arrived_at(g);
	check(at >= 0 && at != CONTROL, "family %d: super-packet of data arrived at %d", g->family,
	      at);
	for (int i = 0; i < SEGMENTS; i++)
		message(buf + i * SEGMENT_LEN, 1, SEGMENT_LEN, false);
	send(fd, buf, sizeof(buf), 0);
	at = arrived_at(g);
	check(at == CONTROL, "family %d: super-packet of others arrived at %d", g->family, at);
	close(fd);
}

/* Sockets go and come back one by one; nothing is lost. */
static void test_missing(struct group *g)
{
	int fd = client_open(g->family), at;
	uint8_t data[32], other[148];

	message(data, 4, sizeof(data), false);
	message(other, 1, sizeof(other), false);

	member_close(g, CONTROL);
	send(fd, other, sizeof(other), 0);
	at = arrived_at(g);
	check(at == 0, "family %d, no causewayd: arrived at %d", g->family, at);
	check(count(g, REUSEPORT_FALLBACK) == 1, "family %d, no causewayd: not counted", g->family);

	check(group_add(g, CONTROL), "family %d: causewayd's socket again: %s", g->family,
	      strerror(errno));
	send(fd, other, sizeof(other), 0);
	at = arrived_at(g);
	check(at == CONTROL, "family %d, causewayd is back: arrived at %d", g->family, at);

	for (int i = 0; i < WORKERS; i++)
		member_close(g, i);
	send(fd, data, sizeof(data), 0);
	at = arrived_at(g);
	check(at == CONTROL, "family %d, no workers: arrived at %d", g->family, at);
	check(count(g, REUSEPORT_NO_SOCKET) == 1, "family %d, no workers: not counted", g->family);
	close(fd);
}

void reuseport_test(void)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (int i = 0; i < 2; i++) {
		struct group g;

		if (group_open(&g, families[i])) {
			test_kinds(&g);
			test_spread(&g);
			test_segments(&g);
			test_missing(&g);
		}
		if (g.skel)
			group_close(&g);
	}
}
