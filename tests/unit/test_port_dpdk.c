/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows which frames of an ethdev the dpdk port takes, gives to the kernel, limits or drops, what
 * it sends, how a worker without a queue sends, and that no buffer is lost.
 *
 *    net_ring0 [ WAN, dpdk port, LAN ] net_ring1         rings that give back what they take
 *
 * In a network namespace of its own; needs root (77 = skipped).
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cmocka.h>

#include "dataplane/dataplane.h"
#include "dataplane/port/dpdk_port.h"
#include "dataplane/table/fib_build.h"
#include "dataplane/table/neigh_build.h"
#include "lib/wire/ip_sum.h"

#define SKIPPED	      77
#define MBUFS	      2047
#define MBUF_BYTES    9344
#define LISTEN	      41641
#define MESSAGE_BYTES 96
#define JUMBO	      9000
#define WAN	      0
#define LAN	      1

static const uint8_t wan_ip[16] = {192, 0, 2, 1}, remote_ip[16] = {192, 0, 2, 9};
static const uint8_t wan_ip6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
static const uint8_t remote_ip6[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};
static const uint8_t lan_ip[16] = {10, 1, 0, 1}, host_ip[16] = {10, 1, 0, 10};
static const uint8_t far_ip[16] = {10, 2, 0, 10};
static const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

static struct rte_mempool *pool;
static struct port port;
static struct dataplane dp;
static struct worker *worker[2];

static struct dpdk_port *own(void)
{
	return port.priv;
}

static void port_start(unsigned workers, const char *more)
{
	struct port_env env = {.workers = workers, .pool = pool, .mbuf_data_bytes = MBUF_BYTES};
	char err[PORT_ERROR_TEXT] = "", spec[256];

	snprintf(spec, sizeof(spec), "wan=net_ring0,lan=net_ring1,listen=%u,tun=cw0%s", LISTEN,
		 more);
	port = (struct port){.ops = &port_dpdk_ops, .control_fd_v4 = -1, .control_fd_v6 = -1};
	dp.worker_count = workers;
	if (port.ops->open(&port, spec, &env, err))
		fail_msg("open: %s", err);
	assert_int_equal(port.netdev_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		const uint8_t *mac = port.netdev[i].mac;

		neigh_source_set(dp.neigh, 0, (uint8_t)i, AF_INET, mac, i ? lan_ip : wan_ip);
		neigh_source_set(dp.neigh, 0, (uint8_t)i, AF_INET6, mac, i ? NULL : wan_ip6);
	}
}

/* With all buffers back where they came from. */
static void port_stop(void)
{
	port.ops->close(&port);
	assert_int_equal(rte_mempool_avail_count(pool), MBUFS);
}

static uint64_t count(const char *name)
{
	struct port_counter c[PORT_COUNTERS_MAX];
	unsigned n = port.ops->counters(&port, c);

	for (unsigned i = 0; i < n; i++) {
		if (!strcmp(c[i].name + strlen("dpdk_"), name))
			return c[i].value;
	}
	fail_msg("no counter %s", name);
	return 0;
}

/* Ethernet, IPv4, UDP, payload. Returns the length. */
static uint32_t frame4(uint8_t *out, unsigned netdev, const uint8_t *src, const uint8_t *dst,
		       uint16_t dst_port, const uint8_t *payload, uint16_t len)
{
	struct ip_v4_header *ip = (struct ip_v4_header *)(out + 14);
	struct ip_udp_header *udp = (struct ip_udp_header *)(ip + 1);

	memset(out, 0, 42u + len);
	memcpy(out, port.netdev[netdev].mac, 6);
	memcpy(out + 6, peer_mac, 6);
	out[12] = 0x08;
	ip->version_ihl = 0x45;
	be16_put(&ip->total_len, (uint16_t)(28 + len));
	ip->ttl = 64;
	ip->protocol = IP_PROTO_UDP;
	memcpy(ip->src, src, 4);
	memcpy(ip->dst, dst, 4);
	ip_checksum_v4_set(ip);
	be16_put(&udp->src_port, 5555);
	be16_put(&udp->dst_port, dst_port);
	be16_put(&udp->len, (uint16_t)(8 + len));
	if (payload)
		memcpy(udp + 1, payload, len);
	return 42u + len;
}

static void message(uint8_t *out, uint8_t type, uint8_t fill)
{
	memset(out, fill, 148);
	out[0] = type;
	memset(out + 1, 0, 3);
}

/* The device receives the frame: rings give what was put into them. */
static void arrive(unsigned netdev, const uint8_t *bytes, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes, len);
	assert_int_equal(rte_eth_tx_burst(own()->dev[netdev].ethdev, 0, &m, 1), 1);
}

/* All that worker w's sources of one kind have, into its batch. */
static unsigned receive(struct worker *w, enum dpdk_source_kind kind, unsigned netdev)
{
	struct dpdk_worker *dw = &own()->worker[w->id];

	w->batch.n = 0;
	for (unsigned i = 0; i < dw->source_count; i++) {
		if (dw->source[i].kind == kind && dw->source[i].netdev == netdev)
			while (dpdk_port_rx(&port, w, i, &w->batch) && w->batch.n < BATCH_MAX)
				;
	}
	return w->batch.n;
}

static void finish(struct worker *w)
{
	for (unsigned i = 0; i < w->batch.n; i++)
		rte_pktmbuf_free(w->batch.pkts[i].mbuf);
	w->batch.n = 0;
}

/* What the device has sent: as received again. Its length, 0: nothing. */
static uint32_t leave(unsigned netdev, uint8_t *out)
{
	struct rte_mbuf *m;
	uint32_t len = 0;

	/* The kernel's own frames (IPv6 begins to speak) pass here as well. */
	while (rte_eth_rx_burst(own()->dev[netdev].ethdev, 0, &m, 1)) {
		if (!memcmp(rte_pktmbuf_mtod(m, uint8_t *), peer_mac, 6)) {
			len = m->pkt_len;
			memcpy(out, rte_pktmbuf_mtod(m, void *), len);
		}
		rte_pktmbuf_free(m);
	}
	return len;
}

static struct packet *new_packet(struct worker *w, enum packet_out out, uint8_t *bytes,
				 uint16_t len)
{
	struct packet *p;

	w->batch.n = 0;
	p = batch_add(&w->batch);
	p->out = (uint8_t)out;
	p->port_out = 0;
	p->data = bytes;
	p->len = len;
	return p;
}

static void test_wan(void **state)
{
	uint8_t f[2048], m[148];
	struct worker *w = worker[0];
	struct packet *p;
	uint64_t kernel;

	port_start(1, "");
	receive(w, DPDK_SOURCE_QUEUE, WAN);
	finish(w);
	message(m, 4, 0x5a);
	arrive(WAN, f, frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, MESSAGE_BYTES));
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, WAN), 1);
	p = &w->batch.pkts[0];
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_DATA);
	assert_int_equal(p->len, MESSAGE_BYTES);
	assert_memory_equal(p->data, m, MESSAGE_BYTES);
	assert_int_equal(p->remote->port, 5555);
	assert_memory_equal(p->remote->bytes, remote_ip, 4);
	finish(w);

	/* Each of these is the kernel's. */
	kernel = count("to_kernel");
	arrive(WAN, f, frame4(f, WAN, remote_ip, host_ip, LISTEN, m, MESSAGE_BYTES));
	arrive(WAN, f, frame4(f, WAN, remote_ip, wan_ip, LISTEN + 1, m, MESSAGE_BYTES));
	message(m, 1, 0x11);
	arrive(WAN, f, frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, 148));
	message(m, 4, 0x11);
	frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, MESSAGE_BYTES);
	f[20] = 0x20; /* more fragments */
	arrive(WAN, f, 42 + MESSAGE_BYTES);
	frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, MESSAGE_BYTES);
	memset(f, 0xff, 6); /* broadcast */
	arrive(WAN, f, 42 + MESSAGE_BYTES);
	f[0] = 0x02; /* somebody else's */
	arrive(WAN, f, 42 + MESSAGE_BYTES);
	arrive(WAN, f, 10);
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, WAN), 0);
	assert_int_equal(count("to_kernel") + count("to_kernel_lost") - kernel, 5);
	assert_int_equal(count("other_mac"), 1);
	assert_int_equal(count("runt"), 1);
	/* A checksum that is wrong is a fault of the frame. */
	frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, MESSAGE_BYTES);
	f[24] ^= 1;
	arrive(WAN, f, 42 + MESSAGE_BYTES);
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, WAN), 1);
	assert_int_equal(w->batch.pkts[0].drop, DROP_RX_BAD_FRAME);
	finish(w);
	port_stop();

	port_start(1, ",accept=any");
	arrive(WAN, f, frame4(f, WAN, remote_ip, host_ip, LISTEN, m, MESSAGE_BYTES));
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, WAN), 1);
	finish(w);
	port_stop();
}

static void test_lan(void **state)
{
	static uint8_t f[JUMBO + 64];
	struct worker *w = worker[0];
	struct packet *p;
	uint64_t kernel;
	uint32_t len;

	port_start(1, ",mtu=9000");
	assert_true(port.mtu_max >= JUMBO);
	assert_int_equal(port.netdev[LAN].mtu, JUMBO + 80);
	receive(w, DPDK_SOURCE_QUEUE, LAN);
	finish(w);
	len = frame4(f, LAN, host_ip, far_ip, 9, NULL, JUMBO - 28);
	arrive(LAN, f, len);
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, LAN), 1);
	p = &w->batch.pkts[0];
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->kind, PACKET_INNER);
	assert_int_equal(p->flags, PACKET_FROM_LAN);
	assert_int_equal(p->len, JUMBO);
	assert_memory_equal(p->data, f + 14, JUMBO);
	assert_true(p->headroom >= PACKET_HEADROOM && p->tailroom >= PACKET_TAILROOM);

	/* The route stage says that it is not the mesh's: the kernel gets the frame. */
	kernel = count("to_kernel");
	p->out = PACKET_OUT_TUN;
	p->port_out = 0;
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(p->out, PACKET_OUT_NONE);
	assert_int_equal(count("to_kernel"), kernel + 1);
	finish(w);

	frame4(f, LAN, host_ip, far_ip, 9, NULL, 50);
	f[22] = 1; /* TTL */
	ip_checksum_v4_set((struct ip_v4_header *)(f + 14));
	arrive(LAN, f, 92);
	frame4(f, LAN, host_ip, far_ip, 9, NULL, 50);
	f[14] = 0x46; /* options */
	arrive(LAN, f, 92);
	frame4(f, LAN, host_ip, far_ip, 9, NULL, 50);
	f[30] = 239; /* multicast */
	arrive(LAN, f, 92);
	f[12] = 0x08, f[13] = 0x06; /* ARP */
	arrive(LAN, f, 60);
	f[12] = 0x81, f[13] = 0x00; /* a VLAN */
	arrive(LAN, f, 92);
	kernel = count("to_kernel");
	assert_int_equal(receive(w, DPDK_SOURCE_QUEUE, LAN), 0);
	assert_int_equal(count("to_kernel") - kernel, 5);
	port_stop();
}

static void test_tx(void **state)
{
	struct dpapi_addr remote = {.family = AF_INET, .port = 7777};
	uint8_t m[148], f[2048], inner[256];
	struct worker *w = worker[0];
	struct packet *p;

	port_start(1, "");
	message(m, 4, 0x77);
	memcpy(remote.bytes, remote_ip, 4);
	p = new_packet(w, PACKET_OUT_UDP, m, MESSAGE_BYTES);
	p->remote = &remote;
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->out, PACKET_OUT_NONE);
	assert_int_equal(leave(WAN, f), 42 + MESSAGE_BYTES);
	assert_memory_equal(f + 6, port.netdev[WAN].mac, 6);
	assert_true(ip_checksum_v4_ok((const struct ip_v4_header *)(f + 14)));
	assert_memory_equal(f + 26, wan_ip, 4);
	assert_memory_equal(f + 30, remote_ip, 4);
	assert_int_equal(f[34] << 8 | f[35], LISTEN);
	assert_memory_equal(f + 42, m, MESSAGE_BYTES);

	/* IPv6, whose checksum is not optional. */
	remote.family = AF_INET6;
	memcpy(remote.bytes, remote_ip6, 16);
	p = new_packet(w, PACKET_OUT_UDP, m, MESSAGE_BYTES);
	p->remote = &remote;
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(leave(WAN, f), 62 + MESSAGE_BYTES);
	assert_true(f[60] || f[61]);

	frame4(inner, LAN, far_ip, host_ip, 9, NULL, 60);
	p = new_packet(w, PACKET_OUT_LAN, inner + 14, 88);
	p->nexthop = neigh_find(dp.neigh, 0, LAN, AF_INET, host_ip);
	port.ops->tx(&port, w, &w->batch);
	assert_int_equal(leave(LAN, f), 14 + 88);
	assert_memory_equal(f + 14, inner + 14, 88);
	port_stop();
}

/* One queue, and the second worker has it: the first one's frames go through its hands. */
static void test_handover(void **state)
{
	struct dpapi_addr remote = {.family = AF_INET, .port = 7777};
	struct worker *owner = worker[WAN], *other = worker[LAN];
	uint8_t m[148], f[2048];
	unsigned sent = 0, failed = 0;

	port_start(2, ",queues=1");
	assert_null(own()->worker[owner->id].tx[WAN].handover);
	assert_non_null(own()->worker[other->id].tx[WAN].handover);
	assert_null(own()->worker[other->id].tx[LAN].handover);
	message(m, 4, 0x31);
	memcpy(remote.bytes, remote_ip, 4);
	leave(WAN, f);
	for (unsigned i = 0; i < 600; i++) {
		struct packet *p = new_packet(other, PACKET_OUT_UDP, m, MESSAGE_BYTES);

		p->remote = &remote;
		port.ops->tx(&port, other, &other->batch);
		sent += p->drop == DROP_NONE;
		failed += p->drop == DROP_TX_RING_FULL;
		if (i == 0) {
			assert_int_equal(leave(WAN, f), 0);
			receive(owner, DPDK_SOURCE_HANDOVER, WAN);
			assert_int_equal(leave(WAN, f), 42 + MESSAGE_BYTES);
		}
	}
	/* A full ring is a full device. */
	assert_int_equal(sent + failed, 600);
	assert_true(failed > 0);
	assert_int_equal(count("handed_over"), sent);
	receive(owner, DPDK_SOURCE_HANDOVER, WAN);
	assert_int_equal(leave(WAN, f), 42 + MESSAGE_BYTES);
	port_stop();
}

static void test_flood(void **state)
{
	struct worker *w = worker[0];
	uint8_t m[148], f[256];
	uint64_t kernel;

	port_start(1, "");
	receive(w, DPDK_SOURCE_QUEUE, WAN);
	kernel = count("to_kernel");
	message(m, 1, 0x42);
	for (unsigned i = 0; i < 2 * FLOOD_SOURCE_BURST; i++) {
		arrive(WAN, f, frame4(f, WAN, remote_ip, wan_ip, LISTEN, m, 148));
		receive(w, DPDK_SOURCE_QUEUE, WAN);
	}
	/* Some more as time passes. */
	assert_true(count("flood_source") > FLOOD_SOURCE_BURST / 2);
	assert_in_range(count("to_kernel") + count("to_kernel_lost") - kernel, FLOOD_SOURCE_BURST,
			FLOOD_SOURCE_BURST + FLOOD_SOURCE_BURST / 2);
	/* Another source is not held up. */
	kernel = count("to_kernel");
	arrive(WAN, f, frame4(f, WAN, host_ip, wan_ip, LISTEN, m, 148));
	receive(w, DPDK_SOURCE_QUEUE, WAN);
	assert_int_equal(count("to_kernel"), kernel + 1);
	port_stop();
}

static void test_spec(void **state)
{
	static const char *const bad[] = {
		"lan=net_ring1",
		"wan=net_ring0;tap=a/b,listen=1,tun=cw0",
		"wan=net_ring0;x,listen=1,tun=cw0",
		"wan=net_memif0;mac=1:2,listen=1,tun=cw0",
		"wan=net_vhost0,listen=1,tun=cw0",
		"wan=net_ring0+net_ring0,listen=1,tun=cw0",
		"wan=net_ring0;tap=cw0,listen=1,tun=cw0",
		"wan=net_ring0,listen=1,tun=a-name-of-15---",
		"wan=net_ring0,listen=1,tun=cw0,rings=1",
		"wan=net_ring0,listen=1,tun=cw0,accept=all",
		"wan=net ring,listen=1,tun=cw0",
	};
	struct dpdk_spec s;
	char err[PORT_ERROR_TEXT];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err[0] = '\0';
		if (dpdk_spec_parse(bad[i], &s, err) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_true(err[0]);
	}
	assert_int_equal(
		dpdk_spec_parse("wan=net_vhost0;iface=/a/b;queues=2;tap=out,lan=0000:3b:00.1+"
				"net_null0;no-rx=1,listen=7,tun=cw0,mtu=9000,poll=always",
				&s, err),
		0);
	assert_int_equal(s.device_count, 3);
	assert_string_equal(s.device[0].args, "iface=/a/b,queues=2");
	assert_string_equal(s.device[0].tap, "out");
	assert_true(s.device[1].is_pci && !s.device[1].is_wan);
	assert_string_equal(s.device[1].tap, "cw0-lan0");
	assert_string_equal(s.device[2].tap, "cw0-lan1");
	assert_int_equal(s.device_mtu, 9080);
	assert_true(s.is_polled_always);
}

static void route(struct fib *f, const uint8_t *addr, int family, unsigned len, uint32_t id)
{
	assert_int_equal(fib_set(f, addr, family, len, id, 1), 0);
}

static void tables_new(void)
{
	dp.local = fib_new();
	dp.outer = fib_new();
	dp.mesh = fib_new();
	dp.neigh = neigh_table_new(16);
	route(dp.local, wan_ip, AF_INET, 32, FIB_LOCAL_KERNEL);
	route(dp.local, (const uint8_t[16]){10, 1}, AF_INET, 24, FIB_LOCAL_CONNECTED(0, LAN));
	route(dp.outer, (const uint8_t[16]){192, 0, 2}, AF_INET, 24, FIB_LOCAL_CONNECTED(0, WAN));
	route(dp.outer, (const uint8_t[16]){0x20, 1, 0xd, 0xb8}, AF_INET6, 64,
	      FIB_LOCAL_CONNECTED(0, WAN));
	neigh_set(dp.neigh, 0, WAN, AF_INET, remote_ip, peer_mac);
	neigh_set(dp.neigh, 0, WAN, AF_INET6, remote_ip6, peer_mac);
	neigh_set(dp.neigh, 0, LAN, AF_INET, host_ip, peer_mac);
	for (unsigned i = 0; i < 2; i++) {
		worker[i] = aligned_alloc(64, (sizeof(struct worker) + 63) & ~(size_t)63);
		memset(worker[i], 0, sizeof(struct worker));
		worker[i]->dp = &dp;
		worker[i]->id = i;
	}
}

static int set_up(void **state)
{
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
	assert_true(rte_eal_init(sizeof(args) / sizeof(args[0]), args) >= 0);
	pool = rte_pktmbuf_pool_create("test", MBUFS, 0, 0, MBUF_BYTES, SOCKET_ID_ANY);
	assert_non_null(pool);
	tables_new();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec),  cmocka_unit_test(test_wan),
		cmocka_unit_test(test_lan),   cmocka_unit_test(test_tx),
		cmocka_unit_test(test_flood), cmocka_unit_test(test_handover),
	};

	if (geteuid() != 0) {
		printf("skipped: needs root\n");
		return SKIPPED;
	}
	return cmocka_run_group_tests(tests, set_up, NULL);
}
