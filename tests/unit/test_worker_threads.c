/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that two workers move packets over the shared tables while the control
 * thread takes peers, sessions, routes and rules away and brings new ones:
 * nothing is counted twice or lost, and ThreadSanitizer sees no race.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_rcu_qsbr.h>
#include <rte_ring_elem.h>

#include "dataplane/api/show.h"
#include "dataplane/pipeline.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/retire.h"
#include "dataplane/table/session_build.h"
#include "lib/base/bug.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

#define WORKERS	   2
#define CHANGING   4 /* peers 1..4 come and go */
#define STEADY	   5 /* this one stays, and is counted exactly */
#define STEADY_IDX 0x7f05u
#define CHANGES	   4000
#define ROUNDS_MIN 500
#define MTU	   1420
#define INDEX_MAX  0x7f00u

static struct dp_rig *rig;
static atomic_bool stop;
static atomic_uint rounds[WORKERS];
static atomic_uint current[CHANGING + 1]; /* the session that a peer sends on */
static atomic_ulong next_counter;
static struct dpapi_session_set steady;

/* Prepared before the threads start. */
static uint8_t to_peer[STEADY + 1][256], from_peer[STEADY + 1][256];
static size_t to_len, from_len;

/* What each worker did with the steady peer. */
static uint64_t steady_sent[WORKERS], steady_received[WORKERS];

static void add_opened(struct batch *b, const struct dpapi_session_set *s, uint64_t counter,
		       unsigned peer)
{
	uint8_t wire[512];

	dp_rig_add_outside(rig, b, wire, dp_rig_seal(s, counter, from_peer[peer], from_len, wire));
}

static void outside_round(struct worker *w)
{
	struct batch *b = dp_rig_batch(rig, w->id);

	for (unsigned i = 0; i < 24; i++) {
		unsigned peer = 1 + (i + rounds[w->id]) % STEADY;
		struct dpapi_session_set s;

		if (peer == STEADY) {
			/* Both workers get each of these: it must count once. */
			add_opened(b, &steady, steady_received[w->id]++, STEADY);
			continue;
		}
		s = dp_rig_session_msg(rig, peer, atomic_load(&current[peer]), 0);
		add_opened(b, &s, atomic_fetch_add(&next_counter, 1), peer);
	}
	pipeline_outside(w, b);
}

static void inside_round(struct worker *w)
{
	struct batch *b = dp_rig_batch(rig, w->id);

	for (unsigned i = 0; i < 24; i++) {
		unsigned peer = 1 + i % STEADY;

		dp_rig_add_inside(rig, b, to_peer[peer], to_len);
		steady_sent[w->id] += peer == STEADY;
	}
	pipeline_inside(w, b);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	rte_rcu_qsbr_thread_register(rig->dp.qsbr, w->id);
	rte_rcu_qsbr_thread_online(rig->dp.qsbr, w->id);
	while (!atomic_load(&stop)) {
		outside_round(w);
		rte_rcu_qsbr_quiescent(rig->dp.qsbr, w->id);
		inside_round(w);
		rte_rcu_qsbr_quiescent(rig->dp.qsbr, w->id);
		atomic_fetch_add(&rounds[w->id], 1);
	}
	rte_rcu_qsbr_thread_offline(rig->dp.qsbr, w->id);
	rte_rcu_qsbr_thread_unregister(rig->dp.qsbr, w->id);
	return NULL;
}

/* ---- control thread ---- */

static uint8_t confirmed[INDEX_MAX + 0x100];
static unsigned confirmed_count;

static void take_events(void)
{
	dp_rig_drain(rig);
	for (unsigned i = 0; i < rig->event_count; i++) {
		const struct worker_event *e = &rig->events[i];

		if (e->type != DPAPI_EVENT_CONFIRMED)
			continue;
		assert_true(e->local_index < sizeof(confirmed));
		assert_int_equal(confirmed[e->local_index], 0);
		confirmed[e->local_index] = 1;
		confirmed_count++;
	}
}

static void drop_peer(uint32_t id)
{
	struct dpapi_peer_del m = {.hdr.type = DPAPI_PEER_DEL, .id = id};

	assert_int_equal(dp_rig_apply(rig, &m, sizeof(m)), 0);
}

static void make_peer(uint32_t id)
{
	char prefix[32];

	dp_rig_peer(rig, id, MTU, 0);
	dp_rig_path(rig, id, "192.0.2.9:51820");
	snprintf(prefix, sizeof(prefix), "10.%u.0.0/16", id);
	dp_rig_route(rig, prefix, id);
}

/* A new session, every other one unconfirmed; at most a few at a time. */
static void new_session(uint32_t id, uint32_t index)
{
	const struct peer *p = peer_get(rig->dp.peers, id);
	struct dpapi_session_del del = {.hdr.type = DPAPI_SESSION_DEL};

	if (p->session_count >= 3) {
		del.local_index = p->sessions[0]->local_index;
		assert_int_equal(dp_rig_apply(rig, &del, sizeof(del)), 0);
	}
	dp_rig_session(rig, id, index, index & 1 ? DPAPI_SESSION_CONFIRMED : 0);
	atomic_store(&current[id], index);
}

static void flip_route(uint32_t id)
{
	struct dpapi_route m = {.hdr.type = DPAPI_ROUTE_DEL,
				.addr = {10, (uint8_t)id},
				.family = AF_INET,
				.prefix_len = 16,
				.peer_id = id};

	if (dp_rig_apply(rig, &m, sizeof(m)) < 0) {
		m.hdr.type = DPAPI_ROUTE_SET;
		assert_int_equal(dp_rig_apply(rig, &m, sizeof(m)), 0);
	}
}

static void look(void)
{
	static const char *const tables[] = {"peers", "sessions", "routes", "flows", "counters"};
	struct json_out js;

	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		json_out_init(&js);
		assert_int_equal(show_table(&rig->dp, tables[i], 20, &js), 0);
		json_out_fini(&js);
	}
}

static void empty_commands(void)
{
	struct worker_command c;

	/* Nobody runs them here, and the control thread posts them. */
	for (unsigned i = 0; i < WORKERS; i++)
		while (rte_ring_dequeue_elem(rig->dp.workers[i]->commands, &c, sizeof(c)) == 0)
			;
}

static void change(unsigned i)
{
	uint32_t id = 1 + (uint32_t)random() % CHANGING;

	switch (random() % 8) {
	case 0:
		drop_peer(id);
		make_peer(id);
		break;
	case 1:
		flip_route(id);
		break;
	case 2:
		dp_rig_path(rig, id, random() & 1 ? "198.51.100.1:7" : "192.0.2.9:51820");
		break;
	case 3:
		dp_rig_filter(rig, random() & 1 ? DPAPI_FILTER_ALLOW_ALL : DPAPI_FILTER_RULES);
		break;
	case 4:
		dp_rig_peer(rig, id, (uint16_t)(1280 + random() % 100),
			    random() & 1 ? DPAPI_PEER_JAILED : 0);
		break;
	default:
		new_session(id, 8 + i);
		break;
	}
}

static void control(void)
{
	unsigned i = 0;

	while (i < CHANGES || atomic_load(&rounds[0]) < ROUNDS_MIN ||
	       atomic_load(&rounds[1]) < ROUNDS_MIN) {
		if (i < CHANGES) {
			change(i);
			i++;
		}
		if (i == CHANGES / 4)
			assert_int_equal(session_table_grow(rig->dp.sessions), 0);
		if (i % 16 == 0) {
			take_events();
			empty_commands();
			retire_poll();
		}
		if (i % 256 == 0)
			look();
	}
}

static void test_workers_and_changes(void **state)
{
	uint64_t sent = 0, most = 0;
	const struct peer *p;
	pthread_t thread[WORKERS];
	char src[32];

	srandom(5);
	rig = dp_rig_new(WORKERS);
	for (uint32_t id = 1; id <= STEADY; id++) {
		make_peer(id);
		snprintf(src, sizeof(src), "10.%u.0.1", id);
		to_len = pk_udp(to_peer[id], "10.9.0.1", 1, src, 53, 60);
		/* Every other peer sends to its neighbour, the steady one to this host. */
		if (id == STEADY || id % 2)
			from_len = pk_udp(from_peer[id], src, 1, "10.9.0.1", 2, 60);
		else
			from_len = pk_udp(from_peer[id], src, 1, "10.1.0.1", 2, 60);
	}
	steady = dp_rig_session(rig, STEADY, STEADY_IDX, DPAPI_SESSION_CONFIRMED);
	dp_rig_local(rig, "10.9.0.0/16");
	for (unsigned i = 0; i < WORKERS; i++) {
		rig->port[i].is_counting_only = true;
		assert_int_equal(pthread_create(&thread[i], NULL, work, rig->dp.workers[i]), 0);
	}
	control();
	atomic_store(&stop, true);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	take_events();

	for (unsigned i = 0; i < WORKERS; i++) {
		sent += steady_sent[i];
		most = steady_received[i] > most ? steady_received[i] : most;
	}
	p = peer_get(rig->dp.peers, STEADY);
	/* No counter twice, no packet lost; each received one taken by one worker. */
	assert_int_equal(atomic_load(&p->tx_packets), sent);
	assert_int_equal(atomic_load(&peer_tx_session(p)->send_counter), sent);
	assert_int_equal(atomic_load(&p->rx_packets), most);
	assert_int_equal(dp_rig_dropped(rig, DROP_OPEN_BAD_TAG), 0);
	assert_true(dp_rig_dropped(rig, DROP_OPEN_REPLAY) > 0);
	assert_true(confirmed_count > 0);
	print_message("    %u and %u rounds, %u confirmed\n", rounds[0], rounds[1],
		      confirmed_count);
	dp_rig_free(rig);
}

#define RESERVATIONS 200000u

static struct session contended;

static void *reserve(void *arg)
{
	uint64_t *total = arg, first, last = 0;

	for (unsigned i = 0; i < RESERVATIONS; i++) {
		unsigned n = 1 + i % 5;

		if (!session_reserve(&contended, n, true, &first) || (i > 0 && first <= last))
			return NULL;
		last = first + n - 1;
		*total += n;
	}
	return NULL;
}

static void test_counters_under_contention(void **state)
{
	pthread_t thread[WORKERS];
	uint64_t total[WORKERS] = {0};

	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, reserve, &total[i]), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(total[0], RESERVATIONS * 3);
	assert_int_equal(total[1], RESERVATIONS * 3);
	assert_int_equal(atomic_load(&contended.send_counter), total[0] + total[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters_under_contention),
		cmocka_unit_test(test_workers_and_changes),
	};

	return cmocka_run_group_tests_name("worker_threads", tests, NULL, NULL);
}
