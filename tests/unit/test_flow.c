/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow table finds what was noted, never anything else, forgets the least
 * recently used first, and does so for several threads at once.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/flow_build.h"
#include "lib/base/clock.h"
#include "tests/unit/table_rcu.h"

static struct flow_table *t;

static void make(struct flow_key *k, bool is_out, uint32_t n, enum flow_space space)
{
	uint8_t ours[16] = {10, 0, 0, 1}, peers[16] = {100, 64};

	memcpy(peers + 2, &n, 2);
	if (is_out)
		flow_key_make(k, true, AF_INET, IPPROTO_UDP, ours, 5000, peers, (uint16_t)(n >> 16),
			      space);
	else
		flow_key_make(k, false, AF_INET, IPPROTO_UDP, peers, (uint16_t)(n >> 16), ours,
			      5000, space);
}

static uint32_t note(uint32_t n, uint64_t now_ns)
{
	struct flow_key k;

	make(&k, true, n, FLOW_SPACE_NORMAL);
	return flow_note_out(t, &k, flow_hash(t, &k), n + 1, now_ns);
}

static uint32_t look_up(uint32_t n, uint64_t now_ns)
{
	struct flow_key k;

	make(&k, false, n, FLOW_SPACE_NORMAL);
	return flow_lookup_in(t, &k, flow_hash(t, &k), now_ns);
}

static void test_keys(void **state)
{
	uint8_t a6[16] = {0xfd, 1}, b6[16] = {0xfd, 2};
	struct flow_key k, other;
	uint32_t ref;

	t = flow_table_new(1024);
	assert_int_equal(flow_capacity(t), 1024);
	assert_int_equal(look_up(3, 1), 0);
	ref = note(3, 1);
	assert_int_not_equal(ref, 0);
	assert_int_equal(note(3, 2), ref);
	assert_int_equal(look_up(3, 3), ref);
	assert_int_equal(look_up(4, 3), 0);
	assert_int_equal(flow_at(t, ref)->peer, 4);
	flow_count(t, ref, true, 2, 200);
	flow_count(t, ref, false, 1, 10);
	assert_int_equal(flow_at(t, ref)->bytes_out, 200);
	assert_int_equal(flow_at(t, ref)->packets_in, 1);

	/* Each field of the key counts; IPv6; spaces are apart. */
	flow_key_make(&k, true, AF_INET6, IPPROTO_SCTP, a6, 1, b6, 2, FLOW_SPACE_NORMAL);
	assert_int_not_equal(flow_note_out(t, &k, flow_hash(t, &k), 1, 1), 0);
	flow_key_make(&other, false, AF_INET6, IPPROTO_SCTP, b6, 2, a6, 1, FLOW_SPACE_NORMAL);
	assert_memory_equal(&k, &other, sizeof(k));
	assert_int_not_equal(flow_lookup_in(t, &k, flow_hash(t, &k), 1), 0);
	for (unsigned i = 0; i < sizeof(k) - 1; i++) {
		other = k;
		((uint8_t *)&other)[i] ^= 1;
		assert_int_equal(flow_lookup_in(t, &other, flow_hash(t, &other), 1), 0);
		/* Also when the hash is the same. */
		assert_int_equal(flow_lookup_in(t, &other, flow_hash(t, &k), 1), 0);
	}
	k.space = FLOW_SPACE_JAILED;
	assert_int_not_equal(flow_note_out(t, &k, flow_hash(t, &k), 1, 1), 0);
	flow_clear(t, FLOW_SPACE_NORMAL);
	assert_int_equal(look_up(3, 3), 0);
	assert_int_not_equal(flow_lookup_in(t, &k, flow_hash(t, &k), 1), 0);
	flow_table_free(t);
	flow_table_free(NULL);
}

/* One bucket: exactly the eight most recently used flows are in it. */
static void test_lru(void **state)
{
	uint64_t used[64] = {0}, seed = 3, now = 1000 * NS_PER_SEC;

	t = flow_table_new(1);
	assert_int_equal(flow_capacity(t), FLOW_WAYS);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned n = test_random(&seed) % 12, newer = 0;

		now += 3 * NS_PER_MS;
		for (unsigned k = 0; k < 12; k++)
			newer += used[k] > used[n];
		if (i % 2) {
			assert_int_not_equal(note(n, now), 0);
			used[n] = now;
		} else if (used[n] && newer < FLOW_WAYS) {
			assert_int_not_equal(look_up(n, now), 0);
			used[n] = now;
		} else {
			assert_int_equal(look_up(n, now), 0);
		}
	}
	/* A worker whose batch is a little behind does not throw out the newest. */
	assert_int_not_equal(note(20, now + 100 * NS_PER_MS), 0);
	assert_int_not_equal(note(21, now + 50 * NS_PER_MS), 0);
	assert_int_not_equal(look_up(20, now), 0);
	flow_table_free(t);
}

static int count_view(const struct flow_view *v, void *arg)
{
	assert_int_equal(v->age_ns, 5 * NS_PER_MS);
	assert_int_equal(v->key.local_port, 5000);
	assert_int_equal(v->created_ns, 100 * NS_PER_MS);
	(*(unsigned *)arg)++;
	return 0;
}

static void test_walk(void **state)
{
	unsigned seen = 0, kept = 0;

	t = flow_table_new(FLOW_PER_WORKER);
	for (uint32_t n = 0; n < 50000; n++)
		assert_int_not_equal(note(n, 100 * NS_PER_MS), 0);
	for (uint32_t n = 0; n < 50000; n++)
		kept += look_up(n, 100 * NS_PER_MS) != 0;
	assert_int_equal(flow_walk(t, 105 * NS_PER_MS, count_view, &seen), 0);
	assert_int_equal(seen, kept);
	/* At two fifths full hardly a bucket overflows. */
	assert_true(kept > 49000);
	flow_table_free(t);
}

/*
 * Writers note flows of their own and common ones in a small, contended table;
 * a hit must be the flow that was asked for: its peer says so (read under seq).
 */
static void *race_worker(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	uint64_t seed = id + 1;

	while (!atomic_load_explicit(&rcu_stop, memory_order_relaxed)) {
		uint32_t n = (uint32_t)test_random(&seed) % 500, ref, seq, peer;
		uint64_t now = 1000 * NS_PER_SEC + (test_random(&seed) & 0xfffffff);
		struct flow *f;

		if (n % 3) {
			note(n, now);
			continue;
		}
		ref = look_up(n, now);
		if (!ref)
			continue;
		f = flow_at(t, ref);
		flow_count(t, ref, false, 1, 1);
		seq = atomic_load_explicit(&f->seq, memory_order_acquire);
		peer = atomic_load_explicit(&f->peer, memory_order_acquire);
		/* Every noted peer is n + 1 for an n that is noted. */
		BUG_ON(!(seq & 1) && (peer == 0 || peer > 500 || (peer - 1) % 3 == 0));
	}
	return NULL;
}

/* Multiples of three are noted by nobody: a hit on one would be a false match. */
static void race_watch(void)
{
	for (unsigned i = 0; i < 300000; i++)
		BUG_ON(look_up(i % 500 / 3 * 3, 1000 * NS_PER_SEC) != 0);
}

static _Atomic uint32_t handed;

static void *receive_worker(void *arg)
{
	uint32_t last = 0;

	while (!atomic_load_explicit(&rcu_stop, memory_order_relaxed)) {
		uint32_t n = atomic_load_explicit(&handed, memory_order_acquire);

		if (n != last)
			BUG_ON(look_up(n, 2000 * NS_PER_SEC + n) == 0);
		last = n;
	}
	return NULL;
}

static void hand_over(void)
{
	for (uint32_t n = 1; n < 20000; n++) {
		BUG_ON(note(n, 2000 * NS_PER_SEC + n) == 0);
		atomic_store_explicit(&handed, n, memory_order_release);
	}
}

static void test_threads(void **state)
{
	t = flow_table_new(128);
	atomic_store(&rcu_stop, false);
	rcu_run(race_worker, race_watch);
	flow_table_free(t);

	t = flow_table_new(1u << 20);
	atomic_store(&rcu_stop, false);
	rcu_run(receive_worker, hand_over);
	flow_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_lru),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
