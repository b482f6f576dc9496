/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Longest prefix match for IPv4 and IPv6: read side. Any worker, under RCU.
 *
 * A multibit trie: a root of 16 bits, then tables of 8, leaves pushed down, so
 * that the first entry that is no child is the answer. A run of bytes in which
 * nothing branches is one *chain*: compare the address under a mask, go on at
 * `hit` or answer `miss`.
 *
 *      root (65,536)        table (256)
 *    +---------------+     +------------+
 *    | leaf          |  .->| leaf       |
 *    | child table --+-'   | chain -----+--> { value, mask, hit -> leaf or table,
 *    +---------------+     +------------+                 miss -> leaf }
 *
 * IPv4 takes 1 to 3 dependent loads (and one in the small page directory for each
 * child). Entries change one atomic store at a time: a look-up during a change
 * gives the old answer or the new one. fib_build.h is the write side.
 *
 *   entry   bit 31 = 1: child; bit 30: chain, else table; low 30 bits its number
 *           bit 31 = 0: prefix length << 23 | id; 0 = no route (ids begin at 1)
 */
#ifndef DATAPLANE_TABLE_FIB_H
#define DATAPLANE_TABLE_FIB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FIB_ID_BITS 23
#define FIB_ID_MAX  ((1u << FIB_ID_BITS) - 1)

#define FIB_CHILD      (1u << 31)
#define FIB_CHAIN      (1u << 30)
#define FIB_INDEX_MASK (FIB_CHAIN - 1)

#define FIB_ROOT_ENTRIES     65536
#define FIB_PAGE_TABLE_SHIFT 11 /* tables a page: 2 MiB, a huge one where there are such */
#define FIB_PAGE_CHAIN_SHIFT 15 /* chains a page: 2 MiB */
#define FIB_PAGES	     4096
#define FIB_LARGE	     256 /* tables, or sixteen times as many chains */

struct fib_table {
	_Atomic uint32_t entry[256];
};

struct fib_chain {
	uint64_t value[2]; /* address bytes in network order, as they lie in memory */
	uint64_t mask[2];
	_Atomic uint32_t hit;
	_Atomic uint32_t miss;
	uint8_t depth; /* bytes that are behind us when hit is a table */
} __attribute__((aligned(64)));

struct fib_build;

struct fib {
	_Atomic uint32_t *root4;
	_Atomic uint32_t *root6;
	struct fib_build *build; /* control thread */
	_Atomic uint32_t epoch;	 /* another one after each change of a route, never 0 */
	_Atomic bool is_large;	 /* more than caches hold: worth fib_lookup_many */
	_Atomic(struct fib_table *) table_page[FIB_PAGES];
	_Atomic(struct fib_chain *) chain_page[FIB_PAGES];
};

static inline uint32_t fib_entry_id(uint32_t entry)
{
	return entry & FIB_ID_MAX;
}

/* Length of the prefix that matched; 0 for "no route" as well. */
static inline unsigned fib_entry_len(uint32_t entry)
{
	return entry >> FIB_ID_BITS;
}

static inline struct fib_table *fib_table_at(const struct fib *f, uint32_t entry)
{
	uint32_t i = entry & FIB_INDEX_MASK;
	struct fib_table *page = atomic_load_explicit(&f->table_page[i >> FIB_PAGE_TABLE_SHIFT],
						      memory_order_relaxed);

	return &page[i & ((1u << FIB_PAGE_TABLE_SHIFT) - 1)];
}

static inline struct fib_chain *fib_chain_at(const struct fib *f, uint32_t entry)
{
	uint32_t i = entry & FIB_INDEX_MASK;
	struct fib_chain *page = atomic_load_explicit(&f->chain_page[i >> FIB_PAGE_CHAIN_SHIFT],
						      memory_order_relaxed);

	return &page[i & ((1u << FIB_PAGE_CHAIN_SHIFT) - 1)];
}

/*
 * What is left of a look-up behind the root. a0 and a1 are the address as it
 * lies in memory. The acquire loads pair with the release stores that publish a
 * child (fib.c): the child's contents, and its page, are seen.
 */
static inline uint32_t fib_descend(const struct fib *f, uint32_t entry, const uint8_t *addr,
				   uint64_t a0, uint64_t a1)
{
	unsigned depth = 2;

	while (entry & FIB_CHILD) {
		if (entry & FIB_CHAIN) {
			const struct fib_chain *c = fib_chain_at(f, entry);

			if ((((a0 ^ c->value[0]) & c->mask[0]) |
			     ((a1 ^ c->value[1]) & c->mask[1])) != 0)
				return atomic_load_explicit(&c->miss, memory_order_relaxed);
			depth = c->depth;
			entry = atomic_load_explicit(&c->hit, memory_order_acquire);
		} else {
			struct fib_table *t = fib_table_at(f, entry);

			entry = atomic_load_explicit(&t->entry[addr[depth++]],
						     memory_order_acquire);
		}
	}
	return entry;
}

static inline _Atomic uint32_t *fib_root_slot(_Atomic uint32_t *root, const uint8_t *addr)
{
	return &root[(unsigned)addr[0] << 8 | addr[1]];
}

/* The entry of the longest prefix that holds addr; 0 = none. */
static inline uint32_t fib_lookup4(const struct fib *f, const uint8_t addr[4])
{
	uint32_t entry = atomic_load_explicit(fib_root_slot(f->root4, addr), memory_order_acquire);
	uint32_t a;

	if (!(entry & FIB_CHILD))
		return entry;
	memcpy(&a, addr, 4);
	return fib_descend(f, entry, addr, a, 0);
}

static inline uint32_t fib_lookup6(const struct fib *f, const uint8_t addr[16])
{
	uint32_t entry = atomic_load_explicit(fib_root_slot(f->root6, addr), memory_order_acquire);
	uint64_t a[2];

	if (!(entry & FIB_CHILD))
		return entry;
	memcpy(a, addr, 16);
	return fib_descend(f, entry, addr, a[0], a[1]);
}

/*
 * What a look-up says stays true while the epoch that was read before it does. (After 2^32
 * changes it comes round; what was noted of it was not looked at in all that time.)
 */
static inline uint32_t fib_epoch(const struct fib *f)
{
	return atomic_load_explicit(&f->epoch, memory_order_acquire);
}

#define FIB_MANY_MAX 64

/* An address, and what a look-up says of it. */
struct fib_query {
	const uint8_t *addr;
	uint32_t entry;
	bool is_v6;
};

static inline bool fib_is_large(const struct fib *f)
{
	return atomic_load_explicit(&f->is_large, memory_order_relaxed);
}

/*
 * Looks up n addresses (up to FIB_MANY_MAX). All take one step down before the first one
 * takes the next, so that their misses are under way at the same time.
 */
void fib_lookup_many(const struct fib *f, struct fib_query *q, unsigned n);

#endif
