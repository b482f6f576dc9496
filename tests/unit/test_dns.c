/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that queries are read as RFC 1035 and 6891 write them, that answers are the
 * bytes that a resolver expects, cut with TC where they do not fit, and that no reply
 * to another question is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/wire/dns.h"

/* id 0x1234, RD; one question: Gate-A.tail.example, A, IN. */
static const uint8_t asked[] = {
	0x12, 0x34, 0x01, 0x00, 0,   1,	  0,   0, 0,   0,   0,	 0, /* */
	6,    'G',  'a',  't',	'e', '-', 'A', 4, 't', 'a', 'i', 'l', 7,
	'e',  'x',  'a',  'm',	'p', 'l', 'e', 0, 0,   1,   0,	 1, /* */
};
static const uint8_t opt_4096[] = {0, 0, 41, 0x10, 0x00, 0, 0, 0x80, 0, 0, 0};

static void must_parse(const uint8_t *msg, size_t len, struct dns_query *q)
{
	assert_int_equal(dns_query_parse(msg, len, q), 0);
}

static void a_question_is_read(void **state)
{
	struct dns_query q;

	must_parse(asked, sizeof(asked), &q);
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, DNS_TYPE_A);
	assert_int_equal(q.class, DNS_CLASS_IN);
	assert_string_equal(q.name, "gate-a.tail.example");
	assert_int_equal(q.question_end, sizeof(asked));
	assert_false(q.has_edns);
	assert_int_equal(q.udp_room, 512);
}

/* From the option of the query, within what is sent at all. */
static void edns_gives_room(void **state)
{
	static const struct {
		uint16_t offered, room;
	} rows[] = {{4096, 4095}, {1232, 1232}, {100, 512}, {0, 512}};
	uint8_t msg[sizeof(asked) + sizeof(opt_4096)];
	struct dns_query q;

	memcpy(msg, asked, sizeof(asked));
	memcpy(msg + sizeof(asked), opt_4096, sizeof(opt_4096));
	msg[11] = 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		msg[sizeof(asked) + 3] = (uint8_t)(rows[i].offered >> 8);
		msg[sizeof(asked) + 4] = (uint8_t)rows[i].offered;
		must_parse(msg, sizeof(msg), &q);
		assert_true(q.has_edns);
		assert_int_equal(q.udp_room, rows[i].room);
	}
	/* An option that is announced, but cut. */
	assert_int_equal(dns_query_parse(msg, sizeof(msg) - 1, &q), -EINVAL);
}

static void bad_queries_are_told_apart(void **state)
{
	uint8_t msg[sizeof(asked)];
	struct dns_query q;

	for (size_t len = 0; len < sizeof(asked); len++)
		assert_int_equal(dns_query_parse(asked, len, &q),
				 len < DNS_HEADER_BYTES ? -EBADMSG : -EINVAL);
	memcpy(msg, asked, sizeof(msg));
	msg[2] |= 0x80; /* a reply must never be answered */
	assert_int_equal(dns_query_parse(msg, sizeof(msg), &q), -EBADMSG);
	memcpy(msg, asked, sizeof(msg));
	msg[5] = 2; /* two questions (RFC 9619) */
	assert_int_equal(dns_query_parse(msg, sizeof(msg), &q), -EINVAL);
	memcpy(msg, asked, sizeof(msg));
	msg[12] = 0xc0; /* a question has nothing to point to */
	assert_int_equal(dns_query_parse(msg, sizeof(msg), &q), -EINVAL);
}

/* A label of any bytes stays one label: its dot is no dot. */
static void odd_bytes_are_spelled_out(void **state)
{
	static const uint8_t msg[] = {0, 1,   0,   0, 0,   1,	0, 0, 0, 0, 0, 0, /* */
				      5, 'a', '.', 0, 255, ' ', 0, 0, 1, 0, 1};
	struct dns_query q;

	must_parse(msg, sizeof(msg), &q);
	assert_string_equal(q.name, "a\\046\\000\\255\\032");
}

static void a_name_has_255_bytes_at_most(void **state)
{
	uint8_t msg[DNS_HEADER_BYTES + 300] = {[5] = 1};
	struct dns_query q;
	size_t at = DNS_HEADER_BYTES;

	/* Three labels of 63 bytes and one of 61: 255 with lengths and root. */
	for (unsigned i = 0; i < 4; i++) {
		msg[at] = i < 3 ? 63 : 61;
		memset(msg + at + 1, 0xff, msg[at]);
		at += 1u + msg[at];
	}
	must_parse(msg, at + 5, &q);
	assert_int_equal(strlen(q.name), 4 * 250 + 3);
	assert_int_equal(q.question_end, DNS_HEADER_BYTES + DNS_NAME_WIRE_MAX + 4);
	msg[at] = 1;
	assert_int_equal(dns_query_parse(msg, at + 7, &q), -EINVAL);
}

static void an_address_is_answered(void **state)
{
	static const uint8_t want_head[] = {0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
	static const uint8_t want_record[] = {0xc0, 12, 0, 1, 0,   1,  0, 0,
					      0,    5,	0, 4, 100, 64, 0, 7};
	const struct ip_addr addr = {.family = AF_INET, .bytes = {100, 64, 0, 7}};
	uint8_t out[512];
	struct dns_answer a;
	struct dns_query q;
	size_t len;

	must_parse(asked, sizeof(asked), &q);
	dns_answer_begin(&a, out, sizeof(out), asked, &q, DNS_OK);
	dns_answer_addr(&a, &addr, 5);
	len = dns_answer_end(&a, &q);
	assert_int_equal(len, sizeof(asked) + sizeof(want_record));
	assert_memory_equal(out, want_head, sizeof(want_head));
	/* The question as it was asked, letters of both cases: that is some randomness. */
	assert_memory_equal(out + 12, asked + 12, sizeof(asked) - 12);
	assert_memory_equal(out + sizeof(asked), want_record, sizeof(want_record));
}

static void a_no_says_how_long_it_holds(void **state)
{
	static const uint8_t want[] = {
		4,  't', 'a', 'i', 'l', 7, 'e', 'x', 'a', 'm', 'p',  'l', 'e',	0,  /* owner */
		0,  6,	 0,   1,   0,	0, 0,	10,  0,	  24,  0xc0, 37,  0xc0, 37, /* names: the
										       owner's */
		0,  0,	 0,   9,   0,	0, 0,	10,  0,	  0,   0,    10,  0,	0,  0,
		10, 0,	 0,   0,   10,
	};
	uint8_t out[512];
	struct dns_answer a;
	struct dns_query q;
	size_t len;

	must_parse(asked, sizeof(asked), &q);
	assert_int_equal(q.question_end, 37);
	dns_answer_begin(&a, out, sizeof(out), asked, &q, DNS_NXDOMAIN);
	dns_answer_soa(&a, "tail.example", 9, 10);
	len = dns_answer_end(&a, &q);
	assert_int_equal(len, sizeof(asked) + sizeof(want));
	assert_int_equal(dns_reply_rcode(out), DNS_NXDOMAIN);
	assert_int_equal(out[9], 1);
	assert_memory_equal(out + sizeof(asked), want, sizeof(want));
}

static void what_does_not_fit_is_cut(void **state)
{
	const struct ip_addr addr = {.family = AF_INET6, .bytes = {0xfd}};
	uint8_t msg[sizeof(asked) + sizeof(opt_4096)], out[600];
	struct dns_answer a;
	struct dns_query q;
	size_t len;

	memcpy(msg, asked, sizeof(asked));
	memcpy(msg + sizeof(asked), opt_4096, sizeof(opt_4096));
	msg[11] = 1;
	must_parse(msg, sizeof(msg), &q);
	dns_answer_begin(&a, out, 512, msg, &q, DNS_OK);
	for (unsigned i = 0; i < 30; i++)
		dns_answer_addr(&a, &addr, 5);
	len = dns_answer_end(&a, &q);
	assert_true(dns_reply_is_cut(out));
	assert_int_equal(out[7], (512 - 37 - 11) / 28);
	assert_int_equal(len, 37u + out[7] * 28u + 11);
	assert_int_equal(out[11], 1); /* OPT has its place whatever the answer is */
	assert_int_equal(out[len - 9], 41);
	assert_int_equal(dns_reply_cut(out, &q), 37);
	assert_int_equal(out[7] | out[9] | out[11], 0);
}

static void only_the_answer_to_the_question_is_taken(void **state)
{
	uint8_t reply[sizeof(asked)];
	struct dns_query q;

	must_parse(asked, sizeof(asked), &q);
	memcpy(reply, asked, sizeof(reply));
	dns_set_id(reply, 0xabcd);
	reply[2] |= 0x80;
	assert_true(dns_reply_matches(reply, sizeof(reply), asked, &q, 0xabcd));
	reply[13] = 'g'; /* servers may change case */
	assert_true(dns_reply_matches(reply, sizeof(reply), asked, &q, 0xabcd));
	assert_false(dns_reply_matches(reply, sizeof(reply), asked, &q, 0xabce));
	assert_false(dns_reply_matches(reply, sizeof(reply) - 1, asked, &q, 0xabcd));
	for (size_t i = 2; i < sizeof(reply); i++) {
		uint8_t saved = reply[i], flip = i == 2 ? 0x80 : 0x40;

		if ((i > 2 && i < 4) || (i > 5 && i < 12))
			continue;
		reply[i] ^= flip;
		assert_false(dns_reply_matches(reply, sizeof(reply), asked, &q, 0xabcd));
		reply[i] = saved;
	}
}

static void reverse_names_give_addresses(void **state)
{
	static const char v6[] = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
				 "0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa";
	static const char *const none[] = {
		"64.100.in-addr.arpa",
		"1.2.3.4.5.in-addr.arpa",
		"01.0.64.100.in-addr.arpa",
		"in-addr.arpa",
		".in-addr.arpa",
		v6 + 2,
		"ip6.arpa",
		"7.0.64.100",
		"x.0.64.100.in-addr.arpa",
	};
	struct ip_addr a, want;

	assert_true(dns_reverse_addr("7.0.64.100.in-addr.arpa", &a));
	addr_parse("100.64.0.7", &want);
	assert_true(addr_equal(&a, &want));
	assert_true(dns_reverse_addr(v6, &a));
	addr_parse("fd7a:115c:a1e0::1", &want);
	assert_true(addr_equal(&a, &want));
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_false(dns_reverse_addr(none[i], &a));
}

static void names_are_below_zones_by_labels(void **state)
{
	assert_true(dns_is_within("a.tail.example", "tail.example"));
	assert_true(dns_is_within("tail.example", "tail.example"));
	assert_true(dns_is_within("tail.example", ""));
	assert_false(dns_is_within("retail.example", "tail.example"));
	assert_false(dns_is_within("example", "tail.example"));
}

static void names_of_text(void **state)
{
	char out[DNS_NAME_WIRE_MAX], longest[300];
	static const char *const bad[] = {"", ".", "a..b", ".a", "a b", "a\\046b", "a/b", "b.."};

	assert_true(dns_name_from_text("Gate-A.Tail.example.", out));
	assert_string_equal(out, "gate-a.tail.example");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(dns_name_from_text(bad[i], out));
	memset(longest, 'a', sizeof(longest));
	longest[63] = longest[127] = longest[191] = '.';
	longest[253] = 0;
	assert_true(dns_name_from_text(longest, out));
	longest[253] = 'a';
	longest[254] = 0;
	assert_false(dns_name_from_text(longest, out));
	longest[64] = 0;
	longest[63] = 'a';
	assert_false(dns_name_from_text(longest, out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_read),
		cmocka_unit_test(edns_gives_room),
		cmocka_unit_test(bad_queries_are_told_apart),
		cmocka_unit_test(odd_bytes_are_spelled_out),
		cmocka_unit_test(a_name_has_255_bytes_at_most),
		cmocka_unit_test(an_address_is_answered),
		cmocka_unit_test(a_no_says_how_long_it_holds),
		cmocka_unit_test(what_does_not_fit_is_cut),
		cmocka_unit_test(only_the_answer_to_the_question_is_taken),
		cmocka_unit_test(reverse_names_give_addresses),
		cmocka_unit_test(names_are_below_zones_by_labels),
		cmocka_unit_test(names_of_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
