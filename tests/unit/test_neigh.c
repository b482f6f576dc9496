/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Next hops: found by interface and address, resolved by what the kernel says,
 * kept while held, and safe to read while they come and go.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/neigh_build.h"
#include "tests/unit/table_rcu.h"

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t own_ip[16] = {10, 0, 0, 1};

static void ip_of(uint8_t ip[16], unsigned n)
{
	memset(ip, 0, 16);
	ip[0] = 10;
	ip[2] = (uint8_t)(n >> 8);
	ip[3] = (uint8_t)n;
}

static void test_life(void **state)
{
	struct neigh_table *t = neigh_table_new(4);
	uint8_t mac[6] = {2, 9, 8, 7, 6, 5}, got[6], ip[16], other[16];
	const struct neigh_source *src = NULL;
	int id;

	assert_null(neigh_table_new(0));
	assert_null(neigh_table_new(NEIGH_CAPACITY_MAX + 1));
	ip_of(ip, 2);
	ip_of(other, 3);
	assert_int_equal(neigh_set(t, 0, 0, AF_UNIX, ip, mac), -EINVAL);
	assert_int_equal(neigh_set(t, 255, 0, AF_INET, ip, mac), -EINVAL);
	assert_int_equal(neigh_set(t, 0, 255, AF_INET, ip, mac), -EINVAL);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, ip), 0);

	id = neigh_set(t, 0, 1, AF_INET, ip, mac);
	assert_true(id > 0);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, ip), id);
	assert_int_equal(neigh_find(t, 0, 2, AF_INET, ip), 0);
	assert_int_equal(neigh_find(t, 1, 1, AF_INET, ip), 0);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET6, ip), 0);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, other), 0);
	/* No source yet: cannot be used. */
	assert_false(neigh_resolve(neigh_get(t, (uint16_t)id), 5 * NS_PER_SEC, got, &src));
	assert_int_equal(neigh_source_set(t, 0, 1, AF_INET, own_mac, own_ip), 0);
	assert_true(neigh_resolve(neigh_get(t, (uint16_t)id), 5 * NS_PER_SEC, got, &src));
	assert_memory_equal(got, mac, 6);
	assert_memory_equal(src->mac, own_mac, 6);
	assert_memory_equal(src->addr, own_ip, 4);
	assert_int_equal(neigh_get(t, (uint16_t)id)->used_ns, 5 * NS_PER_SEC);
	/* Failed, back, interface gone, back. */
	assert_int_equal(neigh_set(t, 0, 1, AF_INET, ip, NULL), id);
	assert_false(neigh_resolve(neigh_get(t, (uint16_t)id), 1, got, &src));
	assert_int_equal(neigh_set(t, 0, 1, AF_INET, ip, mac), id);
	assert_int_equal(neigh_source_set(t, 0, 1, AF_INET, NULL, NULL), 0);
	assert_false(neigh_resolve(neigh_get(t, (uint16_t)id), 1, got, &src));
	assert_int_equal(neigh_source_set(t, 0, 1, AF_INET, own_mac, NULL), 0);
	assert_true(neigh_resolve(neigh_get(t, (uint16_t)id), 1, got, &src));
	assert_false(src->has_addr);

	/* Held by a route: the number stays though the kernel has lost it. */
	assert_int_equal(neigh_hold(t, 0, 1, AF_INET, ip), id);
	assert_int_equal(neigh_del(t, 0, 1, AF_INET, ip), 0);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, ip), id);
	assert_false(neigh_resolve(neigh_get(t, (uint16_t)id), 1, got, &src));
	neigh_put(t, (uint16_t)id);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, ip), 0);
	assert_int_equal(neigh_count(t), 0);
	assert_int_equal(neigh_del(t, 0, 1, AF_INET, ip), -ENOENT);
	neigh_put(t, (uint16_t)id);
	neigh_put(t, 0);

	for (unsigned i = 0; i < 4; i++) {
		ip_of(ip, i);
		assert_true(neigh_hold(t, 0, 0, AF_INET6, ip) > 0);
	}
	ip_of(ip, 9);
	assert_int_equal(neigh_set(t, 0, 0, AF_INET6, ip, mac), -ENOSPC);
	assert_int_equal(neigh_get(t, 0)->mac, 0);
	assert_ptr_equal(neigh_get(t, 5), neigh_get(t, 0));
	neigh_table_free(t);
}

static int count_hop(uint16_t id, const struct nexthop *n, void *arg)
{
	(*(unsigned *)arg)++;
	return 0;
}

/* What the kernel is not known to have any more is not sent to; gateways keep their number. */
static void test_forget(void **state)
{
	struct neigh_table *t = neigh_table_new(4);
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};
	uint8_t a[4] = {10, 0, 0, 1}, b[4] = {10, 0, 0, 2};
	int held = neigh_hold(t, 0, 1, AF_INET, a);

	assert_int_equal(neigh_set(t, 0, 1, AF_INET, a, mac), held);
	assert_true(neigh_set(t, 0, 1, AF_INET, b, mac) > 0);
	neigh_forget(t);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, a), held);
	assert_int_equal(atomic_load(&neigh_get(t, (uint16_t)held)->mac), 0);
	assert_int_equal(neigh_find(t, 0, 1, AF_INET, b), 0);
	assert_int_equal(neigh_count(t), 1);
	neigh_forget(t);
	neigh_put(t, (uint16_t)held);
	assert_int_equal(neigh_count(t), 0);
	neigh_table_free(t);
}

static void test_random_hops(void **state)
{
	struct neigh_table *t = neigh_table_new(1000);
	static uint8_t has[2000];
	unsigned count = 0, seen = 0;
	uint64_t seed = 17;

	for (unsigned i = 0; i < 100000; i++) {
		unsigned n = test_random(&seed) % 2000;
		uint8_t ip[16], mac[6] = {2, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n};

		ip_of(ip, n);
		if (has[n]) {
			assert_int_equal(neigh_get(t, neigh_find(t, 0, 0, AF_INET, ip))->ip[3],
					 (uint8_t)n);
			assert_int_equal(neigh_del(t, 0, 0, AF_INET, ip), 0);
			has[n] = 0;
			count--;
		} else if (count < 1000) {
			assert_int_equal(neigh_find(t, 0, 0, AF_INET, ip), 0);
			assert_true(neigh_set(t, 0, 0, AF_INET, ip, mac) > 0);
			has[n] = 1;
			count++;
		} else {
			assert_int_equal(neigh_set(t, 0, 0, AF_INET, ip, mac), -ENOSPC);
		}
		assert_int_equal(neigh_count(t), count);
	}
	neigh_walk(t, count_hop, &seen);
	assert_int_equal(seen, count);
	neigh_table_free(t);
}

/* A MAC is made from its address, so a reader sees whether they belong together. */
static struct neigh_table *shared;

static void *reader(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;
	uint64_t seed = id + 5;

	rcu_enter(id);
	while (!atomic_load_explicit(&rcu_stop, memory_order_relaxed)) {
		unsigned n = test_random(&seed) % 64;
		const struct neigh_source *src;
		uint8_t ip[16], mac[6];
		uint16_t found;

		ip_of(ip, n);
		found = neigh_find(shared, 0, 0, AF_INET, ip);
		if (found && neigh_resolve(neigh_get(shared, found), NS_PER_SEC * 3, mac, &src))
			BUG_ON(mac[5] != n || src->mac[0] != 2);
		rte_rcu_qsbr_quiescent(rcu, id);
	}
	rcu_leave(id);
	return NULL;
}

static void change(void)
{
	uint64_t seed = 3;

	for (unsigned i = 0; i < 60000; i++) {
		unsigned n = test_random(&seed) % 64;
		uint8_t ip[16], mac[6] = {2, (uint8_t)i, 0, 0, 0, (uint8_t)n};

		ip_of(ip, n);
		if (test_random(&seed) & 1)
			neigh_set(shared, 0, 0, AF_INET, ip, mac);
		else
			neigh_del(shared, 0, 0, AF_INET, ip);
		if (i % 64 == 0) {
			uint8_t own[6] = {2, (uint8_t)(i / 64)};

			BUG_ON(neigh_source_set(shared, 0, 0, AF_INET, own, own_ip));
		}
		retire_poll();
	}
}

static void test_readers(void **state)
{
	rcu_setup();
	shared = neigh_table_new(48);
	rcu_run(reader, change);
	rcu_teardown();
	neigh_table_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_random_hops),
		cmocka_unit_test(test_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
