/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows where packets go: between peers with the TTL taken down, to neighbours
 * on our own interfaces, or to the kernel, by the longer prefix of the two
 * tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/pipeline.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/neigh_build.h"
#include "lib/base/addr.h"
#include "lib/base/bug.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9}, own_mac[6] = {2, 0, 0, 0, 0, 1};
static struct dp_rig *rig;
static struct worker *w;
static struct batch *b;
static uint8_t bytes[PK_MAX];

static int setup(void **state)
{
	rig = dp_rig_new(1);
	w = rig->dp.workers[0];
	dp_rig_ready_peer(rig, 1, 1420, "10.1.0.0/16");
	dp_rig_ready_peer(rig, 2, 1420, "10.2.0.0/16");
	dp_rig_route(rig, "fd00:1::/32", 1);
	dp_rig_route(rig, "fd00:2::/32", 2);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

static void neighbour(uint8_t netdev, const char *ip, bool is_resolved)
{
	struct ip_addr a;

	assert_int_equal(addr_parse(ip, &a), 0);
	assert_int_equal(neigh_source_set(rig->dp.neigh, 0, netdev, a.family, own_mac, a.bytes), 0);
	assert_true(neigh_set(rig->dp.neigh, 0, netdev, a.family, a.bytes,
			      is_resolved ? mac : NULL) > 0);
}

/* Through route_outside as an opened packet of peer 1. */
static struct packet *route_opened(const char *src, const char *dst, uint8_t ttl, size_t payload,
				   unsigned *forwarded)
{
	size_t len = pk_udp(bytes, src, 1, dst, 2, payload);
	struct packet *p;

	pk_set_ttl(bytes, ttl);
	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, bytes, len);
	p->flags = PACKET_FROM_OUTSIDE;
	p->peer_in = 1;
	assert_int_equal(ip_parse(p->data, p->len, &b->info[0]), 0);
	*forwarded = route_outside_burst(w, b);
	assert_int_equal(p->drop, DROP_NONE);
	return p;
}

/* Where an opened packet to dst goes: a peer's number, or -1 kernel, -2 a neighbour. */
static int way_of(const char *dst)
{
	unsigned forwarded;
	struct packet *p =
		route_opened(strchr(dst, ':') ? "fd00:1::1" : "10.1.0.1", dst, 64, 20, &forwarded);

	assert_int_equal(forwarded, p->peer_out != PEER_NONE);
	assert_true(pk_is_sound(p->data, p->len));
	if (p->peer_out != PEER_NONE)
		return (int)p->peer_out;
	return p->out == PACKET_OUT_TUN ? -1 : -2;
}

static struct packet *route_inside(const char *dst, uint8_t flags, uint8_t ttl)
{
	size_t len = pk_udp(bytes, strchr(dst, ':') ? "fd00:9::1" : "10.9.0.1", 1, dst, 2, 20);
	struct packet *p;

	pk_set_ttl(bytes, ttl);
	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, bytes, len);
	p->flags = flags;
	route_inside_burst(w, b);
	return p;
}

static void test_hub(void **state)
{
	static const char *const to[] = {"10.2.0.5", "fd00:2::5"};
	unsigned forwarded;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned ttl = 2; ttl < 256; ttl++) {
			struct packet *p = route_opened(i ? "fd00:1::1" : "10.1.0.1", to[i],
							(uint8_t)ttl, 30, &forwarded);

			assert_int_equal(forwarded, 1);
			assert_int_equal(p->peer_out, 2);
			assert_int_equal(pk_ttl(p->data), ttl - 1);
			assert_true(pk_is_sound(p->data, p->len));
			assert_true(p->flags & PACKET_INNER_CHANGED);
		}
	}
}

/* The kernel answers with "time exceeded", so it must get the packet as it came. */
static void test_ttl_runs_out(void **state)
{
	static const char *const to[] = {"10.2.0.5", "fd00:2::5"};
	unsigned forwarded;

	for (unsigned i = 0; i < 2; i++) {
		for (uint8_t ttl = 0; ttl < 2; ttl++) {
			struct packet *p = route_opened(i ? "fd00:1::1" : "10.1.0.1", to[i], ttl,
							30, &forwarded);

			assert_int_equal(forwarded, 0);
			assert_int_equal(p->peer_out, PEER_NONE);
			assert_int_equal(p->out, PACKET_OUT_TUN);
			assert_int_equal(p->port_out, 0);
			assert_memory_equal(p->data, bytes, p->len);
		}
	}
}

static void test_ttl_runs_out_before_a_neighbour(void **state)
{
	unsigned forwarded;
	struct packet *p;

	neighbour(0, "192.168.5.7", true);
	dp_rig_kernel_route(rig, "192.168.5.0/24", FIB_LOCAL_CONNECTED(0, 0));
	p = route_opened("10.1.0.1", "192.168.5.7", 1, 30, &forwarded);
	assert_int_equal(p->out, PACKET_OUT_TUN);
	assert_memory_equal(p->data, bytes, p->len);
}

static void test_longest_of_both_tables(void **state)
{
	neighbour(0, "10.2.8.1", true);
	neighbour(0, "10.3.0.1", true);
	neighbour(0, "10.2.7.7", true);
	/* local: shorter, equal and longer than the mesh's. */
	dp_rig_kernel_route(rig, "10.0.0.0/8", FIB_LOCAL_CONNECTED(0, 0));
	dp_rig_kernel_route(rig, "10.1.0.0/16", FIB_LOCAL_CONNECTED(0, 0));
	dp_rig_kernel_route(rig, "10.2.8.0/24", FIB_LOCAL_CONNECTED(0, 0));
	dp_rig_kernel_route(rig, "10.2.7.0/24", FIB_LOCAL_KERNEL);
	dp_rig_route(rig, "10.2.7.7/32", 2);

	assert_int_equal(way_of("10.2.0.5"), 2);
	assert_int_equal(way_of("10.1.0.5"), 1);  /* equal: the mesh, even back to its peer */
	assert_int_equal(way_of("10.2.8.1"), -2); /* longer locally */
	assert_int_equal(way_of("10.3.0.1"), -2); /* not in the mesh */
	assert_int_equal(way_of("10.2.7.6"), -1);
	assert_int_equal(way_of("10.2.7.7"), 2);
	assert_int_equal(way_of("172.16.0.1"), -1); /* in neither */
	assert_int_equal(way_of("fd00:2::1"), 2);
	assert_int_equal(way_of("fd00:3::1"), -1);
	/* A default route of either kind is shorter than everything. */
	dp_rig_route(rig, "0.0.0.0/0", 2);
	assert_int_equal(way_of("172.16.0.1"), 2);
	dp_rig_kernel_route(rig, "0.0.0.0/0", FIB_LOCAL_KERNEL);
	assert_int_equal(way_of("172.16.0.1"), 2);
	assert_int_equal(way_of("10.3.0.1"), -2);
}

static void test_own_address_inside_the_mesh(void **state)
{
	dp_rig_kernel_route(rig, "10.2.0.9/32", FIB_LOCAL_KERNEL);
	dp_rig_kernel_route(rig, "fd00:2::9/128", FIB_LOCAL_KERNEL);
	assert_int_equal(way_of("10.2.0.9"), -1);
	assert_int_equal(way_of("10.2.0.8"), 2);
	assert_int_equal(way_of("fd00:2::9"), -1);
	/* Also where the mesh has the very same prefix? Then the mesh, as in the kernel's table. */
	dp_rig_route(rig, "10.2.0.9/32", 2);
	assert_int_equal(way_of("10.2.0.9"), 2);
}

static void test_neighbours(void **state)
{
	unsigned forwarded;
	struct packet *p;
	int gateway;
	struct ip_addr a;

	dp_rig_kernel_route(rig, "192.168.5.0/24", FIB_LOCAL_CONNECTED(0, 0));
	dp_rig_kernel_route(rig, "fd00:5::/64", FIB_LOCAL_CONNECTED(0, 1));
	/* Not known, known without an answer, resolved. */
	assert_int_equal(way_of("192.168.5.7"), -1);
	neighbour(0, "192.168.5.7", false);
	assert_int_equal(way_of("192.168.5.7"), -1);
	neighbour(0, "192.168.5.7", true);
	p = route_opened("10.1.0.1", "192.168.5.7", 64, 30, &forwarded);
	assert_int_equal(p->out, PACKET_OUT_LAN);
	assert_int_equal(p->port_out, 0);
	assert_int_equal(pk_ttl(p->data), 63);
	assert_true(pk_is_sound(p->data, p->len));
	assert_memory_equal(neigh_get(rig->dp.neigh, p->nexthop)->ip, ((uint8_t[]){192, 168, 5, 7}),
			    4);
	assert_int_equal(way_of("192.168.5.8"), -1);
	neighbour(1, "fd00:5::7", true);
	assert_int_equal(way_of("fd00:5::7"), -2);
	/* The neighbour of another interface is none. */
	neighbour(0, "fd00:5::8", true);
	assert_int_equal(way_of("fd00:5::8"), -1);
	/* It fails again. */
	neighbour(0, "192.168.5.7", false);
	assert_int_equal(way_of("192.168.5.7"), -1);

	/* Behind a gateway. */
	assert_int_equal(addr_parse("192.168.5.1", &a), 0);
	gateway = neigh_hold(rig->dp.neigh, 0, 0, a.family, a.bytes);
	assert_true(gateway > 0);
	dp_rig_kernel_route(rig, "172.20.0.0/16", FIB_LOCAL_NEXTHOP(gateway));
	assert_int_equal(way_of("172.20.1.1"), -1);
	neighbour(0, "192.168.5.1", true);
	assert_int_equal(way_of("172.20.1.1"), -2);
	p = route_opened("10.1.0.1", "172.20.1.1", 64, 30, &forwarded);
	assert_int_equal(p->nexthop, gateway);
}

static void test_lan_mtu(void **state)
{
	unsigned forwarded;
	struct packet *p;

	neighbour(0, "192.168.5.7", true);
	dp_rig_kernel_route(rig, "192.168.5.0/24", FIB_LOCAL_CONNECTED(0, 0));
	p = route_opened("10.1.0.1", "192.168.5.7", 64, 1500 - 28, &forwarded);
	assert_int_equal(p->len, 1500);
	assert_int_equal(p->out, PACKET_OUT_LAN);
	p = route_opened("10.1.0.1", "192.168.5.7", 64, 1501 - 28, &forwarded);
	assert_int_equal(p->out, PACKET_OUT_TUN);
	assert_memory_equal(p->data, bytes, p->len);
	rig->dp.ports[0].netdev[0].mtu = 9000;
	p = route_opened("10.1.0.1", "192.168.5.7", 64, 1501 - 28, &forwarded);
	assert_int_equal(p->out, PACKET_OUT_LAN);
}

static void test_from_tun(void **state)
{
	struct packet *p = route_inside("10.2.0.5", 0, 64);

	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->peer_out, 2);
	assert_memory_equal(p->data, bytes, p->len); /* the kernel has counted the hop */
	assert_int_equal(route_inside("10.2.0.5", 0, 1)->peer_out, 2);
	assert_int_equal(route_inside("fd00:2::1", 0, 1)->peer_out, 2);
	/* The kernel has decided for the tunnel: the local table is not asked. */
	dp_rig_kernel_route(rig, "10.2.0.0/24", FIB_LOCAL_KERNEL);
	assert_int_equal(route_inside("10.2.0.5", 0, 64)->peer_out, 2);
	assert_int_equal(route_inside("10.77.0.5", 0, 64)->drop, DROP_ROUTE_NO_PEER);
	assert_int_equal(route_inside("fd77::1", 0, 64)->drop, DROP_ROUTE_NO_PEER);
}

static void test_from_lan(void **state)
{
	struct packet *p = route_inside("10.2.0.5", PACKET_FROM_LAN, 64);

	assert_int_equal(p->peer_out, 2);
	assert_int_equal(pk_ttl(p->data), 63);
	assert_true(pk_is_sound(p->data, p->len));
	assert_int_equal(route_inside("10.2.0.5", PACKET_FROM_LAN, 1)->drop, DROP_ROUTE_TTL);
	/* What is local, or nobody's, is the kernel's, as it came. */
	dp_rig_kernel_route(rig, "10.2.0.0/24", FIB_LOCAL_CONNECTED(0, 0));
	p = route_inside("10.2.0.5", PACKET_FROM_LAN, 64);
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->peer_out, PEER_NONE);
	assert_int_equal(p->out, PACKET_OUT_TUN);
	assert_memory_equal(p->data, bytes, p->len);
	p = route_inside("172.16.0.1", PACKET_FROM_LAN, 1);
	assert_int_equal(p->drop, DROP_NONE);
	assert_int_equal(p->out, PACKET_OUT_TUN);
}

static void test_inside_garbage(void **state)
{
	static const struct {
		uint8_t bytes[24];
		uint16_t len;
		enum drop_reason drop;
	} rows[] = {
		{{0}, 0, DROP_ROUTE_BAD_LENGTH},
		{{0x45}, 1, DROP_ROUTE_BAD_LENGTH},
		{{0x45, 0, 0, 24}, 23, DROP_ROUTE_BAD_LENGTH},
		{{0x45, 0, 0, 19}, 24, DROP_ROUTE_BAD_LENGTH},
		{{0x44, 0, 0, 24}, 24, DROP_ROUTE_BAD_LENGTH},
		{{0x60}, 24, DROP_ROUTE_BAD_LENGTH},
		{{0x55}, 24, DROP_ROUTE_NOT_IP},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct packet *p;

		b = dp_rig_batch(rig, 0);
		p = dp_rig_add_inside(rig, b, rows[i].bytes, rows[i].len);
		route_inside_burst(w, b);
		assert_int_equal(p->drop, rows[i].drop);
	}
	/* Ethernet's padding behind a short packet does not go along. */
	size_t len = pk_udp(bytes, "10.9.0.1", 1, "10.2.0.5", 2, 2);

	b = dp_rig_batch(rig, 0);
	dp_rig_add_inside(rig, b, bytes, len + 16);
	route_inside_burst(w, b);
	assert_int_equal(b->pkts[0].len, len);
}

/* All ways at once, to the end: what the port gets, and what is counted. */
static void test_pipeline(void **state)
{
	struct dpapi_session_set one = dp_rig_session(rig, 1, 0x3011, DPAPI_SESSION_CONFIRMED);
	static const struct {
		const char *dst;
		enum packet_out out;
	} rows[] = {
		{"10.2.0.5", PACKET_OUT_UDP},	 {"192.168.5.7", PACKET_OUT_LAN},
		{"192.168.5.8", PACKET_OUT_TUN}, {"10.9.0.1", PACKET_OUT_TUN},
		{"10.2.0.6", PACKET_OUT_UDP},
	};
	uint8_t message[2048];

	neighbour(0, "192.168.5.7", true);
	dp_rig_kernel_route(rig, "192.168.5.0/24", FIB_LOCAL_CONNECTED(0, 0));
	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = pk_udp(bytes, "10.1.0.1", 1, rows[i].dst, 2, 32 + i);

		len = dp_rig_seal(&one, i, bytes, len, message);
		dp_rig_add_outside(rig, b, message, len);
	}
	dp_rig_add_outside(rig, b, message, 20);
	pipeline_outside(w, b);
	assert_int_equal(b->n, 0);
	assert_int_equal(rig->port[0].sent_count, ARRAY_SIZE(rows));
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(rig->port[0].sent[i].meta.out, rows[i].out);
	assert_int_equal(dp_rig_dropped(rig, DROP_CLASSIFY_RUNT), 1);
	assert_int_equal(w->stats.stage_packets[STAGE_OPEN], ARRAY_SIZE(rows) + 1);
	assert_int_equal(w->stats.stage_packets[STAGE_SEAL], 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hub),
		TEST(test_ttl_runs_out),
		TEST(test_ttl_runs_out_before_a_neighbour),
		TEST(test_longest_of_both_tables),
		TEST(test_own_address_inside_the_mesh),
		TEST(test_neighbours),
		TEST(test_lan_mtu),
		TEST(test_from_tun),
		TEST(test_from_lan),
		TEST(test_inside_garbage),
		TEST(test_pipeline),
	};

	int failed;

	/* Stages look ahead in large tables; packets must not notice. */
	dp_rig_tables(false);
	failed = cmocka_run_group_tests_name("stage_route", tests, NULL, NULL);
	dp_rig_tables(true);
	return failed + cmocka_run_group_tests_name("stage_route, large tables", tests, NULL, NULL);
}
