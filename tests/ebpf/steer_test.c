/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what steer_wan and steer_lan do with each kind of frame, by the kernel's
 * test-run: verdict and counter of a table of frames, every frame cut at every
 * length, mutated frames, and the flood limiter.
 *
 * A test-run's frame arrives on queue 0 of the loopback interface (ifindex 1).
 * It is not really redirected, so an AF_XDP socket that is bound to nothing does.
 */
#include "tests/ebpf/ebpf_test.h"
#include "tests/ebpf/packet.h"
#include "tests/ebpf/steer_rows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ebpf/steer_shared.h"
#include "steer.skel.h"

#define LOOPBACK  1u
#define CPUS_MAX  1024
#define SECOND_NS 1000000000ull

static struct steer *skel;
static unsigned cpu_count;

static const struct {
	const char *name;
	uint32_t action;
} verdicts[] = {
#define ROW(name, action, sentence) [STEER_##name] = {#name, XDP_##action},
	STEER_VERDICTS(ROW)
#undef ROW
};

static void counts_read(uint64_t *counts)
{
	static uint64_t cpus[CPUS_MAX];

	for (uint32_t v = 0; v < STEER_VERDICT_COUNT; v++) {
		counts[v] = 0;
		if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.counters), &v, cpus))
			continue;
		for (unsigned c = 0; c < cpu_count; c++)
			counts[v] += cpus[c];
	}
}

/* The XDP action, or a negative errno; *verdict: the one counter that moved, or -1. */
static int run(enum side side, const uint8_t *frame, uint32_t len, int *verdict)
{
	struct bpf_program *prog = side == WAN ? skel->progs.steer_wan : skel->progs.steer_lan;
	uint64_t before[STEER_VERDICT_COUNT], after[STEER_VERDICT_COUNT];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len, .repeat = 1);
	int moved = 0;

	counts_read(before);
	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -errno;
	counts_read(after);
	*verdict = -1;
	for (int v = 0; v < STEER_VERDICT_COUNT; v++) {
		if (after[v] == before[v])
			continue;
		*verdict = v;
		moved += (int)(after[v] - before[v]);
	}
	if (moved != 1)
		*verdict = -1;
	return (int)opts.retval;
}

static const char *verdict_name(int v)
{
	return v < 0 ? "not exactly one" : verdicts[v].name;
}

static bool expect(const char *name, enum side side, const uint8_t *frame, uint32_t len,
		   enum steer_verdict want)
{
	int got = -1, action = run(side, frame, len, &got);

	return check(got == (int)want && action == (int)verdicts[want].action,
		     "%s, %s: action %d, counted %s; expected %u, %s", side == WAN ? "wan" : "lan",
		     name, action, verdict_name(got), verdicts[want].action, verdicts[want].name);
}

static void expect_frame(const char *name, enum side side, const struct frame *f,
			 enum steer_verdict want)
{
	uint8_t buf[PACKET_MAX_BYTES];

	expect(name, side, buf, packet_build(f, buf), want);
}

static void add_prefix(int family, const char *addr, uint32_t len, uint32_t flags)
{
	struct steer_prefix value = {.flags = flags, .mtu_bytes = MESH_MTU};
	struct steer_key4 k4 = {.prefix_len = len};
	struct steer_key6 k6 = {.prefix_len = len};
	int fd = bpf_map__fd(family == AF_INET ? skel->maps.mesh4 : skel->maps.mesh6);

	inet_pton(family, addr, family == AF_INET ? k4.addr : k6.addr);
	check(!bpf_map_update_elem(fd, family == AF_INET ? (void *)&k4 : (void *)&k6, &value,
				   BPF_ANY),
	      "prefix %s/%u: %s", addr, len, strerror(errno));
}

static void add_local(int family, const char *addr)
{
	struct steer_addr key = {.addr = {[10] = 0xff, [11] = 0xff}};
	uint32_t value = 1;

	inet_pton(family, addr, family == AF_INET ? key.addr + 12 : key.addr);
	check(!bpf_map_update_elem(bpf_map__fd(skel->maps.locals), &key, &value, BPF_ANY),
	      "local address %s: %s", addr, strerror(errno));
}

static void set_limits(const struct steer_limits *l)
{
	uint32_t zero = 0;
	uint64_t full = 0;

	check(!bpf_map_update_elem(bpf_map__fd(skel->maps.limits), &zero, l, BPF_ANY) &&
		      !bpf_map_update_elem(bpf_map__fd(skel->maps.total), &zero, &full, BPF_ANY),
	      "limits: %s", strerror(errno));
}

static bool load(void)
{
	skel = steer__open();
	if (!check(skel, "steer: open: %s", strerror(errno)))
		return false;
	skel->rodata->listen_ports[0] = htons(PACKET_PORT);
	skel->rodata->listen_ports[1] = htons(PACKET_PORT + 1);
	if (!check(!steer__load(skel), "steer: load: %s", strerror(errno)))
		return false;
	cpu_count = (unsigned)libbpf_num_possible_cpus();
	return check(cpu_count <= CPUS_MAX, "%u CPUs", cpu_count);
}

static void configure(void)
{
	struct steer_iface iface = {.xsk_base = 3 * STEER_QUEUES_MAX};
	uint32_t key = LOOPBACK;

	memcpy(iface.mac, packet_our_mac, 6);
	check(!bpf_map_update_elem(bpf_map__fd(skel->maps.ifaces), &key, &iface, BPF_ANY),
	      "iface: %s", strerror(errno));
	add_local(AF_INET, OUR4);
	add_local(AF_INET6, OUR6);
	add_local(AF_INET, "100.64.0.1");
	add_prefix(AF_INET, "100.64.0.0", 10, 0);
	add_prefix(AF_INET, "10.7.0.0", 16, 0);
	add_prefix(AF_INET, "10.7.1.0", 24, STEER_PREFIX_KERNEL);
	add_prefix(AF_INET6, "fd7a:115c::", 32, 0);
	add_prefix(AF_INET6, "fd7a:115c:1::", 48, STEER_PREFIX_KERNEL);
}

static void test_unconfigured(void)
{
	struct frame f = {.dst = OUR4};

	expect_frame("unconfigured", WAN, &f, STEER_WAN_NO_IFACE);
	expect_frame("unconfigured", LAN, &f, STEER_LAN_NO_IFACE);
}

static void test_without_socket(void)
{
	struct frame wan = {.dst = OUR4}, lan = {.dst = MESH4};

	expect_frame("without socket", WAN, &wan, STEER_WAN_NO_SOCKET);
	expect_frame("without socket", LAN, &lan, STEER_LAN_NO_SOCKET);
}

static int add_socket(void)
{
	uint32_t key = 3 * STEER_QUEUES_MAX;
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	check(fd >= 0 && !bpf_map_update_elem(bpf_map__fd(skel->maps.xsks_map), &key, &fd, BPF_ANY),
	      "AF_XDP socket: %s", strerror(errno));
	return fd;
}

static void test_rows(void)
{
	uint8_t buf[PACKET_MAX_BYTES];

	for (size_t i = 0; i < steer_row_count; i++) {
		struct frame f = steer_rows[i].frame;
		uint32_t len;

		if (f.extension == HOP_BY_HOP) {
			f.extension = 1;
			len = packet_build(&f, buf);
			buf[14 + 6] = 0;
		} else {
			len = packet_build(&f, buf);
		}
		expect(steer_rows[i].name, steer_rows[i].side, buf, len, steer_rows[i].verdict);
	}
}

/* Cut frames keep the lengths in their headers, so none of them may be taken. */
static void test_truncated(void)
{
	uint8_t buf[PACKET_MAX_BYTES], *exact;

	for (size_t i = 0; i < steer_row_count; i++) {
		const struct row *r = &steer_rows[i];
		uint32_t len = packet_build(&r->frame, buf) - r->frame.trailer_bytes;

		if (verdicts[r->verdict].action != XDP_REDIRECT || len > 200)
			continue;
		for (uint32_t cut = 14; cut < len; cut++) { /* test-run wants an Ethernet header */
			exact = malloc(cut);
			memcpy(exact, buf, cut);
			if (!expect(r->name, r->side, exact, cut,
				    r->side == WAN ? STEER_WAN_MALFORMED : STEER_LAN_MALFORMED))
				printf("      (cut to %u of %u bytes)\n", cut, len);
			free(exact);
		}
	}
}

/* Whatever is changed, one verdict is counted and its action is what happens. */
static void test_mutated(void)
{
	uint8_t buf[PACKET_MAX_BYTES];
	unsigned short seed[3] = {5, 41, 641};
	unsigned wrong = 0;

	for (unsigned n = 0; n < 20000; n++) {
		const struct row *r = &steer_rows[(size_t)nrand48(seed) % steer_row_count];
		uint32_t len = packet_build(&r->frame, buf);
		int got = -1, action;

		for (long flips = 1 + nrand48(seed) % 4; flips > 0; flips--)
			buf[(uint32_t)nrand48(seed) % (len < 80 ? len : 80)] =
				(uint8_t)nrand48(seed);
		action = run(r->side, buf, len, &got);
		if (got < 0 || action != (int)verdicts[got].action)
			wrong++;
	}
	check(wrong == 0, "mutated frames: %u of 20000 with a wrong action or count", wrong);
}

/* Sends n handshakes and checks that `pass` of them pass and the rest get `over`. */
static void flood(const char *name, const struct frame *f, unsigned n, unsigned pass,
		  enum steer_verdict over)
{
	uint8_t buf[PACKET_MAX_BYTES];
	uint32_t len = packet_build(f, buf);

	for (unsigned i = 0; i < n; i++)
		expect(name, WAN, buf, len, i < pass ? STEER_WAN_HANDSHAKE : over);
}

static void test_limits(void)
{
	struct frame v4 = {.dst = OUR4, .type = 1, .message_bytes = 148};
	struct frame v4_other = {.src = "198.51.100.8", .dst = OUR4, .type = 2};
	struct frame v4_data = {.dst = OUR4};
	struct frame v6 = {.l3 = FRAME_IPV6, .src = "2001:db8:5::1", .dst = OUR6, .type = 1};
	struct frame v6_same = {
		.l3 = FRAME_IPV6, .src = "2001:db8:5::ffff:1", .dst = OUR6, .type = 3};
	struct frame v6_other = {
		.l3 = FRAME_IPV6, .src = "2001:db8:5:1::1", .dst = OUR6, .type = 1};
	struct timespec refill = {.tv_nsec = 120 * 1000 * 1000};

	/* Intervals far longer than the test: nothing refills while it runs. */
	set_limits(
		&(struct steer_limits){.source_interval_ns = 1000 * SECOND_NS, .source_burst = 5});
	flood("source limit, v4", &v4, 12, 5, STEER_WAN_FLOOD_SOURCE);
	flood("source limit, another v4 source", &v4_other, 3, 3, STEER_WAN_FLOOD_SOURCE);
	flood("source limit, v6", &v6, 5, 5, STEER_WAN_FLOOD_SOURCE);
	flood("source limit, same /64", &v6_same, 3, 0, STEER_WAN_FLOOD_SOURCE);
	flood("source limit, another /64", &v6_other, 3, 3, STEER_WAN_FLOOD_SOURCE);
	expect_frame("data from a limited source", WAN, &v4_data, STEER_WAN_DATA);

	set_limits(&(struct steer_limits){.total_interval_ns = 1000 * SECOND_NS, .total_burst = 4});
	flood("total limit", &v4, 6, 4, STEER_WAN_FLOOD_TOTAL);
	flood("total limit, another source", &v6_other, 2, 0, STEER_WAN_FLOOD_TOTAL);

	set_limits(
		&(struct steer_limits){.total_interval_ns = 50ull * 1000 * 1000, .total_burst = 1});
	flood("refill, first", &v4, 1, 1, STEER_WAN_FLOOD_TOTAL);
	nanosleep(&refill, NULL);
	flood("refill, after the interval", &v4, 1, 1, STEER_WAN_FLOOD_TOTAL);

	set_limits(&(struct steer_limits){0});
	flood("limits off", &v4, 50, 50, STEER_WAN_FLOOD_SOURCE);
}

void steer_test(void)
{
	int fd;

	if (!load())
		return;
	test_unconfigured();
	configure();
	test_without_socket();
	fd = add_socket();
	test_rows();
	test_truncated();
	test_mutated();
	test_limits();
	close(fd);
	steer__destroy(skel);
}
