/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FIB answers as a naive table does, through random changes, at a hundred
 * thousand routes and for readers beside a writer; a million routes fit.
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/table/fib_build.h"
#include "lib/base/clock.h"
#include "tests/unit/table_rcu.h"

#define NAIVE_MAX 192

struct naive {
	uint8_t addr[16];
	unsigned len;
	uint32_t id;
};

static uint64_t seed = 88172645463325252ull;

static uint32_t below(uint32_t n)
{
	return (uint32_t)(test_random(&seed) >> 32) % n;
}

static void mask_host_bits(uint8_t *addr, unsigned len)
{
	for (unsigned i = 0; i < 128; i++) {
		if (i >= len)
			addr[i / 8] &= (uint8_t) ~(0x80 >> (i % 8));
	}
}

static bool covers(const uint8_t *prefix, unsigned len, const uint8_t *addr)
{
	unsigned bytes = len / 8;

	return memcmp(prefix, addr, bytes) == 0 &&
	       (len % 8 == 0 || ((prefix[bytes] ^ addr[bytes]) >> (8 - len % 8)) == 0);
}

/* Few values a byte, so that prefixes nest and share their beginnings. */
static void near_addr(uint8_t addr[16], unsigned bytes)
{
	static const uint8_t values[] = {0, 1, 2, 127, 128, 255};

	memset(addr, 0, 16);
	for (unsigned i = 0; i < bytes; i++)
		addr[i] = i < 2 || i % 3 == 0 ? values[below(6)] : values[below(2)];
}

static unsigned random_len(int family)
{
	static const uint8_t usual4[] = {0, 8, 15, 16, 17, 22, 23, 24, 24, 24, 25, 31, 32, 32};
	static const uint8_t usual6[] = {0, 16, 32, 40, 44, 48, 48, 56, 64, 64, 96, 127, 128, 128};

	if (below(3) == 0)
		return below(family == AF_INET ? 33 : 129);
	return family == AF_INET ? usual4[below(sizeof(usual4))] : usual6[below(sizeof(usual6))];
}

static uint32_t lookup(const struct fib *f, int family, const uint8_t *addr)
{
	return family == AF_INET ? fib_lookup4(f, addr) : fib_lookup6(f, addr);
}

static uint32_t naive_lookup(const struct naive *n, unsigned count, const uint8_t *addr)
{
	uint32_t entry = 0;
	int best = -1;

	for (unsigned i = 0; i < count; i++) {
		if ((int)n[i].len > best && covers(n[i].addr, n[i].len, addr)) {
			best = (int)n[i].len;
			entry = n[i].len << FIB_ID_BITS | n[i].id;
		}
	}
	return entry;
}

static void check_random(int family, unsigned rounds, unsigned lookups)
{
	static struct naive n[NAIVE_MAX];
	unsigned count = 0, bytes = family == AF_INET ? 4 : 16;
	struct fib *f = fib_new();

	assert_non_null(f);
	for (unsigned round = 0; round < rounds; round++) {
		/* The number of routes swings, so that all is taken apart again and again. */
		unsigned wanted = round / 400 % 2 ? NAIVE_MAX / 12 : NAIVE_MAX;
		struct naive p = {.len = random_len(family), .id = 1 + below(FIB_ID_MAX)};
		unsigned i, victim;

		near_addr(p.addr, bytes);
		mask_host_bits(p.addr, p.len);
		for (i = 0; i < count && (n[i].len != p.len || memcmp(n[i].addr, p.addr, 16)); i++)
			;
		if (i < count || (count < NAIVE_MAX && below(NAIVE_MAX) < wanted - count / 2)) {
			assert_int_equal(fib_set(f, p.addr, family, p.len, p.id, 1), 0);
			n[i] = p;
			if (i == count)
				count++;
		} else {
			assert_int_equal(fib_del(f, p.addr, family, p.len), -ENOENT);
		}
		if (count > wanted || (count && below(3) == 0)) {
			victim = below(count);
			assert_int_equal(fib_get(f, n[victim].addr, family, n[victim].len),
					 n[victim].id);
			assert_int_equal(fib_del(f, n[victim].addr, family, n[victim].len), 0);
			n[victim] = n[--count];
		}
		assert_int_equal(fib_count(f, family), count);
		for (unsigned k = 0; k < lookups; k++) {
			uint8_t addr[16];

			near_addr(addr, bytes);
			if (count && k % 2) { /* at the edges of a prefix */
				victim = below(count);
				memcpy(addr, n[victim].addr, 16);
				if (k % 4 == 1 && n[victim].len < bytes * 8) {
					unsigned bit =
						n[victim].len + below(bytes * 8 - n[victim].len);

					addr[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
				}
			}
			assert_int_equal(lookup(f, family, addr), naive_lookup(n, count, addr));
		}
	}
	while (count) {
		count--;
		assert_int_equal(fib_del(f, n[count].addr, family, n[count].len), 0);
	}
	for (unsigned k = 0; k < 1000; k++) {
		uint8_t addr[16];

		near_addr(addr, bytes);
		assert_int_equal(lookup(f, family, addr), 0);
	}
	fib_free(f);
}

static void test_random4(void **state)
{
	check_random(AF_INET, 20000, 50);
}

static void test_random6(void **state)
{
	check_random(AF_INET6, 20000, 50);
}

static void test_edges(void **state)
{
	struct fib *f = fib_new();
	uint8_t a[16] = {10, 1, 2, 3}, zero[16] = {0}, ones[16];

	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(fib_set(f, a, AF_INET, 24, 1, 1), -EINVAL); /* host bits */
	assert_int_equal(fib_set(f, a, AF_INET, 33, 1, 1), -EINVAL);
	assert_int_equal(fib_set(f, zero, AF_INET6, 129, 1, 1), -EINVAL);
	assert_int_equal(fib_set(f, a, AF_UNIX, 32, 1, 1), -EAFNOSUPPORT);
	assert_int_equal(fib_set(f, a, AF_INET, 32, 0, 1), -EINVAL);
	assert_int_equal(fib_set(f, a, AF_INET, 32, FIB_ID_MAX + 1, 1), -EINVAL);
	assert_int_equal(fib_lookup4(f, a), 0);

	assert_int_equal(fib_set(f, zero, AF_INET, 0, 7, 1), 0);
	assert_int_equal(fib_set(f, zero, AF_INET6, 0, FIB_ID_MAX, 1), 0);
	assert_int_equal(fib_set(f, ones, AF_INET6, 128, 9, 2), 0);
	assert_int_equal(fib_set(f, a, AF_INET, 32, 9, 2), 0);
	assert_int_equal(fib_entry_id(fib_lookup4(f, ones)), 7);
	assert_int_equal(fib_entry_len(fib_lookup4(f, ones)), 0);
	assert_int_equal(fib_entry_id(fib_lookup6(f, a)), FIB_ID_MAX);
	assert_int_equal(fib_entry_id(fib_lookup6(f, ones)), 9);
	assert_int_equal(fib_entry_len(fib_lookup6(f, ones)), 128);
	assert_int_equal(fib_entry_len(fib_lookup4(f, a)), 32);

	assert_int_equal(fib_count_id(f, 9), 2);
	assert_int_equal(fib_del_id(f, 9), 2);
	assert_int_equal(fib_del_id(f, 9), 0);
	assert_int_equal(fib_entry_id(fib_lookup6(f, ones)), FIB_ID_MAX);
	assert_int_equal(fib_set(f, zero, AF_INET, 0, 7, 3), 0);
	assert_int_equal(fib_sweep(f, 3), 1);
	assert_int_equal(fib_lookup6(f, ones), 0);
	assert_int_equal(fib_entry_id(fib_lookup4(f, ones)), 7);
	assert_int_equal(fib_count(f, AF_INET), 1);
	assert_int_equal(fib_count(f, AF_INET6), 0);
	fib_free(f);
	fib_free(NULL);
}

/* Each change has an epoch of its own; what changes no route has none. */
static void test_epoch(void **state)
{
	struct fib *f = fib_new();
	uint8_t a[16] = {10, 1, 2, 3};
	uint32_t epoch = fib_epoch(f);

	assert_int_not_equal(epoch, 0);
	assert_int_equal(fib_set(f, a, AF_INET, 32, 1, 1), 0);
	assert_int_equal(fib_epoch(f), ++epoch);
	assert_int_equal(fib_set(f, a, AF_INET, 32, 1, 2), 0);
	assert_int_equal(fib_epoch(f), epoch);
	assert_int_equal(fib_set(f, a, AF_INET, 32, 2, 2), 0);
	assert_int_equal(fib_epoch(f), ++epoch);
	assert_int_equal(fib_del(f, a, AF_INET, 32), 0);
	assert_int_equal(fib_epoch(f), ++epoch);
	assert_int_equal(fib_del(f, a, AF_INET, 32), -ENOENT);
	assert_int_equal(fib_set(f, a, AF_INET6, 128, 1, 1), 0);
	assert_int_equal(fib_epoch(f), ++epoch);
	assert_int_equal(fib_sweep(f, 2), 1);
	assert_int_equal(fib_epoch(f), ++epoch);
	fib_free(f);
}

/* A trie of single bits: slow, big, and too simple to be wrong. */
struct bit_node {
	uint32_t child[2];
	uint32_t id;
};

struct bit_trie {
	struct bit_node *node;
	uint32_t used, size;
};

static void bit_set(struct bit_trie *t, const uint8_t *addr, unsigned len, uint32_t id)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < len; i++) {
		unsigned bit = addr[i / 8] >> (7 - i % 8) & 1;

		if (!t->node[at].child[bit]) {
			assert_true(t->used < t->size);
			t->node[at].child[bit] = t->used++;
		}
		at = t->node[at].child[bit];
	}
	t->node[at].id = id;
}

static uint32_t bit_lookup(const struct bit_trie *t, const uint8_t *addr, unsigned bits)
{
	uint32_t at = 0, best = 0;

	for (unsigned i = 0;; i++) {
		if (t->node[at].id)
			best = i << FIB_ID_BITS | t->node[at].id;
		if (i == bits)
			return best;
		at = t->node[at].child[addr[i / 8] >> (7 - i % 8) & 1];
		if (!at)
			return best;
	}
}

/* Lengths as a full routing table has them: half of IPv4 is /24, half of IPv6 /48. */
static unsigned bgp_len(int family)
{
	unsigned x = below(100);

	if (family == AF_INET)
		return x < 58	? 24
		       : x < 90 ? 18 + below(6)
		       : x < 97 ? 12 + below(6)
				: 25 + below(8);
	return x < 48 ? 48 : x < 70 ? 32 + below(8) : x < 90 ? 40 + below(8) : 20 + below(45);
}

static void bgp_addr(uint8_t *addr, int family)
{
	uint64_t x = test_random(&seed), y = test_random(&seed);

	memset(addr, 0, 16);
	memcpy(addr, &x, family == AF_INET ? 4 : 8);
	if (family == AF_INET) {
		addr[0] = (uint8_t)(1 + addr[0] % 222);
	} else {
		memcpy(addr + 8, &y, 8);
		addr[0] = 0x20 + addr[0] % 16;
		addr[1] = addr[1] % 64;
		addr[2] = addr[2] % 16;
	}
}

static void check_scale(int family, unsigned routes, unsigned lookups)
{
	unsigned bits = family == AF_INET ? 32 : 128;
	struct bit_trie t = {.used = 1, .size = routes * (family == AF_INET ? 20 : 45)};
	struct naive *n = calloc(routes, sizeof(*n));
	struct fib *f = fib_new();

	t.node = calloc(t.size, sizeof(*t.node));
	assert_non_null(t.node);
	assert_non_null(n);
	for (unsigned i = 0; i < routes; i++) {
		n[i].len = bgp_len(family);
		n[i].id = 1 + below(4000);
		bgp_addr(n[i].addr, family);
		mask_host_bits(n[i].addr, n[i].len);
		bit_set(&t, n[i].addr, n[i].len, n[i].id);
		assert_int_equal(fib_set(f, n[i].addr, family, n[i].len, n[i].id, 0), 0);
	}
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < lookups / 2; i++) {
			uint8_t addr[16];
			unsigned k = below(routes), low;

			bgp_addr(addr, family);
			if (i % 4) { /* inside or just beside a route */
				memcpy(addr, n[k].addr, 16);
				low = n[k].len - below(2);
				for (unsigned bit = low; bit < bits; bit++)
					addr[bit / 8] ^= (uint8_t)(below(2) << (7 - bit % 8));
			}
			assert_int_equal(lookup(f, family, addr), bit_lookup(&t, addr, bits));
		}
		for (unsigned i = 0; pass == 0 && i < routes / 2; i++) {
			bit_set(&t, n[i].addr, n[i].len, 0);
			if (fib_get(f, n[i].addr, family, n[i].len))
				assert_int_equal(fib_del(f, n[i].addr, family, n[i].len), 0);
		}
	}
	fib_free(f);
	free(t.node);
	free(n);
}

static void test_scale4(void **state)
{
	check_scale(AF_INET, 200000, 1000000);
}

static void test_scale6(void **state)
{
	check_scale(AF_INET6, 100000, 1000000);
}

/* 900,000 IPv4 and 100,000 IPv6 routes: how much memory, and how fast they change. */
static void test_million(void **state)
{
	struct fib *f = fib_new();
	size_t bytes, routes;
	uint64_t began;
	double seconds;
	unsigned changes = 0;

	for (unsigned i = 0; i < 1100000; i++) {
		int family = i % 10 ? AF_INET : AF_INET6;
		unsigned len = bgp_len(family);
		uint8_t addr[16];

		bgp_addr(addr, family);
		mask_host_bits(addr, len);
		assert_int_equal(fib_set(f, addr, family, len, 1 + i % 5000, 0), 0);
	}
	routes = fib_count(f, AF_INET) + fib_count(f, AF_INET6);
	bytes = fib_bytes(f);
	assert_true(routes > 900000);
	assert_true(bytes / routes < 600);

	began = clock_now_ns();
	for (unsigned i = 0; i < 100000; i++) {
		int family = i % 10 ? AF_INET : AF_INET6;
		unsigned len = bgp_len(family);
		uint8_t addr[16];

		bgp_addr(addr, family);
		mask_host_bits(addr, len);
		if (fib_get(f, addr, family, len))
			continue;
		changes += 2;
		assert_int_equal(fib_set(f, addr, family, len, 1, 0), 0);
		assert_int_equal(fib_del(f, addr, family, len), 0);
	}
	seconds = (double)(clock_now_ns() - began) / 1e9;
	print_message("%zu routes, %zu bytes a route, %.0f changes/s\n", routes, bytes / routes,
		      changes / seconds);
	fib_free(f);

	/* Addresses with nothing in common: the worst for a trie of tables. */
	f = fib_new();
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t a[2] = {test_random(&seed), test_random(&seed)};

		((uint8_t *)a)[0] = 0xfd;
		assert_int_equal(fib_set(f, (uint8_t *)a, AF_INET6, 128, 1, 0), 0);
	}
	print_message("random /128: %zu bytes a route\n", fib_bytes(f) / 100000);
	assert_true(fib_bytes(f) / 100000 < 600);
	fib_free(f);
}

/*
 * Readers beside a writer. Ids say what they belong to: base 1; pinned /32 and
 * /128 routes 2, which never change though all around them does; the rest
 * 100 + length, so that an entry with an id of another length would show.
 */
static struct fib *shared;
#define PINNED 16

static void pinned_addr(uint8_t addr[16], unsigned i)
{
	memset(addr, 0, 16);
	addr[0] = 10;
	addr[1] = (uint8_t)(i % 2);
	addr[2] = (uint8_t)(i / 2 % 4);
	addr[3] = (uint8_t)(200 + i);
	addr[15] = (uint8_t)i;
}

static void *reader(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg, n = 0;
	uint64_t state = 77 + id;

	rcu_enter(id);
	while (!atomic_load_explicit(&rcu_stop, memory_order_relaxed)) {
		uint8_t addr[16];
		uint32_t e4, e6;

		pinned_addr(addr, n % PINNED);
		BUG_ON(fib_entry_id(fib_lookup4(shared, addr)) != 2);
		BUG_ON(fib_entry_id(fib_lookup6(shared, addr)) != 2);
		for (unsigned i = 1; i < 16; i++)
			addr[i] = (uint8_t)(test_random(&state) % 3);
		e4 = fib_lookup4(shared, addr);
		e6 = fib_lookup6(shared, addr);
		BUG_ON(fib_entry_id(e4) != 1 && fib_entry_id(e4) != 100 + fib_entry_len(e4));
		BUG_ON(fib_entry_id(e6) != 1 && fib_entry_id(e6) != 100 + fib_entry_len(e6));
		if (++n % 16 == 0)
			rte_rcu_qsbr_quiescent(rcu, id);
	}
	rcu_leave(id);
	return NULL;
}

static void change_shared(void)
{
	for (unsigned i = 0; i < 60000; i++) {
		int family = i % 2 ? AF_INET : AF_INET6;
		unsigned len = 9 + below(family == AF_INET ? 23 : 119);
		uint8_t addr[16] = {10};

		for (unsigned k = 1; k < 16; k++)
			addr[k] = (uint8_t)below(3);
		if (family == AF_INET)
			memset(addr + 4, 0, 12);
		mask_host_bits(addr, len);
		if (fib_get(shared, addr, family, len))
			BUG_ON(fib_del(shared, addr, family, len));
		else
			BUG_ON(fib_set(shared, addr, family, len, 100 + len, 0));
		if (i % 3000 == 2999)
			fib_sweep(shared, 1);
		if (i % 8 == 0)
			retire_poll();
	}
}

static void test_readers(void **state)
{
	uint8_t base[16] = {10}, addr[16];

	rcu_setup();
	shared = fib_new();
	assert_int_equal(fib_set(shared, base, AF_INET, 8, 1, 1), 0);
	assert_int_equal(fib_set(shared, base, AF_INET6, 8, 1, 1), 0);
	for (unsigned i = 0; i < PINNED; i++) {
		pinned_addr(addr, i);
		assert_int_equal(fib_set(shared, addr, AF_INET6, 128, 2, 1), 0);
		memset(addr + 4, 0, 12);
		assert_int_equal(fib_set(shared, addr, AF_INET, 32, 2, 1), 0);
	}
	rcu_run(reader, change_shared);
	fib_free(shared);
	rcu_teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_epoch),	cmocka_unit_test(test_edges),
		cmocka_unit_test(test_random4), cmocka_unit_test(test_random6),
		cmocka_unit_test(test_scale4),	cmocka_unit_test(test_scale6),
		cmocka_unit_test(test_million), cmocka_unit_test(test_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
