/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay window takes each counter once, as the vectors and a naive window
 * do, also when four threads offer the same counters.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/replay.h"
#include "lib/wire/wg.h"
#include "tests/unit/table_rcu.h"

static const char *vector_file;

static uint64_t hex(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	assert_non_null(text);
	return strtoull(text, NULL, 16);
}

static void test_vectors(void **state)
{
	json_t *root = json_load_file(vector_file, 0, NULL);
	json_t *cases = json_object_get(root, "replay_window_8128"), *one, *step;
	size_t i, k;

	assert_true(json_array_size(cases) > 0);
	json_array_foreach(cases, i, one)
	{
		struct replay *r = calloc(1, sizeof(*r));

		assert_true(hex(one, "limit") == WG_REJECT_AFTER_MESSAGES);
		json_array_foreach(json_object_get(one, "steps"), k, step)
		{
			bool accepted = replay_check(r, hex(step, "counter")) == REPLAY_OK;

			if (accepted != json_is_true(json_object_get(step, "accepted")))
				fail_msg("%s, step %zu",
					 json_string_value(json_object_get(one, "name")), k);
		}
		replay_fini(r);
		free(r);
	}
	json_decref(root);
}

/* Every counter ever accepted, as a flag: only for small counters. */
#define NAIVE_COUNTERS 4000000

static void test_naive(void **state)
{
	struct replay *r = calloc(1, sizeof(*r));
	uint8_t *seen = malloc(NAIVE_COUNTERS);
	uint64_t seed = 4711;

	for (unsigned round = 0; round < 20; round++) {
		uint64_t last = 0;

		memset(r, 0, sizeof(*r));
		memset(seen, 0, NAIVE_COUNTERS);
		for (unsigned i = 0; i < 50000; i++) {
			uint64_t x = test_random(&seed), c = last;
			enum replay_verdict want;

			switch (x >> 60 & 7) {
			case 0: /* anywhere in the window or a little behind it */
				c = last > 8300 ? last - (x >> 20) % 8300 : (x >> 20) % (last + 1);
				break;
			case 1: /* at the window's edge */
				c = last > 8140 ? last - 8120 - (x >> 20) % 20 : 0;
				break;
			case 2:
				c = last + (x >> 20) % 300;
				break;
			case 3:
				c = last + (x >> 40) % (round % 2 ? 40 : 20000);
				break;
			default:
				c = last + 1;
			}
			if (c >= NAIVE_COUNTERS)
				break;
			if (c > last)
				want = REPLAY_OK;
			else if (last - c > WG_REPLAY_WINDOW)
				want = REPLAY_TOO_OLD;
			else
				want = seen[c] ? REPLAY_SEEN : REPLAY_OK;
			assert_int_equal(replay_check(r, c), want);
			seen[c] = 1;
			last = c > last ? c : last;
			assert_true(replay_last(r) == last);
		}
	}
	assert_int_equal(replay_check(r, WG_REJECT_AFTER_MESSAGES), REPLAY_LIMIT);
	assert_int_equal(replay_check(r, UINT64_MAX), REPLAY_LIMIT);
	replay_fini(r);
	free(seen);
	free(r);
}

/*
 * Four threads walk over the same counters, each in an order of its own inside a
 * moving block; whatever was accepted was accepted once.
 */
#define THREADS	 4
#define COUNTERS 400000u

static struct replay *shared;
static _Atomic uint8_t *taken;

static void *offer(void *arg)
{
	uint64_t seed = 99 + (uintptr_t)arg;

	for (unsigned base = 0; base < COUNTERS; base += 64) {
		unsigned flip = (unsigned)test_random(&seed) & 63;

		for (unsigned i = 0; i < 64; i++) {
			uint64_t c = base + (i ^ flip);

			if (c < COUNTERS && replay_check(shared, c) == REPLAY_OK)
				atomic_fetch_add_explicit(&taken[c], 1, memory_order_relaxed);
		}
		/* A look back: much that is seen, some that is too old. */
		for (unsigned i = 0; i < 16; i++) {
			uint64_t c = test_random(&seed) % (base + 64);

			if (c < COUNTERS && replay_check(shared, c) == REPLAY_OK)
				atomic_fetch_add_explicit(&taken[c], 1, memory_order_relaxed);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t thread[THREADS];
	unsigned accepted = 0;

	shared = calloc(1, sizeof(*shared));
	taken = calloc(COUNTERS, 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, offer, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned c = 0; c < COUNTERS; c++) {
		assert_true(taken[c] <= 1);
		accepted += taken[c];
	}
	/* Of the thread that leads nothing can be too old. */
	assert_true(accepted > COUNTERS / 2);
	assert_int_equal(taken[COUNTERS - 1], 1);
	free(taken);
	replay_fini(shared);
	free(shared);
}

/* Blocks of counters marked at once, as single ones would have been. */
static void test_blocks(void **state)
{
	struct replay one = {0}, many = {0};
	uint64_t seed = 12, last = 0;

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t x = test_random(&seed);
		uint64_t block = replay_block(last), bits, want = 0, too_old = 0, too_old_now;
		enum replay_verdict why;

		switch (x >> 61) {
		case 0:
			block += (x >> 20) % 200;
			break;
		case 1:
			block -= block > 160 ? (x >> 20) % 160 : 0;
			break;
		default:
			block += (x >> 20) % 2;
		}
		bits = (test_random(&seed) & test_random(&seed) & ((1ull << REPLAY_BITS) - 1)) | 1;
		/* The highest first: it decides where the window ends. */
		for (int k = REPLAY_BITS - 1; k >= 0; k--) {
			enum replay_verdict v;

			if (!(bits & 1ull << k))
				continue;
			v = replay_check(&one, block * REPLAY_BITS + (unsigned)k);
			want |= v == REPLAY_OK ? 1ull << k : 0;
			too_old |= v == REPLAY_TOO_OLD ? 1ull << k : 0;
		}
		assert_int_equal(replay_mark(&many, block, bits, i & 1, &too_old_now, &why), want);
		assert_int_equal(too_old_now, too_old);
		last = replay_last(&many);
		assert_int_equal(last, replay_last(&one));
	}
	assert_true(last > 100 * REPLAY_BITS * REPLAY_WORDS);
	replay_fini(&one);
	replay_fini(&many);
}

/* Where laps come round modulo 256 nothing of before is taken for fresh, nor refused. */
static void test_long_gaps(void **state)
{
	const uint64_t lap = (uint64_t)REPLAY_BITS * REPLAY_WORDS;

	for (unsigned laps = 1; laps < 600; laps++) {
		struct replay r = {0};
		uint64_t base = 3 * lap, to = base + laps * lap;

		for (uint64_t c = base; c < base + lap; c++)
			assert_int_equal(replay_check(&r, c), REPLAY_OK);
		for (uint64_t c = to + lap - 1; c >= to + lap - 4000; c--)
			assert_int_equal(replay_check(&r, c), REPLAY_OK);
		for (uint64_t c = to + lap - 4000; c < to + lap; c++)
			assert_int_equal(replay_check(&r, c), REPLAY_SEEN);
		assert_int_equal(replay_check(&r, base), REPLAY_TOO_OLD);
		replay_fini(&r);
	}
}

/*
 * Threads that jump far ahead, each in turn, over the same counters: the ring is cleared
 * again and again while others mark. Nothing may be taken twice.
 */
static void *jump(void *arg)
{
	uint64_t seed = 5 + (uintptr_t)arg;

	for (unsigned i = 0; i < COUNTERS / 64; i++) {
		/* Every 64th block lies 200 laps further on. */
		uint64_t hop = (uint64_t)(i / 64) * 200 * REPLAY_BITS * REPLAY_WORDS;
		unsigned flip = (unsigned)test_random(&seed) & 63;

		for (unsigned k = 0; k < 64; k++) {
			uint64_t index = i * 64 + (k ^ flip);

			if (replay_check(shared, hop + index) == REPLAY_OK)
				atomic_fetch_add_explicit(&taken[index], 1, memory_order_relaxed);
		}
	}
	return NULL;
}

static void test_threads_jump(void **state)
{
	pthread_t thread[THREADS];
	unsigned accepted = 0;

	shared = calloc(1, sizeof(*shared));
	taken = calloc(COUNTERS, 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, jump, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned c = 0; c < COUNTERS; c++) {
		assert_true(taken[c] <= 1);
		accepted += taken[c];
	}
	assert_true(accepted > COUNTERS / 2);
	free(taken);
	replay_fini(shared);
	free(shared);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_naive),
		cmocka_unit_test(test_blocks),	cmocka_unit_test(test_long_gaps),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_threads_jump),
	};

	if (argc != 2)
		return 2;
	vector_file = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
