/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that runs are what a split undoes, keep each flow's order, and launder no bad checksum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dataplane/port/tun_coalesce.h"
#include "dataplane/port/tun_split.h"
#include "tests/unit/gso_packets.h"

#define PORT	   3
#define SLOT_BYTES 2048

static struct batch batch;
static struct tun_runs runs;
static uint8_t bytes[BATCH_MAX][SLOT_BYTES], before[BATCH_MAX][SLOT_BYTES];
static uint8_t super[GSO_PACKET_MAX], flat[GSO_PACKET_MAX + 64], segment[GSO_PACKET_MAX];

static void begin(void)
{
	batch.n = 0;
	batch.port_in = 0;
}

/* Packet of len bytes is in bytes[batch.n] already. */
static struct packet *add(size_t len)
{
	unsigned i = batch.n;
	struct packet *p = batch_add(&batch);

	assert_true(len <= SLOT_BYTES);
	p->data = bytes[i];
	p->len = (uint16_t)len;
	p->out = PACKET_OUT_TUN;
	p->port_out = PORT;
	memcpy(before[i], bytes[i], len);
	return p;
}

static void add_segment(const struct gso_flow *f, unsigned k, size_t at, size_t payload)
{
	add(gso_build(f, bytes[batch.n], k, at, payload, false));
}

static void coalesce(void)
{
	tun_coalesce_batch(&runs, &batch, PORT, true, true);
}

/* What one write would hand to the kernel. */
static size_t flatten(unsigned run, struct virtio_net_hdr *v)
{
	struct iovec iov[TUN_RUN_IOVECS];
	unsigned n = tun_coalesce_iovec(&runs, &batch, run, iov);
	size_t len = 0;

	assert_int_equal(iov[0].iov_len, sizeof(*v));
	memcpy(v, iov[0].iov_base, sizeof(*v));
	for (unsigned i = 1; i < n; i++) {
		assert_true(len + iov[i].iov_len <= sizeof(flat));
		memcpy(flat + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

/* With DF an IPv4 id means nothing and may change on the way. */
static void blank_free_id(uint8_t *p)
{
	if (p[0] >> 4 == 4 && p[6] & 0x40) {
		gso_put16(p + 4, 0);
		gso_put16(p + 10, 0);
	}
}

static void expect_packet(uint8_t *got, size_t len, unsigned i)
{
	uint8_t want[SLOT_BYTES];

	assert_int_equal(len, batch.pkts[i].len);
	memcpy(want, before[i], len);
	blank_free_id(want);
	blank_free_id(got);
	assert_memory_equal(got, want, len);
}

/* split(coalesce(x)) == x for one run, whose packets follow by next[]. */
static void check_run(unsigned r)
{
	struct virtio_net_hdr v;
	size_t len = flatten(r, &v);
	unsigned i = runs.run[r].first;
	struct tun_split s;

	if (runs.run[r].count == 1) {
		assert_int_equal(v.flags, 0);
		assert_int_equal(v.gso_type, 0);
		expect_packet(flat, len, i);
		return;
	}
	assert_true(len <= 65535);
	assert_int_equal(tun_split_open(&s, &v, flat, len), TUN_SPLIT_SUPER);
	for (unsigned k = 0; k < runs.run[r].count; k++) {
		uint32_t n = tun_split_next(&s, segment);

		assert_true(n);
		expect_packet(segment, n, i);
		i = runs.next[i];
	}
	assert_int_equal(tun_split_room(&s), 0);
}

/* Every packet in one run, and what each flow gets is in the order of the batch. */
static void check_order(const uint8_t *flow_of, unsigned flows)
{
	int last[BATCH_MAX];
	unsigned seen = 0;

	for (unsigned f = 0; f < flows; f++)
		last[f] = -1;
	for (unsigned r = 0; r < runs.count; r++) {
		unsigned i = runs.run[r].first;

		for (unsigned k = 0; k < runs.run[r].count; k++) {
			assert_true((int)i > last[flow_of[i]]);
			last[flow_of[i]] = (int)i;
			seen++;
			i = runs.next[i];
		}
	}
	assert_int_equal(seen, batch.n);
}

/* coalesce(split(x)) == x. */
static void test_undoes_split(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct gso_flow f = gso_random_flow();
		size_t size = 1 + gso_rand(1000);
		size_t total = size + 1 + gso_rand((uint32_t)(size * (BATCH_MAX - 1)));
		struct virtio_net_hdr want = gso_vnet(&f, size), v;
		size_t len, n;
		struct tun_split s;

		if (!f.is_udp && gso_rand(2))
			f.flags |= 0x08;
		len = gso_build(&f, super, 0, 0, total, true);
		assert_int_equal(tun_split_open(&s, &want, super, len), TUN_SPLIT_SUPER);
		begin();
		while ((n = tun_split_next(&s, bytes[batch.n])))
			add(n);
		coalesce();
		assert_int_equal(runs.count, 1);
		assert_int_equal(flatten(0, &v), len);
		assert_memory_equal(&v, &want, sizeof(v));
		assert_memory_equal(flat, super, len);
	}
}

/* A change that may keep the packet from joining, or end the run. */
static void disturb(struct gso_flow *f, size_t *at)
{
	switch (gso_rand(12)) {
	case 0:
		f->tos ^= 1;
		break;
	case 1:
		f->ttl = (uint8_t)(f->ttl == 1 ? 2 : f->ttl - 1);
		break;
	case 2:
		f->flags ^= 0x08;
		break;
	case 3:
		f->flags ^= 0x01;
		break;
	case 4:
		f->ack++;
		break;
	case 5:
		f->window++;
		break;
	case 6:
		*at += gso_rand(3);
		break;
	case 7:
		f->id = (uint16_t)(f->id + gso_rand(3));
		break;
	case 8:
		f->ip_options = 8;
		break;
	case 9:
		f->is_df = !f->is_df;
		break;
	case 10:
		f->flags ^= 0x80;
		break;
	default:
		f->tcp_options = (uint8_t)(4 * gso_rand(3));
	}
}

static void test_random_batches(void **state)
{
	unsigned joined = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		unsigned flows = 1 + gso_rand(12);
		struct gso_flow f[12];
		size_t at[12] = {0}, size[12];
		unsigned k[12] = {0};
		uint8_t flow_of[BATCH_MAX];

		for (unsigned i = 0; i < flows; i++) {
			f[i] = gso_random_flow();
			f[i].host = (uint8_t)(1 + i);
			size[i] = 1 + gso_rand(400);
		}
		begin();
		for (unsigned n = 1 + gso_rand(BATCH_MAX); n; n--) {
			unsigned i = gso_rand(flows);
			struct gso_flow seg = f[i];
			size_t payload = gso_rand(12) ? size[i] : gso_rand(500);

			if (!gso_rand(10))
				disturb(&seg, &at[i]);
			flow_of[batch.n] = (uint8_t)i;
			add_segment(&seg, k[i]++, at[i], payload);
			at[i] += payload;
			if (!gso_rand(20)) {
				bytes[batch.n - 1][batch.pkts[batch.n - 1].len - 1] ^= 1;
				before[batch.n - 1][batch.pkts[batch.n - 1].len - 1] ^= 1;
			}
		}
		coalesce();
		check_order(flow_of, flows);
		for (unsigned r = 0; r < runs.count; r++)
			check_run(r);
		joined += batch.n - runs.count;
	}
	assert_true(joined > 200000);
}

/* Two segments of one flow, the second changed: never one run. */
static void expect_apart(struct gso_flow a, struct gso_flow b, unsigned k, size_t at,
			 size_t payload)
{
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&b, k, at, payload);
	coalesce();
	assert_int_equal(runs.count, 2);
	check_run(0);
	check_run(1);
}

static struct gso_flow tcp(void)
{
	return (struct gso_flow){.ttl = 64,
				 .flags = 0x10,
				 .host = 1,
				 .sport = 1024,
				 .id = 7,
				 .seq = 1,
				 .ack = 5,
				 .window = 6,
				 .tcp_options = 12};
}

static void test_rules(void **state)
{
	struct gso_flow a = tcp(), b;

	(void)state;
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&a, 1, 100, 100);
	coalesce();
	assert_int_equal(runs.count, 1);

	expect_apart(a, a, 1, 101, 100); /* hole */
	expect_apart(a, a, 1, 100, 101); /* longer */
	expect_apart(a, a, 1, 100, 0);	 /* bare acknowledgement */
	expect_apart(a, a, 2, 100, 100); /* id jumps without DF */
#define APART(change)                                                                              \
	b = a;                                                                                     \
	b.change;                                                                                  \
	expect_apart(a, b, 1, 100, 100)
	APART(tos = 1);
	APART(ttl = 63);
	APART(is_df = true);
	APART(flags = 0x11);
	APART(flags = 0x12);
	APART(flags = 0x14);
	APART(flags = 0x30);
	APART(flags = 0x50);
	APART(flags = 0x90);
	APART(flags = 0x00);
	APART(ack = 6);
	APART(window = 7);
	APART(tcp_options = 8);
	APART(ip_options = 8);
	APART(host = 2);
	APART(sport = 1025);
	a.is_v6 = true;
	APART(tos = 1);
	APART(ttl = 63);
	APART(ip_options = 8);
	APART(host = 2);
	APART(is_v6 = false);
	a.flags = 0x18; /* PSH on the first ends the run at once */
	expect_apart(a, a, 1, 100, 100);
#undef APART
	a.is_df = true;
	a.is_v6 = false;
	a.flags = 0x10;
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&a, 9, 100, 100); /* with DF the id is free */
	coalesce();
	assert_int_equal(runs.count, 1);
	check_run(0);
}

static void test_udp(void **state)
{
	struct gso_flow a = tcp();

	(void)state;
	a.is_udp = true;
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&a, 1, 100, 100);
	add_segment(&a, 2, 200, 60);
	add_segment(&a, 3, 260, 60);
	coalesce();
	assert_int_equal(runs.count, 2);
	assert_int_equal(runs.run[0].count, 3);
	check_run(0);
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&a, 1, 100, 100);
	tun_coalesce_batch(&runs, &batch, PORT, true, false);
	assert_int_equal(runs.count, 2);
	/* No checksum: nothing to verify, so alone. */
	begin();
	add_segment(&a, 0, 0, 100);
	add_segment(&a, 1, 100, 100);
	for (unsigned i = 0; i < 2; i++) {
		memset(bytes[i] + 26, 0, 2);
		memset(before[i] + 26, 0, 2);
	}
	coalesce();
	assert_int_equal(runs.count, 2);
	check_run(0);
	check_run(1);
}

/* Corruption anywhere keeps the packet alone, unflagged and as it was. */
static void test_bad_checksum(void **state)
{
	(void)state;
	for (unsigned where = 0; where < 3; where++) {
		for (unsigned at = 0; at < 152; at++) {
			struct gso_flow f = tcp();
			bool is_alone = false;

			begin();
			for (unsigned k = 0; k < 3; k++)
				add_segment(&f, k, k * 100, 100);
			bytes[where][at] ^= 0x20;
			before[where][at] ^= 0x20;
			coalesce();
			for (unsigned r = 0; r < runs.count; r++) {
				const struct tun_run *run = &runs.run[r];

				check_run(r);
				if (run->first == where && run->count == 1)
					is_alone = true;
			}
			assert_true(is_alone);
		}
	}
}

/* A fragment may belong to any flow of its addresses: nothing overtakes it. */
static void test_fragment_order(void **state)
{
	struct gso_flow f = tcp();

	(void)state;
	begin();
	add_segment(&f, 0, 0, 100);
	add_segment(&f, 1, 100, 100);
	bytes[1][6] = 0x20;
	gso_put16(bytes[1] + 10, 0);
	gso_put16(bytes[1] + 10, (uint16_t)~gso_sum(bytes[1], 20));
	memcpy(before[1], bytes[1], SLOT_BYTES);
	add_segment(&f, 1, 100, 100);
	coalesce();
	assert_int_equal(runs.count, 3);
	for (unsigned r = 0; r < 3; r++)
		assert_int_equal(runs.run[r].first, r);
}

static void test_whose_packets(void **state)
{
	struct gso_flow f = tcp();

	(void)state;
	begin();
	for (unsigned k = 0; k < 4; k++)
		add_segment(&f, k, k * 100, 100);
	batch.pkts[1].port_out = PORT + 1;
	batch.pkts[2].out = PACKET_OUT_UDP;
	packet_drop(&batch.pkts[3], DROP_OPEN_ECN);
	coalesce();
	assert_int_equal(runs.count, 1);
	assert_int_equal(runs.run[0].count, 1);
	/* Whatever else is among them goes alone, unread beyond its end. */
	begin();
	add(0);
	bytes[1][0] = 0x45;
	add(1);
	memset(bytes[2], 0x60, 40);
	add(40);
	coalesce();
	assert_int_equal(runs.count, 3);
}

/* 64 KB is the end of a super-packet; eight flows may be interleaved. */
static void test_limits(void **state)
{
	struct gso_flow f = tcp();

	(void)state;
	begin();
	for (unsigned k = 0; k < BATCH_MAX; k++)
		add_segment(&f, k, k * 1448, 1448);
	coalesce();
	assert_int_equal(runs.count, 2);
	assert_int_equal(runs.run[0].count, (65535 - 52) / 1448);
	check_run(0);
	check_run(1);
	begin();
	for (unsigned k = 0; k < 8; k++) {
		for (f.host = 1; f.host <= 8; f.host++)
			add_segment(&f, k, k * 100, 100);
	}
	coalesce();
	assert_int_equal(runs.count, 8);
	for (unsigned r = 0; r < 8; r++)
		check_run(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_undoes_split),  cmocka_unit_test(test_random_batches),
		cmocka_unit_test(test_rules),	      cmocka_unit_test(test_udp),
		cmocka_unit_test(test_bad_checksum),  cmocka_unit_test(test_fragment_order),
		cmocka_unit_test(test_whose_packets), cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
