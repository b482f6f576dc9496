/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the kernel port steers, receives, sends and carries real TCP and UDP between two TUNs.
 *
 * Everything happens in two network namespaces of this process, which go with
 * it: `a` (loopback, port a) and `b` (port b). Sockets stay in the namespace
 * that they were made in, so one process can hold both ends.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "dataplane/port/tun.h"
#include "dataplane/port/udp_uapi.h"
#include "dataplane/worker.h"
#include "lib/base/clock.h"

#define WORKERS	    2
#define SKIPPED	    77
#define WAIT_NS	    (2 * NS_PER_SEC)
#define BULK_BYTES  (32u << 20)
#define BULK_NS	    (30 * NS_PER_SEC)
#define FLOWS	    32
#define TYPE4_BYTES 200

enum { SOURCE_TUN, SOURCE_V4, SOURCE_V6 };

static struct port port_a, port_b;
static struct worker *workers[WORKERS];
static char err[PORT_ERROR_TEXT];

/* --- plumbing ------------------------------------------------------------ */

static void link_up(const char *name)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static void link_mtu(const char *name, int mtu)
{
	struct ifreq ifr = {.ifr_mtu = mtu};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &ifr), 0);
	close(fd);
}

/* 10.9.0.last/24 and fd09::last/64. */
static void link_address(const char *name, uint8_t last)
{
	struct {
		struct in6_addr addr;
		uint32_t prefix_len;
		int ifindex;
	} v6 = {.prefix_len = 64, .ifindex = (int)if_nametoindex(name)};
	struct ifreq ifr = {0};
	struct sockaddr_in *sin = (struct sockaddr_in *)&ifr.ifr_addr;
	int fd4 = socket(AF_INET, SOCK_DGRAM, 0), fd6 = socket(AF_INET6, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	sin->sin_family = AF_INET;
	sin->sin_addr.s_addr = htonl(0x0a090000u | last);
	assert_int_equal(ioctl(fd4, SIOCSIFADDR, &ifr), 0);
	sin->sin_addr.s_addr = htonl(0xffffff00u);
	assert_int_equal(ioctl(fd4, SIOCSIFNETMASK, &ifr), 0);
	inet_pton(AF_INET6, "fd09::", &v6.addr);
	v6.addr.s6_addr[15] = last;
	assert_int_equal(ioctl(fd6, SIOCSIFADDR, &v6), 0);
	close(fd4);
	close(fd6);
}

static void open_port(struct port *p, uint8_t index, const char *spec)
{
	struct port_env env = {.workers = WORKERS};

	*p = (struct port){.index = index, .ops = &port_kernel_ops};
	err[0] = '\0';
	if (p->ops->open(p, spec, &env, err))
		fail_msg("open %s: %s", spec, err);
}

static struct sockaddr_in6 address(int family, const char *text, uint16_t port, socklen_t *len)
{
	struct sockaddr_in6 ss = {.sin6_family = (sa_family_t)family, .sin6_port = htons(port)};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;

	*len = family == AF_INET ? sizeof(*v4) : sizeof(ss);
	if (family == AF_INET)
		assert_int_equal(inet_pton(family, text, &v4->sin_addr), 1);
	else
		assert_int_equal(inet_pton(family, text, &ss.sin6_addr), 1);
	return ss;
}

static int bound_socket(int family, int type, const char *text, uint16_t *port)
{
	struct timeval tv = {.tv_sec = 2};
	socklen_t len;
	struct sockaddr_in6 ss = address(family, text, 0, &len);
	int fd = socket(family, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &len), 0);
	*port = ntohs(ss.sin6_port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static struct batch *empty_batch(struct worker *w)
{
	w->batch.n = 0;
	w->batch.now_ns = clock_now_ns();
	return &w->batch;
}

static const char *loopback(int family)
{
	return family == AF_INET ? "127.0.0.1" : "::1";
}

/* --- outside ------------------------------------------------------------- */

/* count datagrams of size bytes in one send: type, then flow and sequence number. */
static void send_burst(int fd, int family, uint8_t type, unsigned flow, unsigned from,
		       unsigned count, uint16_t size)
{
	static uint8_t buf[65536];
	socklen_t len;
	struct sockaddr_in6 to = address(family, loopback(family), port_a.listen_port, &len);
	int segment = size;

	memset(buf, 0, sizeof(buf));
	for (unsigned i = 0; i < count; i++) {
		buf[i * size] = type;
		buf[i * size + 4] = (uint8_t)flow; /* receiver index, by which workers are chosen */
		buf[i * size + 16] = (uint8_t)flow;
		buf[i * size + 17] = (uint8_t)(from + i);
		buf[i * size + 18] = (uint8_t)((from + i) >> 8);
	}
	assert_int_equal(setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	assert_int_equal(sendto(fd, buf, (size_t)size * count, 0, (struct sockaddr *)&to, len),
			 size * count);
}

struct tally {
	unsigned packets;
	unsigned per_worker[WORKERS];
	unsigned next[FLOWS]; /* sequence number expected */
	int worker_of[FLOWS];
};

static void count_packet(struct tally *t, unsigned worker, const struct packet *p, int family)
{
	unsigned flow = p->data[16];

	assert_int_equal(p->kind, PACKET_DATA);
	assert_int_equal(p->len, TYPE4_BYTES);
	assert_int_equal(p->data[0], 4);
	assert_int_equal(p->port_in, port_a.index);
	assert_int_equal(p->outer_tos, 0x42);
	assert_int_equal(p->remote->family, family);
	assert_int_equal(p->remote->bytes[family == AF_INET ? 0 : 15], family == AF_INET ? 127 : 1);
	assert_true(p->remote->port != 0);
	assert_true(flow < FLOWS);
	assert_int_equal(p->data[17] | p->data[18] << 8, t->next[flow]++);
	if (t->worker_of[flow] < 0)
		t->worker_of[flow] = (int)worker;
	assert_int_equal(t->worker_of[flow], (int)worker);
	t->per_worker[worker]++;
	t->packets++;
}

static void receive_all(struct tally *t, unsigned want, int family)
{
	uint64_t end = clock_now_ns() + WAIT_NS;

	while (t->packets < want && clock_now_ns() < end) {
		for (unsigned i = 0; i < WORKERS; i++) {
			struct batch *b = empty_batch(workers[i]);
			unsigned n = port_a.ops->rx(&port_a, workers[i],
						    family == AF_INET ? SOURCE_V4 : SOURCE_V6, b);

			assert_int_equal(n, b->n);
			assert_true(n <= BATCH_MAX);
			for (unsigned k = 0; k < n; k++)
				count_packet(t, i, &b->pkts[k], family);
		}
	}
	assert_int_equal(t->packets, want);
}

static void expect_control(int control_fd, uint8_t type, uint16_t size)
{
	struct pollfd pfd = {.fd = control_fd, .events = POLLIN};
	uint8_t buf[4096];

	assert_int_equal(poll(&pfd, 1, 2000), 1);
	assert_int_equal(recv(control_fd, buf, sizeof(buf), 0), size);
	assert_int_equal(buf[0], type);
}

static void check_steering(int family, int control_fd)
{
	static const uint16_t sizes[] = {0, 148, 92, 64};
	struct tally t = {0};
	int fd[FLOWS], tos = 0x42;
	uint16_t port;

	for (unsigned f = 0; f < FLOWS; f++) {
		t.worker_of[f] = -1;
		fd[f] = bound_socket(family, SOCK_DGRAM, loopback(family), &port);
		if (family == AF_INET)
			setsockopt(fd[f], IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
		else
			setsockopt(fd[f], IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	}
	for (uint8_t type = 1; type <= 3; type++) {
		send_burst(fd[0], family, type, 0, 0, 1, sizes[type]);
		expect_control(control_fd, type, sizes[type]);
	}
	send_burst(fd[0], family, 0x77, 0, 0, 1, 9); /* neither: causewayd's, too */
	expect_control(control_fd, 0x77, 9);
	/* One flow, more segments than a batch takes: nothing lost, nothing reordered. */
	for (unsigned i = 0; i < 5; i++)
		send_burst(fd[0], family, 4, 0, i * 60, 60, TYPE4_BYTES);
	for (unsigned i = 0; i < 100; i++)
		send_burst(fd[0], family, 4, 0, 300 + i, 1, TYPE4_BYTES);
	receive_all(&t, 400, family);
	for (unsigned f = 1; f < FLOWS; f++)
		send_burst(fd[f], family, 4, f, 0, 5, TYPE4_BYTES);
	receive_all(&t, 400 + (FLOWS - 1) * 5, family);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_true(t.per_worker[i] > 0);
	assert_int_equal(recv(control_fd, &port, sizeof(port), MSG_DONTWAIT), -1);
	for (unsigned f = 0; f < FLOWS; f++)
		close(fd[f]);
}

static void test_steering(void **state)
{
	(void)state;
	check_steering(AF_INET, port_a.control_fd_v4);
	assert_true(port_a.control_fd_v6 >= 0);
	check_steering(AF_INET6, port_a.control_fd_v6);
	assert_true(port_a.features & DPAPI_FEATURE_UDP_GRO);
	/* GRO did its part: far fewer calls than packets. */
	assert_true(workers[0]->stats.rx_outside + workers[1]->stats.rx_outside >= 1110);
	assert_int_equal(workers[0]->stats.drop[DROP_RX_TRUNCATED], 0);
}

static uint8_t out_bytes[BATCH_MAX][3000];

static struct packet *add_out(struct batch *b, const struct dpapi_addr *to, uint16_t len,
			      uint8_t tos)
{
	unsigned i = b->n;
	struct packet *p = batch_add(b);

	memset(out_bytes[i], (int)i, sizeof(out_bytes[i]));
	p->data = out_bytes[i];
	p->len = len;
	p->remote = to;
	p->outer_tos = tos;
	p->out = PACKET_OUT_UDP;
	p->port_out = port_a.index;
	return p;
}

/* The packets of b that go to `to` arrive at fd, in order, intact, with their TOS. */
static void expect_sent(const struct batch *b, const struct dpapi_addr *to, int fd, int family)
{
	for (unsigned i = 0; i < b->n; i++) {
		uint8_t buf[4096], control[64];
		struct sockaddr_in6 from;
		struct iovec iov = {buf, sizeof(buf)};
		struct msghdr h = {.msg_name = &from,
				   .msg_namelen = sizeof(from),
				   .msg_iov = &iov,
				   .msg_iovlen = 1,
				   .msg_control = control,
				   .msg_controllen = sizeof(control)};

		if (b->pkts[i].remote != to)
			continue;
		assert_int_equal(b->pkts[i].drop, DROP_NONE);
		assert_int_equal(recvmsg(fd, &h, 0), b->pkts[i].len);
		assert_memory_equal(buf, out_bytes[i], b->pkts[i].len);
		assert_int_equal(ntohs(from.sin6_port), port_a.listen_port);
		assert_non_null(CMSG_FIRSTHDR(&h));
		assert_int_equal(*(uint8_t *)CMSG_DATA(CMSG_FIRSTHDR(&h)), b->pkts[i].outer_tos);
		assert_int_equal(from.sin6_family, family);
	}
}

static int tos_socket(int family, struct dpapi_addr *addr)
{
	int one = 1;
	int fd = bound_socket(family, SOCK_DGRAM, loopback(family), &addr->port);

	addr->family = (uint16_t)family;
	inet_pton(family, loopback(family), addr->bytes);
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &one, sizeof(one));
	return fd;
}

static void test_send(void **state)
{
	struct worker *w = workers[1];
	struct batch *b = empty_batch(w);
	struct dpapi_addr to[3] = {0},
			  nowhere = {.bytes = {192, 0, 2, 1}, .family = AF_INET, .port = 9},
			  no_family = {0};
	int fd[3] = {tos_socket(AF_INET, &to[0]), tos_socket(AF_INET, &to[1]),
		     tos_socket(AF_INET6, &to[2])};
	uint64_t calls = w->stats.tx_udp_calls, sent = w->stats.tx_outside;
	unsigned refused, unknown;

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		uint16_t len = i % 10 == 9 ? (uint16_t)(40 + i) : 1200;

		add_out(b, &to[i % 3], len, i < 30 ? 0 : 0x2a);
	}
	refused = b->n;
	add_out(b, &nowhere, 100, 0);
	unknown = b->n;
	add_out(b, &no_family, 100, 0);
	add_out(b, &to[0], 0, 0);
	port_a.ops->tx(&port_a, w, b);
	assert_int_equal(b->pkts[refused].drop, DROP_TX_UDP_ERROR);
	assert_int_equal(b->pkts[unknown].drop, DROP_TX_UDP_ERROR);
	assert_int_equal(w->stats.tx_outside - sent, 61);
	/* One call a family, and one more for what the kernel refused. */
	assert_true(w->stats.tx_udp_calls - calls <= 4);
	for (unsigned i = 0; i < 3; i++)
		expect_sent(b, &to[i], fd[i], i < 2 ? AF_INET : AF_INET6);
	/* Segments that do not fit the link: the kernel refuses the group, singles are fragmented.
	 */
	link_mtu("lo", 1500);
	b = empty_batch(w);
	for (unsigned i = 0; i < 6; i++)
		add_out(b, &to[i % 3], 2500, 0x10);
	port_a.ops->tx(&port_a, w, b);
	for (unsigned i = 0; i < 3; i++) {
		expect_sent(b, &to[i], fd[i], i < 2 ? AF_INET : AF_INET6);
		close(fd[i]);
	}
	link_mtu("lo", 65536);
}

/* --- inside: two TUNs and a forwarder between them ------------------------ */

struct bulk {
	int fd;
	int peer; /* listening or receiving socket */
	atomic_bool done;
	bool is_right;
};

static uint8_t pattern(size_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13);
}

static void *bulk_send(void *arg)
{
	struct bulk *t = arg;
	static uint8_t buf[1 << 18];

	for (size_t at = 0; at < BULK_BYTES;) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(at + i);
		for (size_t k = 0; k < sizeof(buf); k += (size_t)n) {
			n = send(t->fd, buf + k, sizeof(buf) - k, MSG_NOSIGNAL);
			if (n <= 0)
				return NULL;
		}
		at += sizeof(buf);
	}
	shutdown(t->fd, SHUT_WR);
	return NULL;
}

static void *bulk_receive(void *arg)
{
	struct bulk *t = arg;
	int fd = accept(t->peer, NULL, NULL);
	static uint8_t buf[1 << 18];
	size_t at = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++, at++) {
			if (buf[i] != pattern(at))
				goto out;
		}
	}
	t->is_right = at == BULK_BYTES && n == 0;
out:
	close(fd);
	t->done = true;
	return NULL;
}

static unsigned forward(struct port *from, struct port *to, struct worker *w)
{
	struct batch *b = empty_batch(w);
	unsigned n = from->ops->rx(from, w, SOURCE_TUN, b);

	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &b->pkts[i];

		assert_int_equal(p->kind, PACKET_INNER);
		assert_int_equal(p->headroom, PACKET_HEADROOM);
		assert_true(p->leader <= i && b->pkts[p->leader].leader == p->leader);
		assert_int_equal(b->pkts[p->leader].seg_size, p->seg_size);
		p->out = PACKET_OUT_TUN;
		p->port_out = to->index;
		/* As seal may: what is in front and behind belongs to the packet. */
		memset(p->data - p->headroom, 0xee, p->headroom);
		memset(p->data + p->len, 0xee, p->tailroom);
	}
	if (n)
		to->ops->tx(to, w, b);
	for (unsigned i = 0; i < n; i++)
		w->stats.drop[b->pkts[i].drop]++;
	return n;
}

static void forward_until(atomic_bool *done, uint64_t for_ns)
{
	uint64_t end = clock_now_ns() + for_ns;

	while (!*done && clock_now_ns() < end) {
		struct pollfd pfd[2 * WORKERS];
		unsigned n = 0;

		for (unsigned i = 0; i < WORKERS; i++) {
			struct port_source s[PORT_SOURCES_MAX];

			n += forward(&port_a, &port_b, workers[i]);
			n += forward(&port_b, &port_a, workers[i]);
			port_a.ops->sources(&port_a, i, s);
			pfd[2 * i] = (struct pollfd){.fd = s[SOURCE_TUN].fd, .events = POLLIN};
			port_b.ops->sources(&port_b, i, s);
			pfd[2 * i + 1] = (struct pollfd){.fd = s[SOURCE_TUN].fd, .events = POLLIN};
		}
		if (!n)
			poll(pfd, 2 * WORKERS, 20);
	}
}

static void clear_stats(void)
{
	for (unsigned i = 0; i < WORKERS; i++)
		memset(&workers[i]->stats, 0, sizeof(workers[i]->stats));
}

static uint64_t bad_drops(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		n += workers[i]->stats.drop[DROP_RX_BAD_GSO] +
		     workers[i]->stats.drop[DROP_RX_TRUNCATED] +
		     workers[i]->stats.drop[DROP_TX_TUN_ERROR];
	return n;
}

/* Made in setup, each in its namespace. */
static int tcp_client[2], tcp_server[2], udp_client[2], udp_server[2];
static uint16_t tcp_port[2], udp_port[2];
static const char *const far[2] = {"10.9.0.2", "fd09::2"};
static const int families[2] = {AF_INET, AF_INET6};

static void *connect_and_send(void *arg)
{
	struct bulk *t = arg;
	unsigned v = t->fd == tcp_client[1];
	socklen_t len;
	struct sockaddr_in6 to = address(families[v], far[v], tcp_port[v], &len);

	if (connect(t->fd, (struct sockaddr *)&to, len))
		return NULL;
	return bulk_send(arg);
}

static void check_tcp(unsigned v)
{
	struct bulk t = {.fd = tcp_client[v], .peer = tcp_server[v]};
	pthread_t sender, receiver;
	uint64_t packets = 0, reads = 0, writes = 0;

	clear_stats();
	pthread_create(&receiver, NULL, bulk_receive, &t);
	pthread_create(&sender, NULL, connect_and_send, &t);
	forward_until(&t.done, BULK_NS);
	/* Ends both threads also where it went wrong. */
	shutdown(t.fd, SHUT_RDWR);
	shutdown(t.peer, SHUT_RDWR);
	pthread_join(sender, NULL);
	pthread_join(receiver, NULL);
	assert_true(t.is_right);
	assert_int_equal(bad_drops(), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		packets += workers[i]->stats.rx_inside;
		reads += workers[i]->stats.rx_tun_calls;
		writes += workers[i]->stats.tx_tun_calls;
	}
	assert_true(packets > BULK_BYTES / 1420);
	if (port_a.features & DPAPI_FEATURE_TUN_TSO) {
		assert_true(reads * 2 < packets);
		assert_true(writes * 2 < packets);
	}
}

static void test_tcp(void **state)
{
	(void)state;
	check_tcp(0);
	check_tcp(1);
}

#define UDP_COUNT 80
#define UDP_BYTES 700

static void *udp_receive(void *arg)
{
	struct bulk *t = arg;
	uint8_t buf[2048];

	t->is_right = true;
	for (unsigned i = 0; i < 2 * UDP_COUNT; i++) {
		ssize_t n = recv(t->peer, buf, sizeof(buf), 0);

		if (n != UDP_BYTES || buf[0] != (uint8_t)i || buf[n - 1] != (uint8_t)i) {
			fprintf(stderr, "datagram %u: %zd bytes, number %u\n", i, n, buf[0]);
			t->is_right = false;
		}
		if (n < 0)
			break;
	}
	t->done = true;
	return NULL;
}

static void check_udp(unsigned v)
{
	struct bulk t = {.fd = udp_client[v], .peer = udp_server[v]};
	static uint8_t buf[UDP_COUNT * UDP_BYTES];
	int segment = UDP_BYTES;
	uint64_t reads = 0, writes = 0;
	pthread_t receiver;
	socklen_t len;
	struct sockaddr_in6 to = address(families[v], far[v], udp_port[v], &len);

	clear_stats();
	pthread_create(&receiver, NULL, udp_receive, &t);
	setsockopt(t.fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < UDP_COUNT / 2; i++)
			memset(buf + i * UDP_BYTES, (int)(round * UDP_COUNT / 2 + i), UDP_BYTES);
		assert_int_equal(sendto(t.fd, buf, sizeof(buf) / 2, 0, (struct sockaddr *)&to, len),
				 sizeof(buf) / 2);
	}
	forward_until(&t.done, 5 * NS_PER_SEC);
	pthread_join(receiver, NULL);
	assert_true(t.is_right);
	assert_int_equal(bad_drops(), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		reads += workers[i]->stats.rx_tun_calls;
		writes += workers[i]->stats.tx_tun_calls;
	}
	if (port_a.features & DPAPI_FEATURE_TUN_USO) {
		assert_true(reads < UDP_COUNT);
		assert_true(writes < UDP_COUNT / 2);
	}
}

static void test_udp_inside(void **state)
{
	(void)state;
	check_udp(0);
	check_udp(1);
}

/* --- opening ---------------------------------------------------------------- */

static void expect_refused(const char *spec, int error, const char *text)
{
	struct port_env env = {.workers = 1};
	struct port p = {.ops = &port_kernel_ops};
	int rc;

	err[0] = '\0';
	rc = p.ops->open(&p, spec, &env, err);
	if (!rc)
		fail_msg("%s was taken", spec);
	assert_int_equal(rc, error);
	if (!strstr(err, text))
		fail_msg("%s: '%s' does not say '%s'", spec, err, text);
}

static void test_refused(void **state)
{
	struct json_out js;

	(void)state;
	expect_refused("", -EINVAL, "tun= is missing");
	expect_refused("tun=cwx", -EINVAL, "listen= is missing");
	expect_refused("tun", -EINVAL, "not key=value");
	expect_refused("tun=cwx,listen=1,", -EINVAL, "not key=value");
	expect_refused("tun=a/b,listen=1", -EINVAL, "tun=a/b");
	expect_refused("tun=cw%d,listen=1", -EINVAL, "tun=cw%d");
	expect_refused("tun=abcdefghijklmnop,listen=1", -EINVAL, "not an interface name");
	expect_refused("tun=cwx,listen=65536", -EINVAL, "listen=65536");
	expect_refused("tun=cwx,listen=-1", -EINVAL, "listen=-1");
	expect_refused("tun=cwx,listen=1,mtu=100", -EINVAL, "mtu=100");
	expect_refused("tun=cwx,listen=1,mut=1500", -EINVAL, "mut=1500");
	expect_refused("tun=cwtb,listen=0", -EBUSY, "exists already");
	json_out_init(&js);
	json_out_object(&js, NULL);
	port_b.ops->show(&port_b, &js);
	json_out_end(&js);
	assert_int_equal(js.error, 0);
	assert_non_null(strstr(js.text, "\"name\":\"cwtb\""));
	assert_non_null(strstr(js.text, "\"CONTROL\":"));
	json_out_fini(&js);
}

static void test_close(void **state)
{
	(void)state;
	port_b.ops->close(&port_b);
	assert_int_equal(if_nametoindex("cwtb"), 0);
	open_port(&port_b, 1, "tun=cwtb,listen=0"); /* at once again */
	assert_int_not_equal(if_nametoindex("cwtb"), 0);
}

/* A device that a killed process leaves behind for some milliseconds is waited for. */
static void test_after_kill(void **state)
{
	struct port p;
	int ready[2], status;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		open_port(&p, 2, "tun=cwtk,listen=0");
		_exit(write(ready[1], "x", 1) == 1 ? pause() : 1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	kill(child, SIGKILL);
	open_port(&p, 2, "tun=cwtk,listen=0");
	p.ops->close(&p);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

/* causewayd still holds the old process' socket when the new one opens its group. */
static void test_restart(void **state)
{
	struct dpapi_addr from = {0};
	int old = dup(port_b.control_fd_v4);
	int fd = tos_socket(AF_INET, &from);
	uint16_t listen = port_b.listen_port;
	struct port saved = port_a;
	char spec[64];

	(void)state;
	snprintf(spec, sizeof(spec), "tun=cwtb,listen=%u", listen);
	port_b.ops->close(&port_b);
	open_port(&port_b, 1, spec);
	assert_int_equal(port_b.listen_port, listen);
	port_a = port_b; /* the helpers send to and receive from a */
	send_burst(fd, AF_INET, 1, 0, 0, 1, 148);
	expect_control(port_b.control_fd_v4, 1, 148);
	for (unsigned i = 0; i < 10; i++) {
		struct batch *b;
		unsigned n = 0;

		send_burst(fd, AF_INET, 4, 0, i, 1, TYPE4_BYTES);
		for (unsigned w = 0; w < WORKERS; w++) {
			b = empty_batch(workers[w]);
			n += port_b.ops->rx(&port_b, workers[w], SOURCE_V4, b);
		}
		assert_int_equal(n, 1);
	}
	assert_int_equal(recv(old, spec, sizeof(spec), MSG_DONTWAIT), -1);
	port_a = saved;
	close(old);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = aligned_alloc(64, (sizeof(struct worker) + 63) / 64 * 64);
		memset(workers[i], 0, sizeof(struct worker));
		workers[i]->id = i;
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	link_up("lo");
	open_port(&port_a, 0, "tun=cwta,listen=0,mtu=1400");
	link_address("cwta", 1);
	link_up("cwta");
	for (unsigned v = 0; v < 2; v++) {
		tcp_client[v] = socket(families[v], SOCK_STREAM, 0);
		udp_client[v] = socket(families[v], SOCK_DGRAM, 0);
	}
	return 0;
}

/* The tests above this one need loopback of a; from here on the thread is in b. */
static int setup_b(void **state)
{
	struct timeval tv = {.tv_sec = 2};
	int room = 4 << 20;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	link_up("lo");
	open_port(&port_b, 1, "tun=cwtb,listen=0,mtu=1400");
	link_address("cwtb", 2);
	link_up("cwtb");
	for (unsigned v = 0; v < 2; v++) {
		tcp_server[v] = bound_socket(families[v], SOCK_STREAM, far[v], &tcp_port[v]);
		udp_server[v] = bound_socket(families[v], SOCK_DGRAM, far[v], &udp_port[v]);
		setsockopt(udp_server[v], SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		assert_int_equal(listen(tcp_server[v], 1), 0);
		setsockopt(tcp_server[v], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	port_b.ops->close(&port_b);
	port_a.ops->close(&port_a);
	for (unsigned i = 0; i < WORKERS; i++)
		free(workers[i]);
	return 0;
}

int main(void)
{
	const struct CMUnitTest outside[] = {
		cmocka_unit_test(test_steering),
		cmocka_unit_test(test_send),
	};
	const struct CMUnitTest inside[] = {
		cmocka_unit_test(test_tcp),	   cmocka_unit_test(test_udp_inside),
		cmocka_unit_test(test_refused),	   cmocka_unit_test(test_close),
		cmocka_unit_test(test_after_kill), cmocka_unit_test(test_restart),
	};

	if (geteuid() || access("/dev/net/tun", R_OK | W_OK)) {
		fprintf(stderr, "needs root and /dev/net/tun\n");
		return SKIPPED;
	}
	if (cmocka_run_group_tests(outside, setup, NULL))
		return 1;
	return cmocka_run_group_tests(inside, setup_b, teardown) ? 1 : 0;
}
