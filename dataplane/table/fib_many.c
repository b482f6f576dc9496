/* SPDX-License-Identifier: Apache-2.0 */
/* See fib.h. Any worker. */
#include "dataplane/table/fib.h"

/* Where a look-up has come to. */
struct fib_walker {
	uint32_t entry; /* a child */
	uint8_t depth;
	uint8_t query;
};

static void prefetch_child(const struct fib *f, const struct fib_walker *w, const uint8_t *addr)
{
	if (w->entry & FIB_CHAIN)
		__builtin_prefetch(fib_chain_at(f, w->entry));
	else
		__builtin_prefetch(&fib_table_at(f, w->entry)->entry[addr[w->depth]]);
}

/* One child further, as fib_descend does it. */
static uint32_t step(const struct fib *f, struct fib_walker *w, const struct fib_query *q)
{
	const struct fib_chain *c;
	uint64_t a[2] = {0, 0};

	if (!(w->entry & FIB_CHAIN))
		return atomic_load_explicit(&fib_table_at(f, w->entry)->entry[q->addr[w->depth++]],
					    memory_order_acquire);
	c = fib_chain_at(f, w->entry);
	if (q->is_v6)
		memcpy(a, q->addr, 16);
	else
		memcpy(a, q->addr, 4);
	if (((a[0] ^ c->value[0]) & c->mask[0]) | ((a[1] ^ c->value[1]) & c->mask[1]))
		return atomic_load_explicit(&c->miss, memory_order_relaxed);
	w->depth = c->depth;
	return atomic_load_explicit(&c->hit, memory_order_acquire);
}

void fib_lookup_many(const struct fib *f, struct fib_query *q, unsigned n)
{
	struct fib_walker walker[FIB_MANY_MAX];
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(fib_root_slot(q[i].is_v6 ? f->root6 : f->root4, q[i].addr));
	for (unsigned i = 0; i < n; i++) {
		q[i].entry = atomic_load_explicit(
			fib_root_slot(q[i].is_v6 ? f->root6 : f->root4, q[i].addr),
			memory_order_acquire);
		if (!(q[i].entry & FIB_CHILD))
			continue;
		walker[left] =
			(struct fib_walker){.entry = q[i].entry, .depth = 2, .query = (uint8_t)i};
		prefetch_child(f, &walker[left++], q[i].addr);
	}
	while (left) {
		unsigned kept = 0;

		for (unsigned i = 0; i < left; i++) {
			struct fib_walker w = walker[i];
			struct fib_query *query = &q[w.query];

			w.entry = step(f, &w, query);
			query->entry = w.entry;
			if (!(w.entry & FIB_CHILD))
				continue;
			prefetch_child(f, &w, query->addr);
			walker[kept++] = w;
		}
		left = kept;
	}
}
