/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled rules answer as a plain reading of the message does, in one piece
 * or in many, and a bad message changes nothing.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/rule_build.h"
#include "tests/unit/table_rcu.h"

#define RULES  24
#define RANGES 96

static struct {
	struct dpapi_rule rule[RULES];
	struct dpapi_range range[RANGES];
} body;

static uint64_t seed = 1234567;

static uint32_t below(uint32_t n)
{
	return (uint32_t)(test_random(&seed) >> 33) % n;
}

static void random_addr(uint8_t *addr, int family)
{
	memset(addr, 0, 16);
	for (unsigned i = 0; i < (family == AF_INET ? 4u : 16u); i++)
		addr[i] = i < 2 ? 10 : (uint8_t)(below(4) * 85);
}

static void random_body(void)
{
	static const uint8_t protos[] = {1, 6, 17, 33, 47, 58, 132, 255};

	memset(&body, 0, sizeof(body));
	for (unsigned i = 0; i < RANGES; i++) {
		struct dpapi_range *r = &body.range[i];
		unsigned bytes;
		uint8_t x[16], y[16];

		r->family = below(2) ? AF_INET : AF_INET6;
		bytes = r->family == AF_INET ? 4 : 16;
		random_addr(x, r->family);
		random_addr(y, r->family);
		if (below(2))
			memcpy(y, x, bytes - 1 - below(2));
		memcpy(r->first, memcmp(x, y, bytes) <= 0 ? x : y, 16);
		memcpy(r->last, memcmp(x, y, bytes) <= 0 ? y : x, 16);
		/* What lies behind an IPv4 address says nothing. */
		for (unsigned k = bytes; k < 16; k++) {
			r->first[k] = (uint8_t)below(256);
			r->last[k] = (uint8_t)below(256);
		}
		r->port_first = below(3) ? (uint16_t)below(6) : 0;
		r->port_last = below(3) ? r->port_first + (uint16_t)below(3) : UINT16_MAX;
	}
	for (unsigned i = 0; i < RULES; i++) {
		struct dpapi_rule *r = &body.rule[i];

		r->src_count = below(5);
		r->src_first = below(RANGES - r->src_count + 1);
		r->dst_count = below(5);
		r->dst_first = below(RANGES - r->dst_count + 1);
		for (unsigned k = 0; i % 3 && k <= i % 4; k++)
			r->protos[k] = protos[below(sizeof(protos))];
	}
	memset(body.rule[1].protos, 99, sizeof(body.rule[1].protos)); /* no closing zero */
}

static bool in_range(const struct dpapi_range *r, int family, const uint8_t *addr)
{
	unsigned n = family == AF_INET ? 4 : 16;

	return r->family == family && memcmp(r->first, addr, n) <= 0 &&
	       memcmp(addr, r->last, n) <= 0;
}

enum question { Q_L4, Q_ADDR, Q_PROTO };

static uint16_t naive(enum question q, int family, const uint8_t *src, const uint8_t *dst,
		      uint8_t proto, uint16_t port)
{
	for (unsigned i = 0; i < RULES; i++) {
		const struct dpapi_rule *r = &body.rule[i];
		bool has_proto = q == Q_ADDR, has_src = false, has_dst = false;

		if (!r->protos[0])
			has_proto |= proto == 1 || proto == 6 || proto == 17 || proto == 58;
		for (unsigned k = 0; k < 32 && r->protos[k]; k++)
			has_proto |= r->protos[k] == proto;
		for (unsigned k = 0; k < r->src_count; k++)
			has_src |= in_range(&body.range[r->src_first + k], family, src);
		for (unsigned k = 0; k < r->dst_count; k++) {
			const struct dpapi_range *d = &body.range[r->dst_first + k];
			bool port_ok = q == Q_ADDR;

			if (q == Q_L4)
				port_ok = d->port_first <= port && port <= d->port_last;
			if (q == Q_PROTO)
				port_ok = d->port_first == 0 && d->port_last == UINT16_MAX;
			has_dst |= port_ok && in_range(d, family, dst);
		}
		if (has_proto && has_src && has_dst)
			return (uint16_t)(i + 1);
	}
	return 0;
}

static void check(const struct rule_set *set, unsigned n, unsigned *hits)
{
	static const uint8_t protos[] = {1, 6, 17, 33, 47, 58, 99, 132, 255};

	for (unsigned i = 0; i < n; i++) {
		int f = below(2) ? AF_INET : AF_INET6;
		uint8_t src[16], dst[16], proto = protos[below(sizeof(protos))];
		uint16_t port = (uint16_t)below(10), want;

		random_addr(src, f);
		random_addr(dst, f);
		if (below(2)) {
			memcpy(src, body.range[below(RANGES)].first, 16);
			memcpy(dst, body.range[below(RANGES)].last, 16);
		}
		want = naive(Q_L4, f, src, dst, proto, port);
		assert_int_equal(rule_match_l4(set, f, src, dst, proto, port), want);
		*hits += want != 0;
		want = naive(Q_ADDR, f, src, dst, proto, port);
		assert_int_equal(rule_match_addr(set, f, src, dst), want);
		want = naive(Q_PROTO, f, src, dst, proto, port);
		assert_int_equal(rule_match_proto(set, f, src, dst, proto), want);
		*hits += want != 0;
	}
}

static struct dpapi_rules whole_msg(void)
{
	return (struct dpapi_rules){.mode = DPAPI_FILTER_RULES,
				    .rule_count = RULES,
				    .range_count = RANGES,
				    .total_bytes = sizeof(body),
				    .piece_bytes = sizeof(body)};
}

static void test_random_rules(void **state)
{
	struct rule_table *t = rule_table_new();
	unsigned hits = 0;
	bool published;

	assert_int_equal(rule_mode(rule_current(t)), DPAPI_FILTER_NONE);
	for (unsigned round = 0; round < 100; round++) {
		struct dpapi_rules m = whole_msg();

		random_body();
		/* In pieces of any size, every other time. */
		for (uint32_t at = 0; at < sizeof(body); at += m.piece_bytes) {
			uint32_t piece = round % 2 ? 1 + below(2000) : sizeof(body);

			m.offset = at;
			m.piece_bytes = piece < sizeof(body) - at ? piece : sizeof(body) - at;
			assert_int_equal(rule_piece(t, &m, (uint8_t *)&body + at, &published), 0);
			assert_int_equal(published, at + m.piece_bytes == sizeof(body));
		}
		assert_int_equal(rule_mode(rule_current(t)), DPAPI_FILTER_RULES);
		assert_int_equal(rule_count(rule_current(t)), RULES);
		check(rule_current(t), 2000, &hits);
	}
	assert_true(hits > 1000);
	rule_table_free(t);
}

static void refuse(struct rule_table *t, struct dpapi_rules m, int want)
{
	const struct rule_set *before = rule_current(t);
	/* Exactly as long as the message says, so that ASan sees a step beyond. */
	uint8_t *copy = malloc(m.piece_bytes + 1);
	bool published;

	if (m.piece_bytes <= sizeof(body))
		memcpy(copy, &body, m.piece_bytes);
	assert_int_equal(rule_piece(t, &m, copy, &published), want);
	assert_false(published);
	assert_ptr_equal(rule_current(t), before);
	free(copy);
}

static void test_bad(void **state)
{
	struct rule_table *t = rule_table_new();
	struct dpapi_rules m = whole_msg();
	bool published;

	random_body();
	assert_int_equal(rule_piece(t, &m, &body, &published), 0);
	m.mode = 3;
	refuse(t, m, -EINVAL);
	m = whole_msg();
	m.rule_count++;
	refuse(t, m, -EINVAL);
	m = whole_msg();
	m.range_count = UINT32_MAX;
	refuse(t, m, -EINVAL);
	m = whole_msg();
	m.total_bytes = RULE_BYTES_MAX + 1;
	refuse(t, m, -E2BIG);
	m = whole_msg();
	m.total_bytes--; /* the piece is longer than the whole */
	refuse(t, m, -EINVAL);
	m = whole_msg();
	m.offset = 48; /* begins in the middle */
	refuse(t, m, -EINVAL);
	m.offset = 0;
	m.piece_bytes = 48; /* a beginning, then a gap */
	assert_int_equal(rule_piece(t, &m, &body, &published), 0);
	assert_false(published);
	m.offset = 96;
	refuse(t, m, -EINVAL);
	m.offset = 48; /* and what was gathered is forgotten */
	refuse(t, m, -EINVAL);

	m = whole_msg();
	body.rule[3].src_first = RANGES;
	body.rule[3].src_count = 1;
	refuse(t, m, -EINVAL);
	random_body();
	body.rule[3].src_first = UINT32_MAX;
	body.rule[3].src_count = 1;
	refuse(t, m, -EINVAL);
	random_body();
	body.rule[3].dst_first = 1;
	body.rule[3].dst_count = UINT32_MAX;
	refuse(t, m, -EINVAL);
	random_body();
	body.range[7].family = AF_UNIX;
	refuse(t, m, -EINVAL);
	random_body();
	memset(body.range[7].first, 0xff, 16);
	memset(body.range[7].last, 0, 16);
	refuse(t, m, -EINVAL);
	random_body();
	body.range[7].port_first = 2;
	body.range[7].port_last = 1;
	refuse(t, m, -EINVAL);
	assert_int_equal(rule_set_body(t, DPAPI_FILTER_RULES, RULE_MAX + 1, 0, &body,
				       (RULE_MAX + 1) * sizeof(struct dpapi_rule)),
			 -E2BIG);
	rule_table_free(t);
}

static int count_rule(uint32_t number, const struct dpapi_rule *r, const struct dpapi_range *ranges,
		      void *arg)
{
	assert_memory_equal(r, &body.rule[number - 1], sizeof(*r));
	assert_memory_equal(ranges, body.range, sizeof(body.range));
	(*(unsigned *)arg)++;
	return 0;
}

static void test_modes_and_local(void **state)
{
	struct rule_table *t = rule_table_new();
	struct dpapi_rules m = {.mode = DPAPI_FILTER_ALLOW_ALL};
	struct dpapi_local local = {
		.addr = {10, 1}, .family = AF_INET, .prefix_len = 16, .hdr.generation = 1};
	uint8_t inside[16] = {10, 1, 2, 3}, outside[16] = {10, 2};
	unsigned seen = 0;
	bool published;

	assert_int_equal(rule_piece(t, &m, NULL, &published), 0);
	assert_true(published);
	assert_int_equal(rule_mode(rule_current(t)), DPAPI_FILTER_ALLOW_ALL);
	assert_int_equal(rule_match_l4(rule_current(t), AF_INET, inside, outside, 6, 1), 0);

	m = whole_msg();
	random_body();
	assert_int_equal(rule_piece(t, &m, &body, &published), 0);
	assert_int_equal(rule_walk(rule_current(t), count_rule, &seen), 0);
	assert_int_equal(seen, RULES);

	assert_false(rule_is_local(t, AF_INET, inside));
	assert_int_equal(rule_local(t, &local), 0);
	assert_true(rule_is_local(t, AF_INET, inside));
	assert_false(rule_is_local(t, AF_INET, outside));
	assert_false(rule_is_local(t, AF_INET6, inside));
	local.prefix_len = 129;
	assert_int_equal(rule_local(t, &local), -EINVAL);
	local.prefix_len = 16;
	assert_int_equal(rule_local_sweep(t, 1), 0);
	assert_int_equal(rule_local_sweep(t, 2), 1);
	assert_false(rule_is_local(t, AF_INET, inside));
	assert_int_equal(rule_local(t, &local), 0);
	local.remove = 1;
	assert_int_equal(rule_local(t, &local), 0);
	assert_int_equal(rule_local(t, &local), -ENOENT);
	assert_false(rule_is_local(t, AF_INET, inside));
	rule_table_free(t);
}

/* Workers read while sets are replaced: a set is whole, old or new. */
static struct rule_table *shared;

static void *reader(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	static const uint8_t addr[16] = {10, 10, 1};

	rcu_enter(id);
	while (!atomic_load_explicit(&rcu_stop, memory_order_relaxed)) {
		const struct rule_set *set = rule_current(shared);
		uint16_t n = rule_match_l4(set, AF_INET, addr, addr, 6, 80);

		BUG_ON(rule_mode(set) == DPAPI_FILTER_RULES && n != rule_count(set));
		rte_rcu_qsbr_quiescent(rcu, id);
	}
	rcu_leave(id);
	return NULL;
}

/* Rules without sources, and a last one that matches. */
static void replace(void)
{
	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = 1 + i % 20;
		uint8_t set[20 * sizeof(struct dpapi_rule) + sizeof(struct dpapi_range)] = {0};
		struct dpapi_rule last = {.src_count = 1, .dst_count = 1};
		struct dpapi_range all = {.family = AF_INET, .port_last = UINT16_MAX};

		memset(all.last, 0xff, 16);
		memcpy(set + (n - 1) * sizeof(last), &last, sizeof(last));
		memcpy(set + n * sizeof(last), &all, sizeof(all));
		BUG_ON(rule_set_body(shared, DPAPI_FILTER_RULES, n, 1, set,
				     n * sizeof(last) + sizeof(all)));
		retire_poll();
	}
}

static void test_readers(void **state)
{
	rcu_setup();
	shared = rule_table_new();
	rcu_run(reader, replace);
	rule_table_free(shared);
	rcu_teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_rules),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_modes_and_local),
		cmocka_unit_test(test_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
