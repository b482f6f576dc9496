/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the staging keeps each peer's packets in order, 128 of them with the
 * oldest lost first, and gives back every slot: against a naive model, by random
 * calls with peers whose hashes collide.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/staging.h"
#include "lib/base/bug.h"

#define SLOT_BYTES 200
#define SECOND	   1000000000ull
#define QUEUES	   STAGING_PEERS_MAX

static struct staging *staging;
static struct batch batch;

static int setup(void **state)
{
	staging = staging_new(SLOT_BYTES);
	batch.n = 0;
	return staging ? 0 : -1;
}

static int teardown(void **state)
{
	staging_free(staging);
	return 0;
}

/* A packet that can be known again: its number, and bytes that follow from it. */
static enum drop_reason put(uint32_t peer, uint32_t number, uint16_t len, uint64_t now_ns)
{
	uint8_t bytes[SLOT_BYTES + 64];
	struct packet p = {.data = bytes, .len = len, .peer_out = peer, .kind = PACKET_INNER};

	memset(bytes, (int)(number & 0xff), sizeof(bytes));
	memcpy(bytes, &number, sizeof(number));
	return staging_put(staging, &p, now_ns);
}

static uint32_t number_of(const struct packet *p)
{
	uint32_t n;

	memcpy(&n, p->data, sizeof(n));
	for (unsigned i = sizeof(n); i < p->len; i++)
		assert_int_equal(p->data[i], n & 0xff);
	return n;
}

static void test_order_and_oldest_lost(void **state)
{
	unsigned seen = 0;

	for (uint32_t i = 0; i < STAGING_PER_PEER; i++)
		assert_int_equal(put(7, i, 60, i), DROP_NONE);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(put(7, STAGING_PER_PEER + i, 60, 1000), DROP_SEAL_STAGED_OVERFLOW);
	assert_int_equal(staging_count(staging), STAGING_PER_PEER);
	while (staging_take(staging, 7, &batch)) {
		for (unsigned i = 0; i < batch.n; i++) {
			const struct packet *p = &batch.pkts[i];

			assert_int_equal(number_of(p), 10 + seen++);
			assert_int_equal(p->len, 60);
			assert_int_equal(p->peer_out, 7);
			assert_int_equal(p->kind, PACKET_INNER);
			assert_int_equal(p->leader, i);
			assert_true(p->flags & PACKET_FROM_STAGING);
			assert_int_equal(p->headroom, PACKET_HEADROOM);
			assert_int_equal(p->tailroom, PACKET_TAILROOM);
		}
		batch.n = 0;
	}
	assert_int_equal(seen, STAGING_PER_PEER);
	assert_int_equal(staging_count(staging), 0);
}

static void test_total_slots(void **state)
{
	uint32_t peers = STAGING_SLOTS / STAGING_PER_PEER;

	for (uint32_t peer = 1; peer <= peers; peer++)
		for (uint32_t i = 0; i < STAGING_PER_PEER; i++)
			assert_int_equal(put(peer, i, 40, 1), DROP_NONE);
	assert_int_equal(staging_count(staging), STAGING_SLOTS);
	/* A peer without anything waiting gets nothing, and leaves no trace. */
	assert_int_equal(put(100, 0, 40, 1), DROP_SEAL_STAGED_OVERFLOW);
	assert_int_equal(staging_take(staging, 100, &batch), 0);
	assert_int_equal(staging_count(staging), STAGING_SLOTS);
	/* What is taken and not released is still somebody's. */
	assert_int_equal(staging_take(staging, 1, &batch), BATCH_MAX);
	assert_int_equal(put(100, 0, 40, 1), DROP_SEAL_STAGED_OVERFLOW);
	staging_release(staging);
	assert_int_equal(put(100, 0, 40, 1), DROP_NONE);
	for (unsigned i = 0; i < BATCH_MAX - 1; i++)
		assert_int_equal(put(101, i, 40, 1), DROP_NONE);
	assert_int_equal(put(102, 0, 40, 1), DROP_SEAL_STAGED_OVERFLOW);
}

static void test_taken_bytes_stay_until_release(void **state)
{
	for (uint32_t i = 0; i < 3; i++)
		put(5, i, 100, 1);
	assert_int_equal(staging_take(staging, 5, &batch), 3);
	for (uint32_t i = 0; i < 128; i++)
		put(6, 1000 + i, 100, 1);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(number_of(&batch.pkts[i]), i);
}

static void test_room_in_the_batch(void **state)
{
	for (uint32_t i = 0; i < 10; i++)
		put(5, i, 100, 1);
	batch.n = BATCH_MAX - 4;
	assert_int_equal(staging_take(staging, 5, &batch), 4);
	assert_int_equal(batch.n, BATCH_MAX);
	assert_int_equal(staging_take(staging, 5, &batch), 0);
	batch.n = 0;
	assert_int_equal(staging_take(staging, 5, &batch), 6);
	assert_int_equal(number_of(&batch.pkts[0]), 4);
}

static void test_sizes(void **state)
{
	assert_int_equal(put(1, 1, SLOT_BYTES, 1), DROP_NONE);
	assert_int_equal(put(1, 2, SLOT_BYTES + 1, 1), DROP_SEAL_NO_BUFFER);
	assert_int_equal(staging_count(staging), 1);
	staging_take(staging, 1, &batch);
	number_of(&batch.pkts[0]);
	/* The room that it claims is its own. */
	memset(batch.pkts[0].data - PACKET_HEADROOM, 1, PACKET_HEADROOM);
	memset(batch.pkts[0].data + SLOT_BYTES, 1, PACKET_TAILROOM);
}

static void test_expire(void **state)
{
	put(1, 1, 40, 10 * SECOND);
	put(1, 2, 40, 20 * SECOND);
	put(2, 3, 40, 15 * SECOND);
	assert_int_equal(staging_expire(staging, 10 * SECOND + STAGING_TIMEOUT_NS), 0);
	assert_int_equal(staging_expire(staging, 10 * SECOND + STAGING_TIMEOUT_NS + 1), 1);
	assert_int_equal(staging_count(staging), 2);
	assert_int_equal(staging_expire(staging, 19 * SECOND + STAGING_TIMEOUT_NS), 1);
	assert_int_equal(staging_take(staging, 2, &batch), 0);
	assert_int_equal(staging_take(staging, 1, &batch), 1);
	assert_int_equal(number_of(&batch.pkts[0]), 2);
}

/* ---- the model ---- */

struct waiting {
	uint32_t number;
	uint16_t len;
	uint64_t since_ns;
};

struct model_peer {
	uint32_t id;
	unsigned n;
	struct waiting w[STAGING_PER_PEER];
};

#define MODEL_PEERS 640

static struct model_peer model[MODEL_PEERS];
static unsigned model_taken;

static unsigned model_count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_PEERS; i++)
		n += model[i].n;
	return n;
}

static unsigned model_queues(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_PEERS; i++)
		n += model[i].n > 0;
	return n;
}

static void model_pop(struct model_peer *m, unsigned n)
{
	memmove(m->w, m->w + n, (m->n - n) * sizeof(m->w[0]));
	m->n -= n;
}

static enum drop_reason model_put(struct model_peer *m, struct waiting w)
{
	enum drop_reason lost = DROP_NONE;

	if (w.len > SLOT_BYTES)
		return DROP_SEAL_NO_BUFFER;
	if (m->n == 0 && model_queues() == QUEUES)
		return DROP_SEAL_STAGED_OVERFLOW;
	if (m->n == STAGING_PER_PEER || model_count() + model_taken == STAGING_SLOTS) {
		if (m->n == 0)
			return DROP_SEAL_STAGED_OVERFLOW;
		model_pop(m, 1);
		lost = DROP_SEAL_STAGED_OVERFLOW;
	}
	m->w[m->n++] = w;
	return lost;
}

static void check_take(struct model_peer *m, unsigned room)
{
	unsigned want = m->n < room ? m->n : room;

	batch.n = (uint16_t)(BATCH_MAX - room);
	assert_int_equal(staging_take(staging, m->id, &batch), want);
	for (unsigned i = 0; i < want; i++) {
		const struct packet *p = &batch.pkts[BATCH_MAX - room + i];

		assert_int_equal(number_of(p), m->w[i].number);
		assert_int_equal(p->len, m->w[i].len);
	}
	model_pop(m, want);
	model_taken += want;
}

static void check_expire(uint64_t now_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_PEERS; i++) {
		while (model[i].n && now_ns - model[i].w[0].since_ns > STAGING_TIMEOUT_NS) {
			model_pop(&model[i], 1);
			n++;
		}
	}
	assert_int_equal(staging_expire(staging, now_ns), n);
}

static void check_peers(void)
{
	uint32_t ids[MODEL_PEERS];
	unsigned n = staging_peers(staging, ids, MODEL_PEERS);

	assert_int_equal(n, model_queues());
	for (unsigned i = 0; i < n; i++) {
		unsigned k;

		for (k = 0; k < MODEL_PEERS && model[k].id != ids[i]; k++)
			;
		assert_true(k < MODEL_PEERS && model[k].n > 0);
	}
	assert_int_equal(staging_count(staging), model_count());
}

/* The first `same` peers have homes at the table's end and beginning. */
static void make_peers(unsigned same)
{
	uint32_t id = 0;

	for (unsigned i = 0; i < MODEL_PEERS; i++) {
		do {
			id++;
		} while (i < same && ((id * 0x9e3779b1u >> 23) + 4) % QUEUES >= 6);
		model[i] = (struct model_peer){.id = id};
	}
	model_taken = 0;
}

/* fill: how many of 100 calls put something. */
static void random_calls(unsigned peers, unsigned fill, unsigned calls, unsigned seed)
{
	uint64_t now_ns = SECOND;

	srandom(seed);
	for (unsigned i = 0; i < calls; i++) {
		struct model_peer *m = &model[random() % peers];
		unsigned what = (unsigned)(random() % 100);

		now_ns += (uint64_t)(random() % 200) * (SECOND / 1000);
		if (what < fill) {
			struct waiting w = {i, (uint16_t)(4 + random() % (SLOT_BYTES + 4)), now_ns};

			assert_int_equal(put(m->id, i, w.len, now_ns), model_put(m, w));
		} else if (what % 5 == 0) {
			assert_int_equal(staging_drop(staging, m->id), m->n);
			m->n = 0;
		} else if (what % 5 == 1) {
			check_expire(now_ns);
		} else if (what % 5 == 2) {
			staging_release(staging);
			model_taken = 0;
		} else {
			check_take(m, (unsigned)(random() % (BATCH_MAX + 1)));
		}
		if (i % 64 == 0)
			check_peers();
	}
	check_peers();
}

static void test_model_colliding_peers(void **state)
{
	make_peers(40);
	random_calls(40, 50, 40000, 1);
}

static void test_model_full(void **state)
{
	make_peers(20);
	random_calls(20, 97, 60000, 2);
}

/* More peers than queues: each waits with a packet or two. */
static void test_model_all_queues(void **state)
{
	make_peers(30);
	random_calls(MODEL_PEERS, 92, 60000, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order_and_oldest_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_total_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taken_bytes_stay_until_release, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_room_in_the_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model_colliding_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_model_all_queues, setup, teardown),
	};

	return cmocka_run_group_tests_name("staging", tests, NULL, NULL);
}
