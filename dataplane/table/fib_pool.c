/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/table/fib_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "dataplane/table/retire.h"
#include "lib/base/bug.h"

#define PAGE_TABLES (1u << FIB_PAGE_TABLE_SHIFT)
#define PAGE_CHAINS (1u << FIB_PAGE_CHAIN_SHIFT)
#define PAGE_BYTES  (2u << 20)
#define NO_FREE	    UINT32_MAX /* only read when free_count is 0 */

static_assert(PAGE_TABLES * sizeof(struct fib_table) == PAGE_BYTES, "a huge page of tables");
static_assert(PAGE_CHAINS * sizeof(struct fib_chain) == PAGE_BYTES, "a huge page of chains");

/* Small FIBs pay for what they touch: their first page is none of the huge ones. */
static void *page_new(unsigned page)
{
	void *at = aligned_alloc(PAGE_BYTES, PAGE_BYTES);

	if (at && page > 0)
		madvise(at, PAGE_BYTES, MADV_HUGEPAGE);
	return at;
}

static int table_page_add(struct fib *f, unsigned page)
{
	struct fib_table *t = page_new(page);
	struct fib_table_info *info = calloc(PAGE_TABLES, sizeof(*info));

	if (!t || !info) {
		free(t);
		free(info);
		return -ENOMEM;
	}
	f->build->info[page] = info;
	/* Published to readers by the release store of the first entry that leads here. */
	atomic_store_explicit(&f->table_page[page], t, memory_order_relaxed);
	return 0;
}

static int chain_page_add(struct fib *f, unsigned page)
{
	struct fib_chain *c = page_new(page);

	if (!c)
		return -ENOMEM;
	atomic_store_explicit(&f->chain_page[page], c, memory_order_relaxed);
	return 0;
}

static bool pool_has(const struct fib_pool *p, unsigned n, unsigned shift)
{
	return p->free_count + ((uint64_t)p->pages << shift) - p->used >= n;
}

int fib_pool_reserve(struct fib *f, unsigned tables, unsigned chains)
{
	struct fib_pool *t = &f->build->tables, *c = &f->build->chains;

	while (!pool_has(t, tables, FIB_PAGE_TABLE_SHIFT)) {
		if (t->pages == FIB_PAGES || table_page_add(f, t->pages))
			return -ENOMEM;
		t->pages++;
	}
	while (!pool_has(c, chains, FIB_PAGE_CHAIN_SHIFT)) {
		if (c->pages == FIB_PAGES || chain_page_add(f, c->pages))
			return -ENOMEM;
		c->pages++;
	}
	if (!fib_is_large(f) && (t->used > FIB_LARGE || c->used > 16 * FIB_LARGE))
		atomic_store_explicit(&f->is_large, true, memory_order_relaxed);
	return 0;
}

uint32_t fib_pool_table(struct fib *f, uint32_t fill)
{
	struct fib_pool *p = &f->build->tables;
	struct fib_table *t;
	uint32_t i;

	if (p->free_count > 0) {
		i = p->free_head;
		t = fib_table_at(f, i);
		p->free_head = atomic_load_explicit(&t->entry[0], memory_order_relaxed);
		p->free_count--;
	} else {
		i = p->used++;
		t = fib_table_at(f, i);
	}
	for (unsigned k = 0; k < 256; k++)
		atomic_store_explicit(&t->entry[k], fill, memory_order_relaxed);
	*fib_pool_info(f, i) = (struct fib_table_info){0};
	return FIB_CHILD | i;
}

uint32_t fib_pool_chain(struct fib *f, const uint8_t addr[16], unsigned bits, uint32_t hit,
			uint32_t miss, uint8_t depth)
{
	struct fib_pool *p = &f->build->chains;
	uint8_t mask[16], value[16];
	struct fib_chain *c;
	uint32_t i;

	if (p->free_count > 0) {
		i = p->free_head;
		c = fib_chain_at(f, i);
		p->free_head = atomic_load_explicit(&c->hit, memory_order_relaxed);
		p->free_count--;
	} else {
		i = p->used++;
		c = fib_chain_at(f, i);
	}
	memset(mask, 0xff, sizeof(mask));
	fib_prefix_mask(mask, bits);
	memcpy(value, addr, sizeof(value));
	fib_prefix_mask(value, bits);
	memcpy(c->mask, mask, sizeof(mask));
	memcpy(c->value, value, sizeof(value));
	c->depth = depth;
	atomic_store_explicit(&c->hit, hit, memory_order_relaxed);
	atomic_store_explicit(&c->miss, miss, memory_order_relaxed);
	return FIB_CHILD | FIB_CHAIN | i;
}

static void pool_put_back(void *owner, uint32_t entry)
{
	struct fib *f = owner;
	bool is_chain = entry & FIB_CHAIN;
	struct fib_pool *p = is_chain ? &f->build->chains : &f->build->tables;
	_Atomic uint32_t *link =
		is_chain ? &fib_chain_at(f, entry)->hit : &fib_table_at(f, entry)->entry[0];

	atomic_store_explicit(link, p->free_count ? p->free_head : NO_FREE, memory_order_relaxed);
	p->free_head = entry & FIB_INDEX_MASK;
	p->free_count++;
}

void fib_pool_retire(struct fib *f, uint32_t entry)
{
	retire_index(f, entry, pool_put_back);
}

struct fib_table_info *fib_pool_info(const struct fib *f, uint32_t entry)
{
	uint32_t i = entry & FIB_INDEX_MASK;

	return &f->build->info[i >> FIB_PAGE_TABLE_SHIFT][i & (PAGE_TABLES - 1)];
}

size_t fib_pool_bytes(const struct fib *f)
{
	const struct fib_build *b = f->build;

	/* Of the pages only what was ever handed out has been touched. */
	return (size_t)b->tables.used * (sizeof(struct fib_table) + sizeof(struct fib_table_info)) +
	       (size_t)b->chains.used * sizeof(struct fib_chain);
}

void fib_pool_fini(struct fib *f)
{
	for (unsigned i = 0; i < FIB_PAGES; i++) {
		free(atomic_load_explicit(&f->table_page[i], memory_order_relaxed));
		free(atomic_load_explicit(&f->chain_page[i], memory_order_relaxed));
		free(f->build->info[i]);
	}
}
