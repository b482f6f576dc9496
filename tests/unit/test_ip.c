/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that packets are parsed as a stock node's filter sees them (recorded
 * vectors), that checksums agree with a naive sum however they are computed,
 * all 16 cases of RFC 6040, and outer headers that parse again.
 * Usage: test_ip filter.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/addr.h"
#include "lib/base/bug.h"
#include "lib/wire/ecn.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"

static const char *vectors_path;
static uint64_t random_state = 0x082efa98ec4e6c89ull;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void random_fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)random_u32();
}

/* text is address:port, where the port may be 0 (so endpoint_parse() would refuse it). */
static void check_endpoint(const uint8_t *addr, uint8_t family, uint16_t port, const char *text)
{
	const char *colon = strrchr(text, ':');
	char name[ADDR_STR_MAX];
	struct ip_addr want;

	assert_non_null(colon);
	snprintf(name, sizeof(name), "%.*s", (int)(colon - text), text);
	if (name[0] == '[')
		snprintf(name, sizeof(name), "%.*s", (int)(colon - text) - 2, text + 1);
	assert_int_equal(addr_parse(name, &want), 0);
	assert_int_equal(want.family, family);
	assert_memory_equal(want.bytes, addr, family == AF_INET ? 4 : 16);
	assert_int_equal(port, strtoul(colon + 1, NULL, 10));
}

static void check_step(json_t *step, json_t *parsed)
{
	const char *hex = json_string_value(json_object_get(step, "packet"));
	const char *src = json_string_value(json_object_get(parsed, "src"));
	const char *dst = json_string_value(json_object_get(parsed, "dst"));
	size_t len = strlen(hex) / 2;
	/* Exactly as long as the packet, for the sanitizer. */
	uint8_t *packet = malloc(len ? len : 1);
	struct ip_info ip;
	int rc;

	assert_non_null(packet);
	sodium_hex2bin(packet, len, hex, 2 * len, NULL, NULL, NULL);
	rc = ip_parse(packet, len, &ip);
	if (strncmp(src, "invalid", 7) == 0) {
		assert_true(rc < 0);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(ip.family == AF_INET ? 4 : 6,
				 json_integer_value(json_object_get(parsed, "version")));
		assert_int_equal(ip.proto, json_integer_value(json_object_get(parsed, "proto")));
		assert_int_equal(ip.tcp_flags,
				 json_integer_value(json_object_get(parsed, "tcp_flags")));
		check_endpoint(ip.src, ip.family, ip.src_port, src);
		check_endpoint(ip.dst, ip.family, ip.dst_port, dst);
		assert_true(ip.total_len <= len && ip.header_len <= ip.total_len &&
			    ip.l4_offset <= ip.total_len);
	}
	free(packet);
}

static void packets_parse_as_recorded(void **state)
{
	json_error_t err;
	json_t *root = json_load_file(vectors_path, 0, &err), *sequence, *step, *parsed;
	unsigned tried = 0;
	size_t i, k;

	assert_non_null(root);
	json_array_foreach(json_object_get(root, "sequences"), i, sequence)
	{
		json_array_foreach(json_object_get(sequence, "steps"), k, step)
		{
			parsed = json_object_get(step, "parsed");
			if (!parsed)
				continue;
			check_step(step, parsed);
			tried++;
		}
	}
	assert_int_equal(tried, 88);
	json_decref(root);
}

/* Whatever a packet is: with the short cut it is what it is without. */
static void short_cut_changes_nothing(void **state)
{
	static const uint8_t first[] = {0x45, 0x45, 0x45, 0x46, 0x44, 0x60, 0x55};
	static const uint8_t protos[] = {6, 17, 1, 0, 44, 132};
	static const uint16_t fragments[] = {0, 0, 0x4000, 0x8000, 0x2000, 1, 10, 0x1fff};
	unsigned plain = 0;

	for (unsigned i = 0; i < 200000; i++) {
		size_t len = random_u32() % 64;
		/* Exactly as long as the packet, for the sanitizer. */
		uint8_t *p = malloc(len ? len : 1);
		struct ip_info with, without;
		int ret;

		assert_non_null(p);
		random_fill(p, len);
		if (len >= IP_V4_HEADER_BYTES) {
			struct ip_v4_header *h = (struct ip_v4_header *)p;

			h->version_ihl = first[random_u32() % ARRAY_SIZE(first)];
			h->protocol = protos[random_u32() % ARRAY_SIZE(protos)];
			be16_put(&h->total_len, (uint16_t)(len + 2 - random_u32() % 16));
			be16_put(&h->fragment, fragments[random_u32() % ARRAY_SIZE(fragments)]);
		}
		memset(&with, 0xff, sizeof(with));
		plain += ip_parse_plain(p, len, &with);
		ret = ip_parse(p, len, &with);
		assert_int_equal(ret, ip_parse_any(p, len, &without));
		if (ret == 0)
			assert_memory_equal(&with, &without, sizeof(with));
		free(p);
	}
	/* The short cut was taken, and not always. */
	assert_in_range(plain, 2000, 50000);
}

/* An IPv4 packet of total_len bytes with the given fields; returns the parse result. */
static int parse_v4(uint8_t *p, uint8_t proto, uint16_t fragment, uint16_t total_len, size_t len,
		    struct ip_info *ip)
{
	struct ip_v4_header *h = (struct ip_v4_header *)p;

	h->version_ihl = 0x45;
	h->protocol = proto;
	h->ttl = 7;
	h->tos = 0xb9;
	be16_put(&h->total_len, total_len);
	be16_put(&h->fragment, fragment);
	return ip_parse(p, len, ip);
}

static void fields_and_errors(void **state)
{
	uint8_t p[128] = {0};
	struct ip_info ip;

	assert_int_equal(ip_parse(p, 0, &ip), IP_PARSE_RUNT);
	assert_int_equal(ip_parse(p, 128, &ip), IP_PARSE_BAD_VERSION);
	assert_int_equal(parse_v4(p, 1, 0, 28, 19, &ip), IP_PARSE_RUNT);
	assert_int_equal(parse_v4(p, 1, 0, 28, 27, &ip), IP_PARSE_BAD_LENGTH);
	assert_int_equal(parse_v4(p, 1, 0, 19, 28, &ip), IP_PARSE_BAD_LENGTH);
	p[20] = 8;
	p[21] = 3;
	assert_int_equal(parse_v4(p, 1, IP_V4_DF, 28, 60, &ip), 0);
	assert_int_equal(ip.total_len, 28);
	assert_int_equal(ip.header_len, 20);
	assert_int_equal(ip.ttl, 7);
	assert_int_equal(ip.tos, 0xb9);
	assert_int_equal(ip.icmp_type, 8);
	assert_int_equal(ip.icmp_code, 3);
	assert_true(ip.dont_fragment && !ip.is_fragment && !ip.more_fragments);
	assert_int_equal(parse_v4(p, 17, IP_V4_MF | 100, 60, 60, &ip), 0);
	assert_true(ip.is_fragment && ip.more_fragments);
	assert_int_equal(ip.fragment_offset, 800);
	assert_int_equal(ip.proto, IP_PROTO_FRAGMENT);
	p[0] = 0x44;
	assert_int_equal(ip_parse(p, 60, &ip), IP_PARSE_BAD_LENGTH);

	memset(p, 0, sizeof(p));
	p[0] = 0x6a;
	p[1] = 0xbc;
	p[5] = 8;
	p[6] = IP_PROTO_UDP;
	p[7] = 3;
	assert_int_equal(ip_parse(p, 39, &ip), IP_PARSE_RUNT);
	assert_int_equal(ip_parse(p, 47, &ip), IP_PARSE_BAD_LENGTH);
	assert_int_equal(ip_parse(p, 48, &ip), 0);
	assert_int_equal(ip.tos, 0xab);
	assert_int_equal(ip.ttl, 3);
	assert_int_equal(ip.total_len, 48);
	assert_int_equal(ip.proto, IP_PROTO_UDP);
}

static void transport_minimums(void **state)
{
	static const struct {
		uint8_t proto;
		uint16_t min;
	} cases[] = {{1, 4}, {2, 8}, {6, 20}, {17, 8}, {132, 12}, {99, 7}, {47, 0}};
	uint8_t p[64] = {0};
	struct ip_info ip;

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		for (uint16_t n = 0; n <= 24; n++) {
			assert_int_equal(parse_v4(p, cases[i].proto, 0, 20 + n, 64, &ip), 0);
			assert_int_equal(ip.proto, n < cases[i].min ? 0 : cases[i].proto);
		}
}

static uint16_t naive_checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

static void checksum_agrees_with_naive(void **state)
{
	static uint8_t p[2048 + 8];

	random_fill(p, sizeof(p));
	for (size_t len = 0; len < 2048; len++)
		for (size_t at = 0; at < 3; at++)
			assert_int_equal(ip_checksum(p + at, len), naive_checksum(p + at, len));
	/* Carries everywhere. */
	memset(p, 0xff, sizeof(p));
	for (size_t len = 0; len < 2048; len++)
		assert_int_equal(ip_checksum(p, len), naive_checksum(p, len));
	/* In parts, with a large running sum. */
	random_fill(p, sizeof(p));
	assert_int_equal(ip_sum_finish(ip_sum(ip_sum(ip_sum(0, p, 600), p + 600, 2), p + 602, 77)),
			 naive_checksum(p, 679));
	assert_int_equal(ip_sum_fold(UINT64_MAX), 0xffff);
}

static void pseudo_headers_agree_with_naive(void **state)
{
	/* Pseudo header and data in one piece: src, dst, length, protocol. */
	uint8_t v6[40 + 33], v4[12 + 33];

	random_fill(v6, sizeof(v6));
	memset(v6 + 32, 0, 8);
	v6[35] = 33;
	v6[39] = 17;
	assert_int_equal(ip_sum_finish(ip_sum(ip_sum_pseudo_v6(v6, v6 + 16, 17, 33), v6 + 40, 33)),
			 naive_checksum(v6, sizeof(v6)));
	random_fill(v4, sizeof(v4));
	memset(v4 + 8, 0, 4);
	v4[9] = 6;
	v4[11] = 33;
	assert_int_equal(ip_sum_finish(ip_sum(ip_sum_pseudo_v4(v4, v4 + 4, 6, 33), v4 + 12, 33)),
			 naive_checksum(v4, sizeof(v4)));
}

static void incremental_update_agrees_with_naive(void **state)
{
	uint8_t p[64], old[16];

	for (unsigned round = 0; round < 20000; round++) {
		uint16_t checksum;
		size_t at = (random_u32() % 24) * 2, len = round & 1 ? 2 : 16;

		random_fill(p, sizeof(p));
		checksum = naive_checksum(p, sizeof(p));
		memcpy(old, p + at, len);
		random_fill(p + at, len);
		if (round % 7 == 0)
			memset(p + at, round % 2 ? 0xff : 0, len);
		assert_int_equal(ip_checksum_update_bytes(checksum, old, p + at, len),
				 naive_checksum(p, sizeof(p)));
	}
	/* RFC 1624 section 4: where the older equation gave 0xffff. */
	assert_int_equal(ip_checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

static void header_rewrites_keep_the_checksum(void **state)
{
	uint8_t p[64];
	struct ip_info ip;

	for (unsigned round = 0; round < 4000; round++) {
		struct ip_v4_header *h = (struct ip_v4_header *)p;
		bool is_kept;

		random_fill(p, sizeof(p));
		h->version_ihl = (uint8_t)(0x45 + round % 3);
		be16_put(&h->total_len, sizeof(p));
		ip_checksum_v4_set(h);
		assert_int_equal(ip_parse(p, sizeof(p), &ip), 0);
		assert_true(ip_checksum_v4_ok(h));
		ecn_set(p, &ip, (uint8_t)round);
		assert_true(ip_checksum_v4_ok(h));
		assert_int_equal(h->tos, (ip.tos & 0xfc) | (round & 3));
		is_kept = ip_ttl_decrement(p, &ip);
		assert_int_equal(is_kept, ip.ttl > 1);
		assert_int_equal(h->ttl, is_kept ? ip.ttl - 1 : ip.ttl);
		assert_true(ip_checksum_v4_ok(h));
		ip_ttl_restore(p, &ip);
		assert_int_equal(h->ttl, ip.ttl);
		assert_true(ip_checksum_v4_ok(h));
		h->id.b[0] ^= 1;
		assert_false(ip_checksum_v4_ok(h));
	}
	memset(p, 0, sizeof(p));
	p[0] = 0x6f;
	p[1] = 0xff;
	p[7] = 2;
	assert_int_equal(ip_parse(p, sizeof(p), &ip), 0);
	ecn_set(p, &ip, ECN_NOT_ECT);
	assert_int_equal(p[0], 0x6f);
	assert_int_equal(p[1], 0xcf);
	assert_true(ip_ttl_decrement(p, &ip));
	assert_int_equal(p[7], 1);
	ip_ttl_restore(p, &ip);
	assert_int_equal(p[7], 2);
	assert_true(ip_ttl_decrement(p, &ip));
	assert_int_equal(ip_parse(p, sizeof(p), &ip), 0);
	assert_false(ip_ttl_decrement(p, &ip));
}

static void ecn_is_rfc6040(void **state)
{
	enum { DROP = 4 };
	/* RFC 6040 figure 4; rows: inner, columns: outer, both Not-ECT, ECT(0), ECT(1), CE. */
	static const uint8_t order[] = {ECN_NOT_ECT, ECN_ECT0, ECN_ECT1, ECN_CE};
	static const uint8_t figure4[4][4] = {
		{ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, DROP},
		{ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE},
		{ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE},
		{ECN_CE, ECN_CE, ECN_CE, ECN_CE},
	};

	for (int inner = 0; inner < 4; inner++) {
		assert_int_equal(ecn_encap(order[inner] | 0xb8), order[inner]);
		for (int outer = 0; outer < 4; outer++) {
			bool drop = false;
			uint8_t out = ecn_decap(order[inner] | 0x28, order[outer] | 0x04, &drop);

			assert_int_equal(drop, figure4[inner][outer] == DROP);
			if (!drop)
				assert_int_equal(out, figure4[inner][outer]);
		}
	}
}

static void outer_headers_parse_again(void **state)
{
	static const struct {
		const char *src, *dst;
		int bytes;
	} ends[] = {
		{"203.0.113.1:41641", "203.0.113.2:5", UDP_ENCAP_V4_BYTES},
		{"[2001:db8::1]:41641", "[2001:db8::2]:5", UDP_ENCAP_V6_BYTES},
	};
	uint8_t p[2048];

	for (unsigned round = 0; round < 2000; round++) {
		unsigned family = round & 1;
		uint32_t len = random_u32() % 1900, offset, payload_len;
		enum udp_encap_checksum checksum = round % 4 == 0 ? UDP_ENCAP_NONE : UDP_ENCAP_FULL;
		struct endpoint src, dst;
		struct udp_encap e = {.src = &src,
				      .dst = &dst,
				      .id = (uint16_t)round,
				      .flow_label = round,
				      .ecn = round & 3,
				      .dont_fragment = round & 8};
		struct ip_info ip;
		int bytes = ends[family].bytes;

		assert_int_equal(endpoint_parse(ends[family].src, &src), 0);
		assert_int_equal(endpoint_parse(ends[family].dst, &dst), 0);
		random_fill(p + bytes, len);
		assert_int_equal(udp_encap_build(p, &e, checksum, p + bytes, len), bytes);
		assert_int_equal(ip_parse(p, bytes + len, &ip), 0);
		assert_int_equal(ip.total_len, bytes + len);
		assert_true(ip_udp_payload(p, &ip, &offset, &payload_len));
		assert_int_equal(offset, bytes);
		assert_int_equal(payload_len, len);
		assert_int_equal(ip.ttl, 64);
		assert_int_equal(ip.tos, round & 3);
		assert_int_equal(ip.src_port, 41641);
		assert_int_equal(ip.dst_port, 5);
		assert_memory_equal(ip.src, src.addr.bytes, family ? 16 : 4);
		assert_memory_equal(ip.dst, dst.addr.bytes, family ? 16 : 4);
		if (!family) {
			assert_true(ip_checksum_v4_ok((struct ip_v4_header *)p));
			assert_int_equal(ip.dont_fragment, e.dont_fragment);
		}
		if (checksum == UDP_ENCAP_FULL) {
			assert_int_equal(ip_sum_transport(p, &ip), 0xffff);
			p[bytes - 1] ^= 1;
			assert_int_not_equal(ip_sum_transport(p, &ip), 0xffff);
		} else {
			assert_true(p[bytes - 2] == 0 && p[bytes - 1] == 0);
		}
	}
}

static void outer_headers_are_refused(void **state)
{
	struct endpoint v4, v6, none = {0};
	uint8_t p[64];
	struct udp_encap mixed = {.src = &v4, .dst = &v6}, six = {.src = &v6, .dst = &v6};
	struct udp_encap four = {.src = &v4, .dst = &v4}, empty = {.src = &none, .dst = &none};

	assert_int_equal(endpoint_parse("192.0.2.1:1", &v4), 0);
	assert_int_equal(endpoint_parse("[::1]:1", &v6), 0);
	assert_true(udp_encap_build(p, &mixed, UDP_ENCAP_PARTIAL, NULL, 10) < 0);
	assert_true(udp_encap_build(p, &empty, UDP_ENCAP_PARTIAL, NULL, 10) < 0);
	assert_true(udp_encap_build(p, &six, UDP_ENCAP_NONE, NULL, 10) < 0);
	assert_true(udp_encap_build(p, &four, UDP_ENCAP_NONE, NULL, 65508) < 0);
	assert_int_equal(udp_encap_build(p, &four, UDP_ENCAP_NONE, NULL, 65507), 28);
	assert_true(udp_encap_build(p, &six, UDP_ENCAP_PARTIAL, NULL, 65528) < 0);
	assert_int_equal(udp_encap_build(p, &six, UDP_ENCAP_PARTIAL, NULL, 65527), 48);
}

/* The sum in line says what the general one says, wrong and right headers alike. */
static void test_plain_header_sum(void **state)
{
	struct ip_v4_header h;
	uint8_t *bytes = (uint8_t *)&h;

	for (unsigned i = 0; i < 100000; i++) {
		for (unsigned k = 0; k < sizeof(h); k++)
			bytes[k] = i < 1000 ? (uint8_t)(i % 3 ? 0xff : 0) : (uint8_t)random();
		h.version_ihl = 0x45;
		if (i & 1)
			ip_checksum_v4_set(&h);
		assert_int_equal(ip_checksum_v4_plain_ok(&h), ip_checksum_v4_ok(&h));
		if (i & 1)
			assert_true(ip_checksum_v4_plain_ok(&h));
	}
	memset(&h, 0, sizeof(h));
	assert_false(ip_checksum_v4_plain_ok(&h));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_header_sum),
		cmocka_unit_test(packets_parse_as_recorded),
		cmocka_unit_test(short_cut_changes_nothing),
		cmocka_unit_test(fields_and_errors),
		cmocka_unit_test(transport_minimums),
		cmocka_unit_test(checksum_agrees_with_naive),
		cmocka_unit_test(pseudo_headers_agree_with_naive),
		cmocka_unit_test(incremental_update_agrees_with_naive),
		cmocka_unit_test(header_rewrites_keep_the_checksum),
		cmocka_unit_test(ecn_is_rfc6040),
		cmocka_unit_test(outer_headers_parse_again),
		cmocka_unit_test(outer_headers_are_refused),
	};

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
