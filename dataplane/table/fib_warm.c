/* SPDX-License-Identifier: Apache-2.0 */
/* See fib.h. Any worker. */
#include "dataplane/table/fib.h"

/* Where a look-up has come to. */
struct fib_walker {
	uint64_t a[2];
	const uint8_t *addr;
	uint32_t entry;
	uint8_t depth;
};

static void prefetch_child(const struct fib *f, const struct fib_walker *w)
{
	if (w->entry & FIB_CHAIN)
		__builtin_prefetch(fib_chain_at(f, w->entry));
	else
		__builtin_prefetch(&fib_table_at(f, w->entry)->entry[w->addr[w->depth]]);
}

/* One child further. */
static void step(const struct fib *f, struct fib_walker *w)
{
	if (w->entry & FIB_CHAIN) {
		const struct fib_chain *c = fib_chain_at(f, w->entry);
		uint64_t differs = ((w->a[0] ^ c->value[0]) & c->mask[0]) |
				   ((w->a[1] ^ c->value[1]) & c->mask[1]);

		w->depth = c->depth;
		w->entry = differs ? 0 : atomic_load_explicit(&c->hit, memory_order_acquire);
	} else {
		w->entry =
			atomic_load_explicit(&fib_table_at(f, w->entry)->entry[w->addr[w->depth++]],
					     memory_order_acquire);
	}
}

void fib_warm(const struct fib *f, const struct fib_query *q, unsigned n)
{
	struct fib_walker walker[FIB_WARM_MAX];
	unsigned left = 0;

	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(fib_root_slot(q[i].is_v6 ? f->root6 : f->root4, q[i].addr));
	for (unsigned i = 0; i < n; i++) {
		struct fib_walker *w = &walker[left];

		w->entry = atomic_load_explicit(
			fib_root_slot(q[i].is_v6 ? f->root6 : f->root4, q[i].addr),
			memory_order_acquire);
		if (!(w->entry & FIB_CHILD))
			continue;
		w->addr = q[i].addr;
		w->a[0] = w->a[1] = 0;
		memcpy(w->a, q[i].addr, q[i].is_v6 ? 16 : 4);
		w->depth = 2;
		prefetch_child(f, w);
		left++;
	}
	while (left) {
		unsigned kept = 0;

		for (unsigned i = 0; i < left; i++) {
			struct fib_walker *w = &walker[i];

			step(f, w);
			if (!(w->entry & FIB_CHILD))
				continue;
			prefetch_child(f, w);
			walker[kept++] = *w;
		}
		left = kept;
	}
}
