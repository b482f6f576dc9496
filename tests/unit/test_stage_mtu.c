/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the MSS of opening TCP connections is lowered to what the peers'
 * MTU leaves, with a right checksum wherever the option stands, that nothing
 * malformed is touched, and where packets above the MTU go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/stage/stage.h"
#include "lib/base/bug.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

static struct dp_rig *rig;
static struct worker *w;
static struct batch *b;
static uint8_t bytes[PK_MAX];

/* Peers 1, 2, 3 with these MTUs. */
static const uint16_t mtus[] = {0, 1420, 1280, 8900};

static int setup(void **state)
{
	rig = dp_rig_new(1);
	w = rig->dp.workers[0];
	for (uint32_t id = 1; id < ARRAY_SIZE(mtus); id++)
		dp_rig_peer(rig, id, mtus[id], 0);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

static size_t tcp(bool v6, uint8_t flags, const uint8_t *options, size_t options_len)
{
	return pk_tcp(bytes, v6 ? "fd00::1" : "10.0.0.1", v6 ? "fd00::2" : "10.0.0.2", flags,
		      options, options_len, 3);
}

/* From peer_in (PEER_NONE: from inside) to peer_out (PEER_NONE: to the kernel). */
static struct packet *pass(uint32_t peer_in, uint32_t peer_out, size_t len)
{
	struct packet *p;

	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, bytes, len);
	p->peer_in = peer_in;
	p->peer_out = peer_out;
	if (peer_in)
		p->flags = PACKET_FROM_OUTSIDE;
	if (!peer_out) {
		p->out = PACKET_OUT_TUN;
		p->port_out = 0;
	}
	assert_int_equal(ip_parse(p->data, p->len, &b->info[0]), 0);
	mtu_burst(w, b);
	assert_int_equal(p->drop, DROP_NONE);
	return p;
}

static uint16_t mss_at(const struct packet *p, bool v6, size_t at)
{
	const uint8_t *mss = p->data + (v6 ? 40 : 20) + IP_TCP_HEADER_BYTES + at + 2;

	return (uint16_t)(mss[0] << 8 | mss[1]);
}

/* The MSS option behind n bytes of others: at even and odd places. */
static size_t options_with_mss(uint8_t *o, size_t n, uint16_t mss)
{
	size_t len = n;

	memset(o, 1, 40); /* NOP */
	if (n >= 13) {
		/* Window scale (3) and timestamps (10) first. */
		memcpy(o + n - 13, ((uint8_t[]){3, 3, 7, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}), 13);
	}
	o[len++] = 2;
	o[len++] = 4;
	o[len++] = (uint8_t)(mss >> 8);
	o[len++] = (uint8_t)mss;
	return (len + 3) / 4 * 4;
}

static void test_clamp(void **state)
{
	static const struct {
		uint32_t in, out;
		uint16_t mtu;
	} ways[] = {
		{1, 0, 1420}, {0, 1, 1420}, {2, 0, 1280}, {0, 2, 1280}, {1, 2, 1280},
		{2, 1, 1280}, {1, 3, 1420}, {3, 0, 8900}, {0, 3, 8900},
	};
	static const uint16_t values[] = {0,	1,    536,  1219, 1220, 1221, 1359, 1360,
					  1361, 1379, 1380, 1381, 1460, 8860, 8961, 65535};
	uint64_t clamped = 0;
	uint8_t o[40];

	for (unsigned k = 0; k < ARRAY_SIZE(ways) * ARRAY_SIZE(values) * 2 * 20; k++) {
		unsigned place = k % 20, v6 = k / 20 % 2;
		uint16_t mss = values[k / 40 % ARRAY_SIZE(values)];
		unsigned way = k / 40 / ARRAY_SIZE(values);
		uint16_t limit = (uint16_t)(ways[way].mtu - (v6 ? 60 : 40));
		size_t len = tcp(v6, place & 1 ? IP_TCP_SYN : IP_TCP_SYN | IP_TCP_ACK, o,
				 options_with_mss(o, place, mss));
		struct packet *p = pass(ways[way].in, ways[way].out, len);

		assert_int_equal(mss_at(p, v6, place), mss > limit ? limit : mss);
		assert_true(pk_is_sound(p->data, p->len));
		assert_int_equal(!!(p->flags & PACKET_INNER_CHANGED), mss > limit);
		if (mss > limit)
			clamped++;
		else
			assert_memory_equal(p->data, bytes, len);
	}
	assert_int_equal(w->stats.mss_clamped, clamped);
	assert_true(clamped > 1000);
}

static void test_only_syn(void **state)
{
	uint8_t o[40];
	size_t n = options_with_mss(o, 0, 9000);

	for (unsigned flags = 0; flags < 256; flags++) {
		size_t len = tcp(false, (uint8_t)flags, o, n);
		struct packet *p = pass(0, 1, len);

		assert_int_equal(mss_at(p, false, 0), flags & IP_TCP_SYN ? 1380 : 9000);
	}
}

static void test_malformed_is_untouched(void **state)
{
	static const uint8_t rows[][8] = {
		{2, 0, 0xff, 0xff},		   /* length 0 */
		{2, 1, 0xff, 0xff},		   /* length 1 */
		{2, 3, 0xff, 1},		   /* MSS of three bytes */
		{2, 5, 0xff, 0xff, 0xff, 1, 1, 1}, /* of five */
		{2, 9, 0xff, 0xff, 1, 1, 1, 1},	   /* longer than the header */
		{0, 2, 4, 0xff, 0xff},		   /* behind the end */
		{8, 0, 2, 4, 0xff, 0xff},	   /* another option of length 0 */
		{8, 200, 2, 4, 0xff, 0xff},	   /* leads out of the header */
		{1, 1, 1, 1, 1, 1, 1, 2},	   /* the kind is the last byte */
		{1, 1, 1, 1, 1, 1, 2, 4},	   /* its value is not there */
		{1, 1, 1, 1, 1, 2, 4, 0xff},	   /* half of it */
		{5, 6, 2, 4, 0xff, 0xff, 0, 0},	   /* inside another option */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = tcp(i & 1, IP_TCP_SYN, rows[i], 8);
		struct packet *p = pass(0, 1, len);

		if (memcmp(p->data, bytes, len) != 0)
			fail_msg("row %u was changed", i);
		assert_int_equal(p->flags & PACKET_INNER_CHANGED, 0);
	}
}

static void test_malformed_header(void **state)
{
	uint8_t o[40];
	size_t len = tcp(false, IP_TCP_SYN, o, options_with_mss(o, 0, 9000));

	/* Every header length the field can say, in a packet of 44 + 3 bytes. */
	for (unsigned words = 0; words < 16; words++) {
		struct packet *p;

		bytes[20 + 12] = (uint8_t)(words << 4);
		p = pass(0, 1, len);
		if (words == 6)
			assert_int_equal(mss_at(p, false, 0), 1380);
		else
			assert_memory_equal(p->data, bytes, len);
	}
}

static void test_fragments_are_untouched(void **state)
{
	struct ip_v4_header *h = (struct ip_v4_header *)bytes;
	uint8_t o[40];
	size_t len = tcp(false, IP_TCP_SYN, o, options_with_mss(o, 0, 9000));

	be16_put(&h->fragment, IP_V4_MF);
	ip_checksum_v4_set(h);
	assert_memory_equal(pass(0, 1, len)->data, bytes, len);
	be16_put(&h->fragment, IP_V4_DF);
	ip_checksum_v4_set(h);
	assert_int_equal(mss_at(pass(0, 1, len), false, 0), 1380);
}

/* Random options: never a byte outside the MSS value and the checksum. */
static void test_random_options(void **state)
{
	unsigned changed = 0;

	srandom(7);
	for (unsigned k = 0; k < 20000; k++) {
		uint8_t o[40];
		size_t n = (size_t)(random() % 11) * 4, len;
		unsigned differ = 0;
		struct packet *p;

		for (size_t i = 0; i < n; i++)
			o[i] = random() % 3 ? (uint8_t)(random() % 6) : (uint8_t)random();
		len = tcp(k & 1, IP_TCP_SYN, o, n);
		p = pass(0, 2, len);
		for (size_t i = 0; i < len; i++)
			differ += p->data[i] != bytes[i];
		assert_true(differ <= 4);
		assert_true(pk_is_sound(p->data, p->len));
		changed += differ > 0;
	}
	assert_true(changed > 100);
}

/* A packet of len bytes from (flags) to a peer of MTU 1420. */
static struct packet *sized(size_t len, uint8_t flags)
{
	struct packet *p;

	len = pk_udp(bytes, "10.0.0.1", 1, "10.0.0.2", 2, len - 28);
	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, bytes, len);
	p->peer_out = 1;
	p->peer_in = flags & PACKET_FROM_OUTSIDE ? 3 : PEER_NONE;
	p->flags = flags;
	assert_int_equal(ip_parse(p->data, p->len, &b->info[0]), 0);
	mtu_burst(w, b);
	return p;
}

static void test_too_big(void **state)
{
	static const uint8_t from_wire[] = {PACKET_FROM_OUTSIDE, PACKET_FROM_LAN};

	assert_int_equal(sized(1420, 0)->drop, DROP_NONE);
	assert_int_equal(sized(1420, 0)->peer_out, 1);
	assert_int_equal(sized(1421, 0)->drop, DROP_MTU_TOO_BIG);
	for (unsigned i = 0; i < 2; i++) {
		struct packet *p = sized(1420, from_wire[i]);

		assert_int_equal(p->peer_out, 1);
		p = sized(1421, from_wire[i]);
		assert_int_equal(p->drop, DROP_NONE);
		assert_int_equal(p->peer_out, PEER_NONE);
		assert_int_equal(p->out, PACKET_OUT_TUN);
		assert_int_equal(p->port_out, 0);
	}
}

/* Towards the kernel there is no limit; the MTU of a changed peer counts at once. */
static void test_limits_that_change(void **state)
{
	size_t len = pk_udp(bytes, "10.0.0.1", 1, "10.0.0.2", 2, 8000);
	struct packet *p = pass(1, 0, len);

	assert_int_equal(p->out, PACKET_OUT_TUN);
	dp_rig_peer(rig, 1, 1300, 0);
	assert_int_equal(sized(1301, 0)->drop, DROP_MTU_TOO_BIG);
	assert_int_equal(sized(1300, 0)->drop, DROP_NONE);
	/* A peer that is gone meanwhile stops the packet later, in seal. */
	b = dp_rig_batch(rig, 0);
	p = dp_rig_add_inside(rig, b, bytes, len);
	p->peer_out = 99;
	assert_int_equal(ip_parse(p->data, p->len, &b->info[0]), 0);
	mtu_burst(w, b);
	assert_int_equal(p->drop, DROP_NONE);
}

static void test_batch_of_several_peers(void **state)
{
	size_t len = pk_udp(bytes, "10.0.0.1", 1, "10.0.0.2", 2, 1400 - 28);

	b = dp_rig_batch(rig, 0);
	for (unsigned i = 0; i < BATCH_MAX; i++) {
		struct packet *p = dp_rig_add_inside(rig, b, bytes, len);

		p->peer_out = 1 + i % 3;
		assert_int_equal(ip_parse(p->data, p->len, &b->info[i]), 0);
	}
	mtu_burst(w, b);
	for (unsigned i = 0; i < BATCH_MAX; i++)
		assert_int_equal(b->pkts[i].drop, i % 3 == 1 ? DROP_MTU_TOO_BIG : DROP_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_clamp),
		TEST(test_only_syn),
		TEST(test_malformed_is_untouched),
		TEST(test_malformed_header),
		TEST(test_fragments_are_untouched),
		TEST(test_random_options),
		TEST(test_too_big),
		TEST(test_limits_that_change),
		TEST(test_batch_of_several_peers),
	};

	int failed;

	/* Stages look ahead in large tables; packets must not notice. */
	dp_rig_tables(false);
	failed = cmocka_run_group_tests_name("stage_mtu", tests, NULL, NULL);
	dp_rig_tables(true);
	return failed + cmocka_run_group_tests_name("stage_mtu, large tables", tests, NULL, NULL);
}
