/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a client's queue keeps order and its bound, drops the oldest whole frames and
 * gives its chunks back, and that copies of the directory agree on the active
 * connection in whatever order news of different workers come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/derp/directory.h"
#include "controlplane/derp/queue.h"

#define MS 1000000ull

static void add(struct queue *q, struct queue_pool *pool, uint8_t name, size_t body,
		uint64_t now_ns, size_t max_bytes, uint64_t *dropped)
{
	uint8_t *p = queue_add(q, pool, DERP_HEADER_BYTES + body, now_ns, max_bytes, dropped);

	assert_non_null(p);
	derp_header_put(p, name, (uint32_t)body);
	memset(p + DERP_HEADER_BYTES, name, body);
}

/* Takes the first frame out; its name, or 0. */
static uint8_t take(struct queue *q, struct queue_pool *pool)
{
	struct derp_header h;

	if (!q->first)
		return 0;
	h = derp_header_get(q->first->data + q->first->at);
	q->first->at += DERP_HEADER_BYTES + h.len;
	q->bytes -= DERP_HEADER_BYTES + h.len;
	if (q->first->at == q->first->len)
		queue_pop(q, pool);
	return h.type;
}

static void oldest_first(void **state)
{
	struct queue q = {0};
	struct queue_pool pool = {0};
	uint64_t dropped = 0;

	for (uint8_t i = 1; i <= 10; i++)
		add(&q, &pool, i, 1000, 0, 4100, &dropped);
	assert_int_equal(dropped, 6);
	for (uint8_t i = 7; i <= 10; i++)
		assert_int_equal(take(&q, &pool), i);
	assert_int_equal(take(&q, &pool), 0);
	assert_int_equal(q.bytes, 0);
	/* One that is longer than a chunk, alone and between others. */
	add(&q, &pool, 1, 10, 0, 1 << 20, &dropped);
	add(&q, &pool, 2, 65568, 0, 1 << 20, &dropped);
	add(&q, &pool, 3, 10, 0, 1 << 20, &dropped);
	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(take(&q, &pool), i);
	queue_clear(&q, &pool);
	queue_pool_shrink(&pool, 0);
}

static void too_old(void **state)
{
	struct queue q = {0};
	struct queue_pool pool = {0};
	uint64_t dropped = 0;

	for (uint8_t i = 1; i <= 4; i++)
		add(&q, &pool, i, 100, i * 10 * MS, 1 << 20, &dropped);
	assert_int_equal(queue_expire(&q, &pool, 45 * MS, 30 * MS), 1);
	assert_int_equal(queue_expire(&q, &pool, 55 * MS, 30 * MS), 1);
	assert_int_equal(take(&q, &pool), 3);
	assert_int_equal(queue_expire(&q, &pool, 500 * MS, 30 * MS), 1);
	assert_null(q.first);
	assert_null(q.last);
	queue_pool_shrink(&pool, 0);
}

/* A chunk goes as a whole; what comes then has one of its own. */
static void chunk_by_chunk(void **state)
{
	struct queue q = {0};
	struct queue_pool pool = {0};
	uint64_t dropped = 0;

	for (uint8_t i = 1; i <= 20; i++)
		add(&q, &pool, i, 1000, 0, 1 << 20, &dropped);
	assert_int_equal(q.bytes, 20 * (DERP_HEADER_BYTES + 1000));
	queue_pop(&q, &pool);
	assert_int_equal(q.first->data[0], 17);
	assert_int_equal(q.bytes, 4 * (DERP_HEADER_BYTES + 1000));
	queue_pop(&q, &pool);
	assert_null(q.first);
	assert_null(q.last);
	assert_int_equal(q.bytes, 0);
	assert_int_equal(pool.count, 2);
	add(&q, &pool, 1, 1000, 0, 1 << 20, &dropped);
	assert_int_equal(pool.count, 1);
	queue_clear(&q, &pool);
	queue_pool_shrink(&pool, 0);
}

static uint64_t active(struct directory *d, const uint8_t *key)
{
	struct entry *e = directory_find(d, key);

	return e ? e->where[e->active].id : 0;
}

static void copies_agree(void **state)
{
	static const uint8_t key[DERP_KEY_BYTES] = {7};
	struct where one = {.id = 1, .turn = 1}, two = {.id = 2, .turn = 2};
	struct directory a, b;
	struct entry *e;

	assert_int_equal(directory_init(&a, 1), 0);
	assert_int_equal(directory_init(&b, 2), 0);
	assert_non_null(directory_join(&a, key, &one));
	assert_non_null(directory_join(&a, key, &two));
	directory_activate(&a, key, 1, 3);
	assert_non_null(directory_join(&b, key, &one));
	directory_activate(&b, key, 1, 3);
	assert_non_null(directory_join(&b, key, &two));
	assert_int_equal(active(&a, key), 1);
	assert_int_equal(active(&b, key), 1);
	assert_null(directory_leave(&a, key, 1));
	assert_int_equal(active(&a, key), 2);
	e = directory_leave(&a, key, 2);
	assert_non_null(e);
	directory_free_entry(&a, e);
	assert_int_equal(active(&a, key), 0);
	assert_null(directory_leave(&a, key, 2));
	directory_fini(&a);
	directory_fini(&b);
}

static void directory_grows(void **state)
{
	struct directory d;
	uint8_t key[DERP_KEY_BYTES] = {0};

	assert_int_equal(directory_init(&d, 5), 0);
	for (uint32_t i = 1; i <= 5000; i++) {
		struct where w = {.id = i};

		memcpy(key, &i, sizeof(i));
		assert_non_null(directory_join(&d, key, &w));
	}
	for (uint32_t i = 1; i <= 5000; i++) {
		memcpy(key, &i, sizeof(i));
		assert_int_equal(active(&d, key), i);
	}
	assert_int_equal(d.count, 5000);
	directory_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oldest_first),	   cmocka_unit_test(too_old),
		cmocka_unit_test(chunk_by_chunk),  cmocka_unit_test(copies_agree),
		cmocka_unit_test(directory_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
