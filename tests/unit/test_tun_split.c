/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that super-packets become the segments a naive builder makes, and that no bytes hurt. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/port/tun_split.h"
#include "tests/unit/gso_packets.h"

#define FIN	  0x01
#define PSH	  0x08
#define CWR	  0x80
#define MUTATIONS 1000000u

static uint8_t super[GSO_PACKET_MAX], want[GSO_PACKET_MAX], got[GSO_PACKET_MAX];

/* Splits f's data of total bytes and compares every segment. */
static void check_super(const struct gso_flow *f, size_t total, size_t size)
{
	struct virtio_net_hdr v = gso_vnet(f, size);
	size_t len = gso_build(f, super, 0, 0, total, true);
	struct tun_split s;
	unsigned k = 0;

	assert_int_equal(tun_split_open(&s, &v, super, len), TUN_SPLIT_SUPER);
	for (size_t at = 0; at < total; at += size, k++) {
		size_t payload = total - at < size ? total - at : size;
		struct gso_flow seg = *f;

		if (at + payload < total)
			seg.flags &= (uint8_t) ~(FIN | PSH);
		if (k)
			seg.flags &= (uint8_t)~CWR;
		len = gso_build(&seg, want, k, at, payload, false);
		assert_int_equal(tun_split_room(&s), len);
		assert_int_equal(tun_split_next(&s, got), len);
		assert_memory_equal(got, want, len);
	}
	assert_int_equal(tun_split_room(&s), 0);
	assert_int_equal(tun_split_next(&s, got), 0);
}

static void test_golden(void **state)
{
	struct gso_flow f = {.ttl = 64,
			     .flags = 0x10 | FIN | PSH | CWR,
			     .host = 1,
			     .sport = 1024,
			     .id = 0xffff,
			     .seq = 0xfffffff0,
			     .tcp_options = 12};
	struct virtio_net_hdr v = gso_vnet(&f, 100);
	size_t len = gso_build(&f, super, 0, 0, 250, true);
	struct tun_split s;

	(void)state;
	v.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	assert_int_equal(tun_split_open(&s, &v, super, len), TUN_SPLIT_SUPER);
	assert_int_equal(tun_split_next(&s, got), 152);
	assert_int_equal(got[33], 0x10 | CWR);
	assert_memory_equal(got + 4, "\xff\xff", 2);
	assert_int_equal(tun_split_next(&s, got), 152);
	assert_int_equal(got[33], 0x10);
	assert_memory_equal(got + 4, "\x00\x00", 2);	      /* id wraps */
	assert_memory_equal(got + 24, "\x00\x00\x00\x54", 4); /* seq wraps: -16 + 100 */
	assert_int_equal(gso_sum(got, 20), 0xffff);
	assert_int_equal(tun_split_next(&s, got), 102);
	assert_int_equal(got[33], 0x10 | FIN | PSH);
	assert_memory_equal(got + 2, "\x00\x66", 2);
	assert_int_equal(tun_split_next(&s, got), 0);
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct gso_flow f = gso_random_flow();
		size_t size = 1 + gso_rand(1460);
		size_t total = 1 + gso_rand(i % 50 ? 8000 : 65000);

		f.flags |= (uint8_t)(gso_rand(2) * FIN | gso_rand(2) * PSH | gso_rand(2) * CWR);
		f.ip_options = (uint8_t)(gso_rand(3) * 8);
		check_super(&f, total, size);
	}
}

static void test_single(void **state)
{
	struct virtio_net_hdr none = {0};
	struct tun_split s;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct gso_flow f = gso_random_flow();
		struct virtio_net_hdr v = gso_vnet(&f, 0);
		size_t payload = gso_rand(300);
		size_t len = gso_build(&f, super, 0, 0, payload, true);

		v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		gso_build(&f, want, 0, 0, payload, false);
		assert_int_equal(tun_split_open(&s, &v, super, len), TUN_SPLIT_SINGLE);
		assert_memory_equal(super, want, len);
		/* Complete already: untouched. */
		assert_int_equal(tun_split_open(&s, &none, super, len), TUN_SPLIT_SINGLE);
		assert_memory_equal(super, want, len);
	}
}

/* A UDP checksum that comes out as zero goes as 0xffff. */
static void test_udp_zero(void **state)
{
	struct gso_flow f = {.is_udp = true, .ttl = 9, .host = 1, .sport = 5};
	struct virtio_net_hdr v = gso_vnet(&f, 0);
	size_t len = gso_build(&f, super, 0, 0, 2, true);
	struct tun_split s;
	uint16_t sum;

	(void)state;
	v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
	gso_put16(super + 28, 0);
	sum = gso_fold(gso_sum(super + 20, len - 20));
	gso_put16(super + 28, (uint16_t)~sum);
	assert_int_equal(gso_sum(super + 20, len - 20), 0xffff);
	assert_int_equal(tun_split_open(&s, &v, super, len), TUN_SPLIT_SINGLE);
	assert_memory_equal(super + 26, "\xff\xff", 2);
}

static int open_changed(const struct gso_flow *f, struct virtio_net_hdr v, int at, int value,
			size_t cut)
{
	size_t len = gso_build(f, super, 0, 0, 500, true);
	struct tun_split s;

	if (at >= 0)
		super[at] = (uint8_t)value;
	return tun_split_open(&s, &v, super, len - cut);
}

static void test_lying(void **state)
{
	struct gso_flow t4 = {.ttl = 64, .flags = 0x10, .host = 1, .sport = 1024};
	struct gso_flow t6 = t4, u4 = t4;
	struct virtio_net_hdr v4 = gso_vnet(&t4, 100), v6, vu, v;

	(void)state;
	t6.is_v6 = true;
	u4.is_udp = true;
	v6 = gso_vnet(&t6, 100);
	vu = gso_vnet(&u4, 100);
	assert_int_equal(open_changed(&t4, v4, -1, 0, 0), TUN_SPLIT_SUPER);
	assert_int_equal(open_changed(&t4, v4, -1, 0, 1), -EBADMSG);	/* truncated */
	assert_int_equal(open_changed(&t4, v4, -1, 0, 500), -EBADMSG);	/* no payload */
	assert_int_equal(open_changed(&t4, v4, -1, 0, 540), -EBADMSG);	/* empty */
	assert_int_equal(open_changed(&t4, v4, 0, 0x44, 0), -EBADMSG);	/* IHL 16 */
	assert_int_equal(open_changed(&t4, v4, 0, 0x55, 0), -EBADMSG);	/* version 5 */
	assert_int_equal(open_changed(&t4, v4, 3, 0, 0), -EBADMSG);	/* total length */
	assert_int_equal(open_changed(&t4, v4, 6, 0x20, 0), -EBADMSG);	/* fragment */
	assert_int_equal(open_changed(&t4, v4, 9, 1, 0), -EBADMSG);	/* ICMP */
	assert_int_equal(open_changed(&t4, v4, 32, 0x40, 0), -EBADMSG); /* data offset 16 */
	assert_int_equal(open_changed(&t4, v6, -1, 0, 0), -EBADMSG);	/* family */
	assert_int_equal(open_changed(&t6, v4, -1, 0, 0), -EBADMSG);
	assert_int_equal(open_changed(&u4, v4, -1, 0, 0), -EBADMSG); /* protocol */
	assert_int_equal(open_changed(&t4, vu, -1, 0, 0), -EBADMSG);
	v = v4;
	v.gso_size = 0;
	assert_int_equal(open_changed(&t4, v, -1, 0, 0), -EBADMSG);
	v = v4;
	v.csum_start = 24;
	assert_int_equal(open_changed(&t4, v, -1, 0, 0), -EBADMSG);
	v = vu;
	v.gso_type = 3; /* UFO: never asked for */
	assert_int_equal(open_changed(&u4, v, -1, 0, 0), -EBADMSG);
	v = v4;
	v.gso_type = 0;
	v.csum_start = 539;
	v.csum_offset = 0;
	assert_int_equal(open_changed(&t4, v, -1, 0, 0), -EBADMSG);
	v.csum_start = 65535;
	v.csum_offset = 65535;
	assert_int_equal(open_changed(&t4, v, -1, 0, 0), -EBADMSG);
	/* hdr_len says nothing; a header that is larger than believed is no matter. */
	v = v4;
	v.hdr_len = 65535;
	assert_int_equal(open_changed(&t4, v, -1, 0, 0), TUN_SPLIT_SUPER);
}

/* Packet and segment each end at an unmapped page. */
static uint8_t *map_guarded(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = (bytes + page - 1) / page * page;
	uint8_t *p =
		mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + size, page, PROT_NONE), 0);
	return p + size;
}

static void mutate(uint8_t *p, size_t len, struct virtio_net_hdr *v)
{
	for (unsigned n = gso_rand(4); n; n--) {
		if (gso_rand(3))
			p[gso_rand((uint32_t)(len < 80 ? len : 80))] = (uint8_t)gso_rand(256);
		else
			((uint8_t *)v)[gso_rand(sizeof(*v))] = (uint8_t)gso_rand(256);
	}
}

static void test_mutated(void **state)
{
	uint8_t *in_end = map_guarded(2048), *out_end = map_guarded(65536);
	unsigned supers = 0;

	(void)state;
	for (unsigned i = 0; i < MUTATIONS; i++) {
		struct gso_flow f = gso_random_flow();
		struct virtio_net_hdr v = gso_vnet(&f, 1 + gso_rand(120));
		size_t len;
		struct tun_split s;
		uint8_t *in;
		uint32_t room;

		f.ip_options = (uint8_t)(gso_rand(3) * 8);
		len = gso_build(&f, super, 0, 0, 1 + gso_rand(256), true);
		if (!gso_rand(4))
			len = 1 + gso_rand((uint32_t)len);
		in = in_end - len;
		memcpy(in, super, len);
		mutate(in, len, &v);
		if (tun_split_open(&s, &v, in, len) != TUN_SPLIT_SUPER)
			continue;
		supers++;
		while ((room = tun_split_room(&s)))
			assert_int_equal(tun_split_next(&s, out_end - room), room);
	}
	assert_true(supers > MUTATIONS / 10);
	assert_true(supers < MUTATIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden), cmocka_unit_test(test_random),
		cmocka_unit_test(test_single), cmocka_unit_test(test_udp_zero),
		cmocka_unit_test(test_lying),  cmocka_unit_test(test_mutated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
