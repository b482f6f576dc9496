/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that what waits for a peer is lost with it, and is not sealed for the next
 * peer that gets its id: by PEER_DEL, and by sweeps of a few and of very many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dataplane/pipeline.h"
#include "dataplane/staging.h"
#include "dp_rig.h"

static const uint8_t packet[28] = {0x45, 0, 0,	28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0,
				   0,	 1, 10, 9,  0, 5, 0, 9, 0,  9,	0, 8, 0,  0};

static struct dp_rig *setup_waiting(void)
{
	struct dp_rig *r = dp_rig_new(1);
	struct batch *b = dp_rig_batch(r, 0);

	dp_rig_peer(r, 1, 1420, 0);
	dp_rig_route(r, "10.9.0.0/16", 1);
	dp_rig_add_inside(r, b, packet, sizeof(packet));
	pipeline_inside(r->dp.workers[0], b);
	assert_int_equal(staging_count(r->dp.workers[0]->staging), 1);
	return r;
}

/* Runs what the control thread has asked for, to the end. */
static void run_worker(struct dp_rig *r)
{
	struct worker_command stop = {.type = WORKER_CMD_STOP};

	assert_int_equal(worker_command(r->dp.workers[0], &stop), 0);
	worker_main(r->dp.workers[0]);
}

/* A peer with this id that can be sent to from now on. */
static void add_ready(struct dp_rig *r, uint32_t id)
{
	struct dpapi_session_set s;

	dp_rig_peer(r, id, 1420, 0);
	dp_rig_path(r, id, "192.0.2.7:51820");
	s = dp_rig_session_msg(r, id, 0x100, DPAPI_SESSION_CONFIRMED);
	s.expire_ns = INT64_MAX; /* the worker asks the real clock */
	assert_int_equal(dp_rig_apply(r, &s, sizeof(s)), 0);
}

static void sweep(struct dp_rig *r, uint32_t generation)
{
	struct dpapi_barrier m = {.hdr = {.type = DPAPI_BARRIER, .generation = generation},
				  .flags = DPAPI_BARRIER_SWEEP};

	assert_int_equal(dp_rig_apply(r, &m, sizeof(m)), 0);
}

static void test_kept_for_the_same_peer(void **state)
{
	struct dp_rig *r = setup_waiting();

	add_ready(r, 1);
	run_worker(r);
	assert_int_equal(r->port[0].sent_count, 1);
	dp_rig_free(r);
}

static void test_deleted(void **state)
{
	struct dp_rig *r = setup_waiting();
	struct dpapi_peer_del del = {.hdr.type = DPAPI_PEER_DEL, .id = 1};

	assert_int_equal(dp_rig_apply(r, &del, sizeof(del)), 0);
	add_ready(r, 1);
	run_worker(r);
	assert_int_equal(r->port[0].sent_count, 0);
	assert_int_equal(staging_count(r->dp.workers[0]->staging), 0);
	dp_rig_free(r);
}

static void test_swept(void **state)
{
	struct dp_rig *r = setup_waiting();

	sweep(r, 77);
	add_ready(r, 1);
	run_worker(r);
	assert_int_equal(r->port[0].sent_count, 0);
	assert_int_equal(staging_count(r->dp.workers[0]->staging), 0);
	dp_rig_free(r);
}

static void test_swept_with_many(void **state)
{
	struct dp_rig *r = setup_waiting();

	for (uint32_t id = 2; id < 200; id++)
		dp_rig_peer(r, id, 1420, 0);
	sweep(r, 77);
	add_ready(r, 1);
	run_worker(r);
	assert_int_equal(r->port[0].sent_count, 0);
	assert_int_equal(staging_count(r->dp.workers[0]->staging), 0);
	dp_rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_for_the_same_peer),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_swept),
		cmocka_unit_test(test_swept_with_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
