/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the xdp port takes and sends frames of real interfaces, and loses no buffer doing so.
 *
 *    wanp ======== wan0 [ xdp port ] lan0 ======== lanp        two veth pairs
 *    AF_PACKET     192.0.2.1         10.1.0.1      AF_PACKET
 *
 * In a network namespace of its own; needs root and `ip` (77 = skipped).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include <cmocka.h>

#include "dataplane/dataplane.h"
#include "dataplane/table/fib.h"
#include "dataplane/table/neigh.h"
#include "lib/base/clock.h"
#include "lib/wire/ip_sum.h"

#define SKIPPED	      77
#define MBUFS	      4095
#define WAIT_NS	      (3 * NS_PER_SEC)
#define LISTEN	      41641
#define FORWARD_COUNT 20000
#define FORWARD_BURST 32
#define MESSAGE_BYTES 96
#define NH_WAN	      1
#define NH_LAN	      2
#define FLOWS	      64 /* of the test of queues, each a UDP port */
#define FLOW_PACKETS  60
#define FLOW_ROUNDS   3
#define XDP_RING_MAX  2048
#define UP_TRIES      25
#define UP_PAUSE_US   20000
#define FLOW_PORT     10000

static const uint8_t wan_mac[6] = {0x02, 0, 0, 0, 0, 0x01}, wanp_mac[6] = {0x02, 0, 0, 0, 0, 0x02};
static const uint8_t lan_mac[6] = {0x02, 0, 0, 0, 0, 0x03}, lanp_mac[6] = {0x02, 0, 0, 0, 0, 0x04};
static const uint8_t wan_ip[4] = {192, 0, 2, 1}, remote_ip[4] = {192, 0, 2, 9};
static const uint8_t lan_ip[4] = {10, 1, 0, 1}, host_ip[4] = {10, 1, 0, 10};
static const uint8_t far_ip[4] = {10, 2, 0, 10};

static struct rte_mempool *pool;
static struct port port;
static struct dataplane dp;
static struct worker *worker[2];
static struct neigh_source source_wan, source_lan;
static int wire_wan, wire_lan;
static int wire_many; /* to an interface of several queues */

/* The one neighbour that a look-up by address finds. */
uint16_t neigh_find(const struct neigh_table *t, uint8_t port_index, uint8_t netdev, int family,
		    const uint8_t *ip)
{
	return netdev == 0 && family == AF_INET && !memcmp(ip, remote_ip, 4) ? NH_WAN
									     : NEXTHOP_NONE;
}

static void run(const char *command)
{
	int status = system(command);

	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("%s: %d", command, status);
}

static int wire_open(const char *name)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return fd;
}

static unsigned number_at(const uint8_t *p)
{
	return (unsigned)(p[0] << 8 | p[1]);
}

/* Ethernet, IPv4, UDP; payload p, or zeros. Returns the length. */
static uint32_t frame(uint8_t *out, const uint8_t *dst_mac, const uint8_t *src, const uint8_t *dst,
		      uint16_t dst_port, const uint8_t *p, uint16_t len)
{
	struct ip_v4_header *ip = (struct ip_v4_header *)(out + 14);
	struct ip_udp_header *udp = (struct ip_udp_header *)(ip + 1);

	memset(out, 0, 42u + len);
	memcpy(out, dst_mac, 6);
	memcpy(out + 6, "\x02\x00\x00\x00\x00\x99", 6);
	out[12] = 0x08;
	ip->version_ihl = 0x45;
	ip->tos = 0x02;
	be16_put(&ip->total_len, (uint16_t)(28 + len));
	ip->ttl = 64;
	ip->protocol = IP_PROTO_UDP;
	memcpy(ip->src, src, 4);
	memcpy(ip->dst, dst, 4);
	ip_checksum_v4_set(ip);
	be16_put(&udp->src_port, 5555);
	be16_put(&udp->dst_port, dst_port);
	be16_put(&udp->len, (uint16_t)(8 + len));
	if (p)
		memcpy(udp + 1, p, len);
	return 42u + len;
}

static void message(uint8_t *out, uint8_t tag)
{
	memset(out, tag, MESSAGE_BYTES);
	memcpy(out, "\x04\0\0\0", 4);
}

/* Receives from every queue of this worker that is (not) outside until n packets are there. */
static unsigned receive(struct worker *w, bool is_outside, unsigned n)
{
	struct port_source sources[PORT_SOURCES_MAX];
	unsigned count = port.ops->sources(&port, w->id, sources);
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	w->batch.n = 0;
	w->batch.now_ns = clock_now_ns();
	while (w->batch.n < n && clock_now_ns() < until_ns) {
		for (unsigned i = 0; i < count; i++)
			if (sources[i].is_polled && sources[i].is_outside == is_outside)
				port.ops->rx(&port, w, i, &w->batch);
	}
	return w->batch.n;
}

static void finish(struct worker *w)
{
	for (unsigned i = 0; i < w->batch.n; i++)
		rte_pktmbuf_free(w->batch.pkts[i].mbuf);
	w->batch.n = 0;
}

/* The worker that receives from the interface: queues are dealt out in order. */
static struct worker *owner(unsigned netdev)
{
	return worker[netdev % dp.worker_count];
}

/* The next UDP frame to `port_number` (0: any) on the wire, 0 = none came. */
static uint32_t next_frame(int wire, uint16_t port_number, uint8_t *out, uint32_t size)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;

	while (clock_now_ns() < until_ns) {
		struct pollfd pfd = {.fd = wire, .events = POLLIN};
		struct sockaddr_ll from;
		socklen_t from_len = sizeof(from);
		ssize_t n;

		poll(&pfd, 1, 100);
		n = recvfrom(wire, out, size, 0, (struct sockaddr *)&from, &from_len);
		if (n < 42 || from.sll_pkttype == PACKET_OUTGOING || out[12] != 0x08 ||
		    out[13] != 0x00 || out[23] != IP_PROTO_UDP)
			continue;
		if (!port_number || number_at(out + 36) == port_number)
			return (uint32_t)n;
	}
	return 0;
}

static void port_start_lan(unsigned workers, const char *lan, const char *mode)
{
	struct port_env env = {
		.workers = workers, .pool = pool, .mbuf_data_bytes = RTE_MBUF_DEFAULT_BUF_SIZE};
	char err[PORT_ERROR_TEXT] = "", spec[128];

	snprintf(spec, sizeof(spec), "wan=wan0,lan=%s,listen=%u,tun=cw0,mode=%s", lan, LISTEN,
		 mode);
	port = (struct port){.ops = &port_xdp_ops, .control_fd_v4 = -1, .control_fd_v6 = -1};
	dp.worker_count = workers;
	if (port.ops->open(&port, spec, &env, err))
		fail_msg("open: %s", err);
	assert_int_equal(
		port.ops->steer_prefix(&port, far_ip, AF_INET, 24, 1420, PORT_STEER_MESH, false),
		-0);
	assert_int_equal(
		port.ops->steer_prefix(&port, wan_ip, AF_INET, 32, 0, PORT_STEER_OWN, false), 0);
}

static void port_start(unsigned workers, const char *mode)
{
	port_start_lan(workers, "lan0", mode);
}

static void test_lan_rx(void)
{
	struct worker *w = owner(1);
	uint8_t buf[256];
	uint32_t len = frame(buf, lan_mac, host_ip, far_ip, 9, NULL, 50);

	for (int i = 0; i < 10; i++)
		assert_int_equal(send(wire_lan, buf, len, 0), len);
	assert_int_equal(receive(w, false, 10), 10);
	for (int i = 0; i < 10; i++) {
		struct packet *p = &w->batch.pkts[i];

		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->kind, PACKET_INNER);
		assert_int_equal(p->flags, PACKET_FROM_LAN);
		assert_int_equal(p->len, len - 14);
		assert_memory_equal(p->data, buf + 14, p->len);
		assert_true(p->headroom >= PACKET_HEADROOM && p->tailroom >= PACKET_TAILROOM);
		assert_non_null(p->mbuf);
	}
	finish(w);
}

static void test_wan_rx(void)
{
	struct worker *w = owner(0);
	uint8_t buf[256], m[MESSAGE_BYTES];
	uint32_t len;

	/* To a host behind us, of whom we have a route: passes through, the kernel forwards. */
	message(m, 0x11);
	assert_int_equal(
		port.ops->steer_prefix(&port, host_ip, AF_INET, 32, 0, PORT_STEER_HOLE, false), 0);
	len = frame(buf, wan_mac, remote_ip, host_ip, LISTEN, m, sizeof(m));
	assert_int_equal(send(wire_wan, buf, len, 0), len);
	message(m, 0x5a);
	len = frame(buf, wan_mac, remote_ip, wan_ip, LISTEN, m, sizeof(m));
	assert_int_equal(send(wire_wan, buf, len, 0), len);
	assert_int_equal(receive(w, true, 1), 1);
	struct packet *p = &w->batch.pkts[0];

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_DATA);
	assert_int_equal(p->len, sizeof(m));
	assert_memory_equal(p->data, m, sizeof(m));
	assert_int_equal(p->outer_tos, 0x02);
	assert_int_equal(p->remote->family, AF_INET);
	assert_int_equal(p->remote->port, 5555);
	assert_memory_equal(p->remote->bytes, remote_ip, 4);
	finish(w);
}

static void check_outer(const uint8_t *f, uint32_t len, const uint8_t *m)
{
	assert_int_equal(len, 42 + MESSAGE_BYTES);
	assert_memory_equal(f, wanp_mac, 6);
	assert_memory_equal(f + 6, wan_mac, 6);
	assert_true(ip_checksum_v4_ok((const struct ip_v4_header *)(f + 14)));
	assert_int_equal(f[15], 0x02);
	assert_memory_equal(f + 26, wan_ip, 4);
	assert_memory_equal(f + 30, remote_ip, 4);
	assert_int_equal(f[34] << 8 | f[35], LISTEN);
	assert_memory_equal(f + 42, m, MESSAGE_BYTES);
}

/* Sealed messages, from an arena (copied) and from a worker that does not own the queue. */
static void test_wan_tx(void)
{
	struct dpapi_addr remote = {.family = AF_INET, .port = 7777};
	uint8_t m[MESSAGE_BYTES], buf[2048];

	memcpy(remote.bytes, remote_ip, 4);
	for (unsigned i = 0; i < dp.worker_count; i++) {
		struct worker *w = worker[i];
		struct packet *p;

		message(m, (uint8_t)(0x10 + i));
		w->batch.n = 0;
		w->batch.now_ns = clock_now_ns();
		p = batch_add(&w->batch);
		p->kind = PACKET_SEALED;
		p->out = PACKET_OUT_UDP;
		p->port_out = 0;
		p->data = m;
		p->len = sizeof(m);
		p->remote = &remote;
		p->outer_tos = 0x02;
		port.ops->tx(&port, w, &w->batch);
		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->out, PACKET_OUT_NONE);
		check_outer(buf, next_frame(wire_wan, 7777, buf, sizeof(buf)), m);
	}
}

/* Without a next hop the UDP socket sends, and the kernel finds the neighbour. */
static void test_socket_fallback(void)
{
	struct dpapi_addr remote = {.family = AF_INET, .port = 7778, .bytes = {192, 0, 2, 10}};
	struct worker *w = worker[0];
	uint8_t m[MESSAGE_BYTES], buf[2048];
	struct packet *p;

	run("ip neigh replace 192.0.2.10 lladdr 02:00:00:00:00:02 dev wan0");
	message(m, 0x33);
	w->batch.n = 0;
	p = batch_add(&w->batch);
	p->kind = PACKET_SEALED;
	p->out = PACKET_OUT_UDP;
	p->port_out = 0;
	p->data = m;
	p->len = sizeof(m);
	p->remote = &remote;
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->out, PACKET_OUT_UDP);
	assert_true(next_frame(wire_wan, 7778, buf, sizeof(buf)) == 42 + MESSAGE_BYTES);
}

static void test_lan_tx(void)
{
	struct worker *w = worker[0];
	uint8_t inner[256], buf[2048];
	uint32_t len = frame(inner, lan_mac, far_ip, host_ip, 4444, NULL, 60) - 14;
	struct packet *p;

	w->batch.n = 0;
	p = batch_add(&w->batch);
	p->kind = PACKET_INNER;
	p->out = PACKET_OUT_LAN;
	p->port_out = 0;
	p->nexthop = NH_LAN;
	p->data = inner + 14;
	p->len = (uint16_t)len;
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(next_frame(wire_lan, 4444, buf, sizeof(buf)), len + 14);
	assert_memory_equal(buf, lanp_mac, 6);
	assert_memory_equal(buf + 6, lan_mac, 6);
	assert_memory_equal(buf + 14, inner + 14, len);
}

/* What comes in at the LAN goes out at the WAN in its own mbuf, many times the pool. */
static void test_forward(void)
{
	struct dpapi_addr remote = {.family = AF_INET, .port = 7777};
	struct worker *w = owner(1);
	uint8_t buf[256], drain[2048];
	uint32_t len = frame(buf, lan_mac, host_ip, far_ip, 9, NULL, 50);
	unsigned seen = 0, sent = 0;

	memcpy(remote.bytes, remote_ip, 4);
	while (sent < FORWARD_COUNT) {
		for (int i = 0; i < FORWARD_BURST; i++)
			send(wire_lan, buf, len, 0);
		sent += FORWARD_BURST;
		assert_int_equal(receive(w, false, FORWARD_BURST), FORWARD_BURST);
		for (unsigned i = 0; i < w->batch.n; i++) {
			struct packet *p = &w->batch.pkts[i];

			assert_int_equal(p->drop, DROP_NONE);
			p->out = PACKET_OUT_UDP;
			p->port_out = 0;
			p->remote = &remote;
		}
		port.ops->tx(&port, w, &w->batch);
		for (unsigned i = 0; i < w->batch.n; i++) {
			assert_int_equal(w->batch.pkts[i].drop, DROP_NONE);
			assert_null(w->batch.pkts[i].mbuf);
		}
		finish(w);
		while (recv(wire_wan, drain, sizeof(drain), 0) > 0)
			seen += (drain[36] << 8 | drain[37]) == 7777;
	}
	assert_int_equal(seen, sent);
}

static void test_show(void)
{
	struct json_out js;

	json_out_init(&js);
	json_out_object(&js, NULL);
	port.ops->show(&port, &js);
	json_out_end(&js);
	assert_int_equal(js.error, 0);
	assert_non_null(strstr(js.text, "\"name\":\"wan0\",\"role\":\"wan\""));
	assert_non_null(strstr(js.text, "\"WAN_DATA\":1,"));
	json_out_fini(&js);
}

/* All that comes from the LAN within a while: by which worker, and in which order. */
static unsigned take_flows(struct worker *w, uint16_t *next)
{
	unsigned n = receive(w, false, 1);

	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &w->batch.pkts[i];
		unsigned flow = number_at(p->data + 22) - FLOW_PORT;

		assert_int_equal(p->drop, DROP_NONE);
		assert_true(flow < FLOWS);
		assert_int_equal(number_at(p->data + 28), next[flow]);
		next[flow]++;
		p->out = PACKET_OUT_LAN;
		p->port_out = 0;
		p->nexthop = NH_LAN;
	}
	return n;
}

static void test_port(unsigned workers, const char *mode)
{
	/* A pool's cache belongs to no thread here: all free buffers are counted. */
	unsigned before = rte_mempool_avail_count(pool), lost;

	port_start(workers, mode);
	assert_int_equal(port.netdev_count, 2);
	assert_true(!(port.features & DPAPI_FEATURE_XDP_DRV) == !strcmp(mode, "generic"));
	test_lan_rx();
	test_wan_rx();
	test_wan_tx();
	test_socket_fallback();
	test_lan_tx();
	test_forward();
	test_show();
	port.ops->close(&port);
	lost = before - rte_mempool_avail_count(pool);
	/* Some lie in the kernel when it is told to stop. */
	assert_true(lost <= 256);
	run("! ip link show dev wan0 | grep -q xdp");
	run("! ip link show dev lan0 | grep -q xdp");
}

static void test_native(void **state)
{
	test_port(1, "native");
	test_port(2, "auto");
}

static void test_generic(void **state)
{
	test_port(2, "generic");
}

/* What a killed process had attached and opened is gone, and its successor just starts. */
static void test_killed(void **state)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		port_start(1, "native");
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	run("ip link show dev wan0 | grep -q xdp");
	kill(pid, SIGKILL);
	port_start(1, "native");
	test_lan_rx();
	test_wan_tx();
	port.ops->close(&port);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
}

/* A few rounds of one packet a flow, each numbered. */
static void send_flows(uint16_t first)
{
	uint8_t buf[256];

	for (uint16_t round = first; round < first + FLOW_ROUNDS; round++) {
		for (uint16_t flow = 0; flow < FLOWS; flow++) {
			uint8_t number[8] = {(uint8_t)(round >> 8), (uint8_t)round};
			uint32_t len = frame(buf, lan_mac, host_ip, far_ip,
					     (uint16_t)(FLOW_PORT + flow), number, 8);

			assert_int_equal(send(wire_many, buf, len, 0), len);
		}
	}
}

/* What was sent has come, to whichever worker, and goes back out of the interface. */
static void return_flows(uint16_t *next, unsigned *by_worker)
{
	uint64_t until_ns = clock_now_ns() + WAIT_NS;
	unsigned done = 0;

	for (unsigned turn = 0; done < FLOWS * FLOW_ROUNDS; turn++) {
		struct worker *w = worker[turn % 2];
		unsigned n = take_flows(w, next);

		if (clock_now_ns() > until_ns)
			fail_msg("%u of %u packets came", done, FLOWS * FLOW_ROUNDS);
		port.ops->tx(&port, w, &w->batch);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(w->batch.pkts[i].out, PACKET_OUT_NONE);
		finish(w);
		done += n;
		by_worker[w->id] += n;
	}
}

/* Flows spread over the queues and both workers; each keeps its order, and none loses a packet. */
static void check_queues(const char *add_link)
{
	uint16_t next[FLOWS] = {0}, back[FLOWS] = {0};
	unsigned by_worker[2] = {0};
	uint8_t buf[256];

	run(add_link);
	run("for i in many0 manyp; do ip link set $i up; done");
	wire_many = wire_open("manyp");
	port_start_lan(2, "many0", "native");
	for (uint16_t first = 0; first < FLOW_PACKETS; first += FLOW_ROUNDS) {
		send_flows(first);
		return_flows(next, by_worker);
		for (unsigned i = 0; i < FLOWS * FLOW_ROUNDS; i++) {
			uint32_t len = next_frame(wire_many, 0, buf, sizeof(buf));
			unsigned flow = len ? number_at(buf + 36) - FLOW_PORT : FLOWS;

			assert_true(flow < FLOWS);
			assert_int_equal(number_at(buf + 42), back[flow]);
			back[flow]++;
		}
	}
	assert_true(by_worker[0] > 0 && by_worker[1] > 0);
	port.ops->close(&port);
	close(wire_many);
	run("ip link del many0");
}

static void test_queues(void **state)
{
	cpu_set_t before, one;

	/* On one CPU: two have a backlog each, and the order between those is anyone's. */
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	check_queues("ip link add many0 address 02:00:00:00:00:03 numrxqueues 4 numtxqueues 4 "
		     "type veth peer name manyp numrxqueues 4 numtxqueues 4");
	/* More queues to receive than to send: both workers send on the one. */
	check_queues("ip link add many0 address 02:00:00:00:00:03 numrxqueues 4 numtxqueues 1 "
		     "type veth peer name manyp numrxqueues 4 numtxqueues 4");
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* The interface's new MAC is the one that counts. */
static void test_mac(void **state)
{
	static const uint8_t other_mac[6] = {0x02, 0, 0, 0, 0, 0x33};
	uint8_t buf[256];
	uint32_t len;

	port_start(1, "native");
	test_lan_rx();
	memcpy(port.netdev[1].mac, other_mac, 6);
	port.ops->mac_changed(&port, 1);
	len = frame(buf, lan_mac, host_ip, far_ip, 9, NULL, 50);
	assert_int_equal(send(wire_lan, buf, len, 0), len);
	len = frame(buf, other_mac, host_ip, far_ip, 10, NULL, 50);
	assert_int_equal(send(wire_lan, buf, len, 0), len);
	assert_int_equal(receive(owner(1), false, 1), 1);
	assert_int_equal(number_at(owner(1)->batch.pkts[0].data + 22), 10);
	finish(owner(1));
	port.ops->close(&port);
}

static enum drop_reason send_one_lan(uint16_t port_number)
{
	struct worker *w = worker[0];
	uint8_t inner[256];
	uint32_t len = frame(inner, lan_mac, far_ip, host_ip, port_number, NULL, 60) - 14;
	struct packet *p;

	w->batch.n = 0;
	p = batch_add(&w->batch);
	p->kind = PACKET_INNER;
	p->out = PACKET_OUT_LAN;
	p->port_out = 0;
	p->nexthop = NH_LAN;
	p->data = inner + 14;
	p->len = (uint16_t)len;
	port.ops->tx(&port, w, &w->batch);
	return p->drop;
}

/* What the ring was filled with while the interface was down does not stop it for ever. */
static void test_down_up(void **state)
{
	bool seen = false;
	uint8_t buf[2048];

	port_start(1, "native");
	run("ip link set lan0 down");
	for (unsigned i = 0; i < 2 * XDP_RING_MAX && send_one_lan(4445) == DROP_NONE; i++)
		continue;
	assert_int_equal(send_one_lan(4445), DROP_TX_RING_FULL);
	run("ip link set lan0 up");
	/* The carrier takes a moment. */
	for (unsigned i = 0; i < UP_TRIES && !seen; i++) {
		send_one_lan(4446);
		usleep(UP_PAUSE_US);
		while (recv(wire_lan, buf, sizeof(buf), 0) > 0)
			seen |= buf[23] == IP_PROTO_UDP && number_at(buf + 36) == 4446;
	}
	assert_true(seen);
	test_lan_rx();
	port.ops->close(&port);
}

static void test_refused(void **state)
{
	static const struct {
		const char *spec, *say;
	} rows[] = {
		{"wan=wan0,lan=lan0,tun=cw0", "listen= is missing"},
		{"wan=wan0,lan=lan0,listen=1", "tun= is missing"},
		{"listen=1,tun=cw0", "wan= is missing"},
		{"wan=wan0,lan=wan0,listen=1,tun=cw0", "named twice"},
		{"wan=wan0,listen=1,tun=cw0,colour=red", "unknown"},
		{"wan=wan0,listen=1,tun=cw0,queues=0", "number of queues"},
		{"wan=wan0+,listen=1,tun=cw0", "not an interface name"},
		{"wan=nowhere,listen=1,tun=cw0", "nowhere: No such device"},
		{"wan=lo,listen=1,tun=cw0", "not an Ethernet interface"},
		{"wan=wan0,lan=big0,listen=1,tun=cw0", "MTU 4000"},
	};
	struct port_env env = {
		.workers = 1, .pool = pool, .mbuf_data_bytes = RTE_MBUF_DEFAULT_BUF_SIZE};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct port p = {.ops = &port_xdp_ops};
		char err[PORT_ERROR_TEXT] = "";

		assert_true(p.ops->open(&p, rows[i].spec, &env, err) < 0);
		if (!strstr(err, rows[i].say))
			fail_msg("%s: says '%s'", rows[i].spec, err);
	}
	run("! ip link show dev cw0 2>/dev/null");
}

static void set_hop(uint16_t id, uint8_t netdev, const uint8_t *ip, const uint8_t *mac,
		    struct neigh_source *source)
{
	struct nexthop *n = &dp.neigh->hop[id];
	uint64_t word = 0;

	memcpy(&word, mac, 6);
	n->port = 0;
	n->netdev = netdev;
	n->family = AF_INET;
	memcpy(n->ip, ip, 4);
	atomic_store(&n->mac, word | NEIGH_MAC_VALID);
	atomic_store(&n->source, source);
}

static void tables_new(void)
{
	static struct neigh_table neigh;

	dp.outer = calloc(1, sizeof(*dp.outer));
	dp.outer->root4 = calloc(FIB_ROOT_ENTRIES, sizeof(*dp.outer->root4));
	dp.outer->root6 = calloc(FIB_ROOT_ENTRIES, sizeof(*dp.outer->root6));
	/* 192.0.0.0/16 is connected to the WAN interface. */
	dp.outer->root4[192 << 8] = 16u << FIB_ID_BITS | FIB_LOCAL_CONNECTED(0, 0);
	neigh.capacity = 2;
	neigh.hop = aligned_alloc(64, 3 * sizeof(*neigh.hop));
	memset(neigh.hop, 0, 3 * sizeof(*neigh.hop));
	dp.neigh = &neigh;
	memcpy(source_wan.mac, wan_mac, 6);
	memcpy(source_wan.addr, wan_ip, 4);
	source_wan.has_addr = 1;
	memcpy(source_lan.mac, lan_mac, 6);
	memcpy(source_lan.addr, lan_ip, 4);
	source_lan.has_addr = 1;
	set_hop(NH_WAN, 0, remote_ip, wanp_mac, &source_wan);
	set_hop(NH_LAN, 1, host_ip, lanp_mac, &source_lan);
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = aligned_alloc(64, (sizeof(struct worker) + 63) & ~(size_t)63);
		memset(worker[i], 0, sizeof(struct worker));
		worker[i]->dp = &dp;
		worker[i]->id = i;
	}
}

static int set_up(void **state)
{
	/* Without hugepages, "-m" and "--in-memory" exclude each other. */
	char *args[] = {"test",
			"--no-huge",
			"--no-shconf",
			"--no-pci",
			"-m",
			"64",
			"--no-telemetry",
			"--iova-mode=va",
			"--lcores",
			"0@(0-1)",
			"--log-level=lib.eal:error"};

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("ip link set lo up");
	run("ip link add wan0 address 02:00:00:00:00:01 type veth peer name wanp address "
	    "02:00:00:00:00:02");
	run("ip link add lan0 address 02:00:00:00:00:03 type veth peer name lanp address "
	    "02:00:00:00:00:04");
	run("ip link add big0 mtu 4000 type veth peer name bigp");
	run("for i in wan0 wanp lan0 lanp; do ip link set $i up; done");
	run("ip addr add 192.0.2.1/24 dev wan0 && ip addr add 10.1.0.1/24 dev lan0");
	wire_wan = wire_open("wanp");
	wire_lan = wire_open("lanp");
	assert_true(rte_eal_init(sizeof(args) / sizeof(args[0]), args) >= 0);
	pool = rte_pktmbuf_pool_create("test", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	assert_non_null(pool);
	tables_new();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),	cmocka_unit_test(test_generic),
		cmocka_unit_test(test_queues),	cmocka_unit_test(test_mac),
		cmocka_unit_test(test_down_up), cmocka_unit_test(test_killed),
		cmocka_unit_test(test_refused),
	};

	if (geteuid() != 0 || system("command -v ip >/dev/null")) {
		printf("skipped: needs root and ip\n");
		return SKIPPED;
	}
	return cmocka_run_group_tests(tests, set_up, NULL);
}
