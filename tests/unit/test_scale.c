/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 20,000 peers take the memory that they may and no more, each is found again with
 * its session, and looking up a batch in a large FIB gives what single look-ups give.
 */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/table/fib_build.h"
#include "dataplane/table/fib_store.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "tests/unit/table_rcu.h"

#define PEERS 20000u
/* Of the pages that begin a slab, and of tables that double: some may be half empty. */
#define SLACK 128.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

static struct session_table *sessions;
static struct peer_table *peers;

static double resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void install(uint32_t id, uint32_t index, bool is_live)
{
	struct dpapi_session_set s = {
		.peer_id = id,
		.local_index = index,
		.flags = DPAPI_SESSION_CONFIRMED,
		.born_ns = index,
		.expire_ns = UINT64_MAX,
	};

	memset(s.send_key, 1, sizeof(s.send_key));
	assert_int_equal(peer_session_install(peers, &s), 0);
	if (is_live)
		assert_int_equal(replay_check(&session_find(sessions, index)->replay, index),
				 REPLAY_OK);
}

static void add_peer(uint32_t id)
{
	struct dpapi_peer_set m = {.id = id, .mtu = 1420};
	struct dpapi_path path = {.kind = DPAPI_PATH_UDP, .remote = {.port = 1}};

	memcpy(m.public_key, &id, sizeof(id));
	assert_int_equal(peer_set(peers, &m), 0);
	assert_int_equal(peer_path_set(peers, id, &path), 0);
}

static void test_memory(void **state)
{
	double before, first, idle, live;

	retire_init(NULL);
	sessions = session_table_new(2 * 65536);
	peers = peer_table_new(sessions);
	before = resident();
	for (uint32_t id = 1; id <= PEERS; id++) {
		add_peer(id);
		install(id, id, true);
	}
	first = resident();
	for (uint32_t id = 1; id <= PEERS; id++)
		install(id, PEERS + id, false);
	idle = resident();
	for (uint32_t id = 1; id <= PEERS; id++)
		install(id, 2 * PEERS + id, true);
	live = resident();
	for (uint32_t id = 1; id <= PEERS; id++) {
		struct peer *p = peer_get(peers, id);

		if (!p)
			abort();
		assert_int_equal(p->id, id);
		assert_int_equal(session_find(sessions, 2 * PEERS + id)->peer->id, id);
		assert_int_equal(peer_tx_session(p)->local_index, 2 * PEERS + id);
	}
	print_message("a peer %.0f, a session %.0f, one without packets %.0f bytes\n",
		      (first - before) / PEERS, (live - idle) / PEERS, (idle - first) / PEERS);
	if (!IS_SANITIZED) {
		assert_true((first - before) / PEERS <= 2048);
		assert_true((live - idle) / PEERS <= 1331 + SLACK);
		assert_true((idle - first) / PEERS <= 256 + SLACK);
	}
	peer_table_free(peers);
	assert_null(session_find(sessions, 1));
	session_table_free(sessions);
}

/* What one session takes by its structs, to the byte. */
static void test_structs(void **state)
{
	assert_true(sizeof(struct session) + sizeof(struct replay_window) <= 1331);
	assert_true(sizeof(struct peer) + sizeof(struct peer_path) + sizeof(struct session) +
			    sizeof(struct replay_window) <=
		    1800);
	assert_int_equal(sizeof(struct peer) % 64, 0);
}

static void test_many(void **state)
{
	static uint8_t route[PEERS][16];
	struct fib *f = fib_new();
	uint64_t seed = 12345;
	unsigned found = 0, missed = 0;

	assert_false(fib_is_large(f));
	for (unsigned i = 0; i < PEERS; i++) {
		uint64_t r = test_random(&seed);
		unsigned len =
			i % 2 ? 12 + (unsigned)(r >> 56) % 21 : 20 + (unsigned)(r >> 56) % 40;
		uint8_t addr[16] = {0};

		memcpy(addr, &r, 7);
		fib_prefix_mask(addr, len);
		if (i % 2)
			memset(addr + 4, 0, 12);
		memcpy(route[i], addr, sizeof(addr));
		assert_int_equal(fib_set(f, addr, i % 2 ? AF_INET : AF_INET6, len, 1 + i, 1), 0);
	}
	assert_true(fib_is_large(f));
	for (unsigned round = 0; round < 1000; round++) {
		uint8_t addr[FIB_MANY_MAX][16];
		struct fib_query q[FIB_MANY_MAX];
		uint32_t one[FIB_MANY_MAX];
		unsigned n;

		for (unsigned i = 0; i < FIB_MANY_MAX; i++) {
			uint64_t r = test_random(&seed), s = test_random(&seed);

			memcpy(addr[i], &r, 8);
			memcpy(addr[i] + 8, &s, 8);
			q[i] = (struct fib_query){.addr = addr[i], .is_v6 = i % 3 == 0};
			/* Every other one is near a route of its family. */
			if (i % 2)
				memcpy(addr[i], route[(s % (PEERS / 2)) * 2 + !q[i].is_v6],
				       q[i].is_v6 ? 7 : 3);
			one[i] = q[i].is_v6 ? fib_lookup6(f, addr[i]) : fib_lookup4(f, addr[i]);
		}
		n = round % (FIB_MANY_MAX + 1);
		fib_lookup_many(f, q, n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(q[i].entry, one[i]);
			found += one[i] != 0;
			missed += one[i] == 0;
		}
	}
	assert_true(found > 1000 && missed > 1000);
	fib_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_structs),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
