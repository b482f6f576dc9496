/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a FIB's tables and chains live: pages that are never moved or freed while
 * the FIB lives, so a reader's index is good until its quiescent state. Inside of
 * fib.c; control thread.
 */
#ifndef DATAPLANE_TABLE_FIB_POOL_H
#define DATAPLANE_TABLE_FIB_POOL_H

#include <stddef.h>

#include "dataplane/table/fib.h"
#include "dataplane/table/fib_store.h"

/* A table falls together into a chain when one thing is left in it. */
struct fib_table_info {
	uint16_t own;  /* prefixes that end in it */
	uint16_t kids; /* entries that are children */
};

struct fib_pool {
	uint32_t pages;
	uint32_t used; /* ever handed out: pages are filled from below */
	uint32_t free_head;
	uint32_t free_count;
};

struct fib_build {
	struct fib_store store;
	struct fib_pool tables;
	struct fib_pool chains;
	struct fib_table_info *info[FIB_PAGES]; /* beside table_page */
};

/* Makes sure that so many can be taken without failing. 0 or -ENOMEM. */
int fib_pool_reserve(struct fib *f, unsigned tables, unsigned chains);
/* Return an entry. All entries of the table are `fill`. */
uint32_t fib_pool_table(struct fib *f, uint32_t fill);
/* Matches the first `bits` of addr. depth is for a hit that is a table. */
uint32_t fib_pool_chain(struct fib *f, const uint8_t addr[16], unsigned bits, uint32_t hit,
			uint32_t miss, uint8_t depth);
/* Unlinked: comes back to the pool after quiescence. */
void fib_pool_retire(struct fib *f, uint32_t entry);
struct fib_table_info *fib_pool_info(const struct fib *f, uint32_t entry);
size_t fib_pool_bytes(const struct fib *f);
void fib_pool_fini(struct fib *f);

#endif
