/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers and their sessions: upserts, collisions, growth, which session sends, and
 * that exactly one worker confirms a session while others come and go.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/peer_build.h"
#include "tests/unit/table_rcu.h"

static struct session_table *sessions;
static struct peer_table *peers;

static int setup(void **state)
{
	retire_init(NULL);
	sessions = session_table_new(64);
	peers = peer_table_new(sessions);
	return sessions && peers ? 0 : -1;
}

static int teardown(void **state)
{
	peer_table_free(peers);
	session_table_free(sessions);
	return 0;
}

static struct dpapi_peer_set peer_msg(uint32_t id)
{
	struct dpapi_peer_set m = {.id = id, .mtu = 1280, .hdr.generation = 1};

	memcpy(m.public_key, &id, sizeof(id));
	m.public_key[31] = 7;
	return m;
}

static struct dpapi_session_set session_msg(uint32_t peer, uint32_t index, uint64_t born,
					    uint32_t flags)
{
	struct dpapi_session_set m = {.peer_id = peer,
				      .local_index = index,
				      .remote_index = ~index,
				      .flags = flags,
				      .born_ns = born,
				      .expire_ns = born + 180};

	memset(m.send_key, (int)index, sizeof(m.send_key));
	memset(m.recv_key, (int)index + 1, sizeof(m.recv_key));
	return m;
}

static int install(uint32_t peer, uint32_t index, uint64_t born, uint32_t flags)
{
	struct dpapi_session_set m = session_msg(peer, index, born, flags);

	return peer_session_install(peers, &m);
}

static int add_peer(uint32_t id)
{
	struct dpapi_peer_set m = peer_msg(id);

	return peer_set(peers, &m);
}

static void test_upsert(void **state)
{
	struct dpapi_peer_set m = peer_msg(5);
	struct peer *p;

	assert_null(peer_get(peers, 5));
	assert_int_equal(peer_set(peers, &m), 0);
	p = peer_get(peers, 5);
	assert_non_null(p);
	assert_ptr_equal(peer_by_key(peers, m.public_key), p);
	m.mtu = 1420;
	m.flags = DPAPI_PEER_JAILED;
	assert_int_equal(peer_set(peers, &m), 0);
	assert_ptr_equal(peer_get(peers, 5), p);
	assert_int_equal(p->mtu, 1420);
	assert_int_equal(p->flags, DPAPI_PEER_JAILED);
	assert_int_equal(peer_count(peers), 1);

	m.id = 6; /* the key of another */
	assert_int_equal(peer_set(peers, &m), -EEXIST);
	m.id = 5;
	m.public_key[3] ^= 1; /* another key */
	assert_int_equal(peer_set(peers, &m), -EEXIST);
	m.id = 0;
	assert_int_equal(peer_set(peers, &m), -EINVAL);
	m.id = PEER_ID_MAX + 1;
	assert_int_equal(peer_set(peers, &m), -EINVAL);
	assert_null(peer_get(peers, UINT32_MAX));
	assert_int_equal(peer_del(peers, 5), 0);
	assert_int_equal(peer_del(peers, 5), -ENOENT);
	assert_int_equal(peer_count(peers), 0);
}

static int count_rising(struct peer *p, void *arg)
{
	uint32_t *last = arg;

	assert_true(p->id > *last);
	*last = p->id;
	return 0;
}

static void ignore_peer(struct peer *p, void *arg)
{
	(*(unsigned *)arg)++;
}

static void test_many(void **state)
{
	struct dpapi_peer_set m;
	uint32_t last = 0;
	unsigned told = 0;

	for (uint32_t id = 1; id <= 5000; id++)
		assert_int_equal(add_peer(id), 0);
	for (uint32_t id = 1; id <= 5000; id++) {
		m = peer_msg(id);
		assert_ptr_equal(peer_by_key(peers, m.public_key), peer_get(peers, id));
		assert_int_equal(peer_get(peers, id)->id, id);
	}
	assert_int_equal(peer_walk(peers, count_rising, &last), 0);
	assert_int_equal(last, 5000);
	for (uint32_t id = 1; id <= 5000; id += 2) {
		m = peer_msg(id);
		m.hdr.generation = 2;
		assert_int_equal(peer_set(peers, &m), 0);
	}
	assert_int_equal(peer_sweep(peers, 2, ignore_peer, &told), 2500);
	assert_int_equal(told, 2500);
	assert_null(peer_get(peers, 2));
	assert_non_null(peer_get(peers, 1));
	m = peer_msg(2);
	assert_null(peer_by_key(peers, m.public_key));
}

static void test_path(void **state)
{
	struct dpapi_path path = {.kind = DPAPI_PATH_UDP,
				  .remote = {.family = AF_INET, .port = 41641, .bytes = {1, 2}}};
	struct peer_path *first;

	assert_int_equal(peer_path_set(peers, 1, &path), -ENOENT);
	assert_int_equal(add_peer(1), 0);
	assert_null(peer_path_get(peer_get(peers, 1)));
	assert_int_equal(peer_path_set(peers, 1, &path), 0);
	first = peer_path_get(peer_get(peers, 1));
	assert_int_equal(first->path.remote.port, 41641);
	assert_int_equal(peer_path_set(peers, 1, &path), 0);
	assert_ptr_equal(peer_path_get(peer_get(peers, 1)), first);
	path.remote.port = 1;
	assert_int_equal(peer_path_set(peers, 1, &path), 0);
	assert_int_equal(peer_path_get(peer_get(peers, 1))->path.remote.port, 1);
	path.kind = 9;
	assert_int_equal(peer_path_set(peers, 1, &path), -EINVAL);
	path.kind = DPAPI_PATH_NONE;
	assert_int_equal(peer_path_set(peers, 1, &path), 0);
	assert_null(peer_path_get(peer_get(peers, 1)));
}

static uint32_t tx_index(uint32_t peer)
{
	const struct session *s = peer_tx_session(peer_get(peers, peer));

	return s ? s->local_index : 0;
}

static void test_sessions(void **state)
{
	struct peer *p;
	struct session *s;

	assert_int_equal(install(1, 0x100, 10, 0), -ENOENT);
	assert_int_equal(add_peer(1), 0);
	p = peer_get(peers, 1);
	assert_int_equal(install(1, 0, 10, 0), -EINVAL);
	/* An initiator's session sends at once, a responder's when confirmed. */
	assert_int_equal(install(1, 0x101, 10, SESSION_INITIATOR | SESSION_CONFIRMED), 0);
	assert_int_equal(tx_index(1), 0x101);
	assert_int_equal(install(1, 0x102, 20, 0), 0);
	assert_int_equal(tx_index(1), 0x101);
	s = session_find(sessions, 0x102);
	assert_non_null(s);
	assert_int_equal(s->remote_index, ~0x102u);
	assert_int_equal(s->send_key[5], 0x02);
	assert_int_equal(s->recv_key[5], 0x03);
	assert_true(peer_promote(p, s));
	assert_false(peer_promote(p, s));
	assert_int_equal(tx_index(1), 0x102);
	/* Confirmed late, but older: does not take over. */
	assert_int_equal(install(1, 0x103, 15, 0), 0);
	assert_true(peer_promote(p, session_find(sessions, 0x103)));
	assert_int_equal(tx_index(1), 0x102);
	/* Upsert, another session with the same index, the same low bits, one too many. */
	assert_int_equal(install(1, 0x102, 20, 0), 0);
	assert_ptr_equal(session_find(sessions, 0x102), s);
	assert_int_equal(install(1, 0x102, 21, 0), -EEXIST);
	assert_int_equal(install(1, 0x10002, 21, 0), -EEXIST);
	assert_null(session_find(sessions, 0x10002));
	for (uint32_t i = 3; i < PEER_SESSIONS_MAX; i++)
		assert_int_equal(install(1, 0x101 + i, 30, 0), 0);
	assert_int_equal(install(1, 0x120, 30, 0), -ENOSPC);
	/* What sends goes: the newest confirmed one that is left sends. */
	assert_int_equal(peer_session_remove(peers, 0x102), 0);
	assert_int_equal(peer_session_remove(peers, 0x102), -ENOENT);
	assert_null(session_find(sessions, 0x102));
	assert_int_equal(tx_index(1), 0x103);
	assert_int_equal(peer_session_remove(peers, 0x103), 0);
	assert_int_equal(tx_index(1), 0x101);
	assert_int_equal(peer_session_remove(peers, 0x101), 0);
	assert_int_equal(tx_index(1), 0);
	assert_int_equal(peer_del(peers, 1), 0);
	assert_null(session_find(sessions, 0x104));
	assert_int_equal(sessions->count, 0);
}

static void told_gone(const struct session *s, void *arg)
{
	*(uint32_t *)arg += s->local_index;
}

static void test_expire(void **state)
{
	uint32_t sum = 0;

	assert_int_equal(add_peer(1), 0);
	assert_int_equal(install(1, 1, 10, SESSION_CONFIRMED), 0);
	assert_int_equal(install(1, 2, 20, SESSION_CONFIRMED), 0);
	assert_int_equal(install(1, 4, 30, 0), 0);
	assert_int_equal(peer_sessions_expire(peers, peer_get(peers, 1), 189, told_gone, &sum), 0);
	assert_int_equal(peer_sessions_expire(peers, peer_get(peers, 1), 200, told_gone, &sum), 2);
	assert_int_equal(sum, 3);
	assert_int_equal(tx_index(1), 0);
	assert_non_null(session_find(sessions, 4));
}

static void test_growth(void **state)
{
	uint64_t seed = 5;
	uint32_t used[2000];

	assert_null(session_table_new(0));
	assert_null(session_table_new(100));
	for (uint32_t i = 0; i < 2000; i++) {
		/* Unique in the low six bits of the first 64, random above. */
		used[i] = (uint32_t)test_random(&seed) << 11 | i;
		if (i % PEER_SESSIONS_MAX == 0)
			assert_int_equal(add_peer(1 + i / PEER_SESSIONS_MAX), 0);
		if (!used[i])
			used[i] = 1u << 11;
		assert_int_equal(install(1 + i / PEER_SESSIONS_MAX, used[i], i, 0), 0);
		for (uint32_t k = i > 40 ? i - 40 : 0; k <= i; k++)
			assert_int_equal(session_find(sessions, used[k])->local_index, used[k]);
	}
	assert_true(session_table_slots(sessions) >= 2048);
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(session_find(sessions, used[i])->peer->id,
				 1 + i / PEER_SESSIONS_MAX);
}

static void test_counters(void **state)
{
	struct session *s;
	struct peer *p;
	uint64_t first;

	assert_int_equal(add_peer(1), 0);
	assert_int_equal(install(1, 9, 1, SESSION_CONFIRMED), 0);
	s = session_find(sessions, 9);
	assert_true(session_reserve(s, 64, true, &first));
	assert_int_equal(first, 0);
	assert_true(session_reserve(s, 1, true, &first));
	assert_int_equal(first, 64);
	s->send_counter = WG_REJECT_AFTER_MESSAGES - 65;
	assert_true(session_reserve(s, 64, true, &first));
	assert_false(session_reserve(s, 2, true, &first));
	assert_true(s->send_counter < WG_REJECT_AFTER_MESSAGES);
	assert_true(session_claim_rekey(s, 1000, 100));
	assert_false(session_claim_rekey(s, 1099, 100));
	assert_true(session_claim_rekey(s, 1100, 100));

	p = peer_get(peers, 1);
	peer_note_tx(p, 100, 2, 300, true);
	peer_note_tx(p, 200, 1, 100, true);
	assert_int_equal(p->tx_unanswered_ns, 100);
	assert_int_equal(p->tx_bytes, 400);
	assert_int_equal(p->tx_packets, 3);
	peer_note_rx(p, 300, 0, 0, true); /* a keepalive answers, and asks for nothing */
	assert_int_equal(p->tx_unanswered_ns, 0);
	assert_int_equal(p->rx_unanswered_ns, 0);
	assert_int_equal(p->last_rx_ns, 300);
	peer_note_rx(p, 400, 1, 50, true);
	assert_int_equal(p->rx_unanswered_ns, 400);
	peer_note_tx(p, 500, 0, 0, true);
	assert_int_equal(p->rx_unanswered_ns, 0);
	assert_int_equal(p->tx_unanswered_ns, 0);
}

/*
 * Workers confirm and use the sessions that the control thread installs, expires
 * and removes, with peers coming and going: nobody sees freed memory (ASan,
 * TSan), each session is confirmed once at most.
 */
#define RACE_PEERS 8
static _Atomic uint32_t race_index[RACE_PEERS];
static _Atomic uint64_t confirmed;

static void *race_worker(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;

	rcu_enter(id);
	for (unsigned n = 0; !atomic_load_explicit(&rcu_stop, memory_order_relaxed); n++) {
		struct session *s =
			session_find(sessions, atomic_load(&race_index[n % RACE_PEERS]));
		struct peer *p = peer_get(peers, 1 + n % RACE_PEERS);
		uint64_t first;

		if (s && peer_promote(s->peer, s))
			atomic_fetch_add(&confirmed, 1);
		s = p ? peer_tx_session(p) : NULL;
		if (s) {
			BUG_ON(s->peer != p || !session_is_confirmed(s));
			BUG_ON(s->send_key[0] != (uint8_t)s->local_index);
			BUG_ON(!session_reserve(s, 1, true, &first));
			peer_note_tx(p, n + 1, 1, 100, true);
		}
		if (n % 4 == 0)
			rte_rcu_qsbr_quiescent(rcu, id);
	}
	rcu_leave(id);
	return NULL;
}

static uint64_t installed;

static void race_writer(void)
{
	struct dpapi_path path = {.kind = DPAPI_PATH_UDP};

	for (uint32_t i = 1; i <= 30000; i++) {
		uint32_t peer = 1 + i % RACE_PEERS, index = 64 * i + peer;
		uint32_t old = race_index[peer - 1];

		if (i % 97 == 0)
			peer_del(peers, peer);
		BUG_ON(add_peer(peer));
		path.remote.port = (uint16_t)i;
		BUG_ON(peer_path_set(peers, peer, &path));
		peer_session_remove(peers, old);
		BUG_ON(install(peer, index, i, 0));
		installed++;
		atomic_store(&race_index[peer - 1], index);
		retire_poll();
	}
}

static void test_race(void **state)
{
	rcu_setup();
	rcu_run(race_worker, race_writer);
	assert_true(confirmed > 0 && confirmed <= installed);
	peer_table_free(peers);
	rcu_teardown();
	peers = peer_table_new(sessions);
	assert_int_equal(sessions->count, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_upsert), TEST(test_many),   TEST(test_path),	   TEST(test_sessions),
		TEST(test_expire), TEST(test_growth), TEST(test_counters), TEST(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
