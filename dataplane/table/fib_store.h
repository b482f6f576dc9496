/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prefixes of a FIB as they were set, for the write side: exact look-up, and
 * the longest one that covers another. Open addressing; one probe a length in
 * use finds the cover. Inside of fib.c; control thread.
 */
#ifndef DATAPLANE_TABLE_FIB_STORE_H
#define DATAPLANE_TABLE_FIB_STORE_H

#include <stddef.h>
#include <stdint.h>

struct fib_prefix {
	uint8_t addr[16]; /* bits behind len are zero */
	uint32_t id;
	uint32_t generation;
	uint8_t len;
	uint8_t family; /* 0 = free place */
};

struct fib_store {
	struct fib_prefix *place;
	size_t size; /* power of two */
	size_t count;
	uint64_t seed;
	uint32_t len_count4[33];
	uint32_t len_count6[129];
	size_t count4;
	uint32_t *id_count; /* routes of each id */
	uint32_t id_size;
};

int fib_store_init(struct fib_store *s);
void fib_store_fini(struct fib_store *s);
/* Room for one more prefix and for this id. 0 or -ENOMEM. */
int fib_store_reserve(struct fib_store *s, uint32_t id);
/* The prefix with the key's family, addr and len, or NULL. */
struct fib_prefix *fib_store_find(const struct fib_store *s, const struct fib_prefix *key);
/* Its longest strictly covering prefix, or NULL. */
const struct fib_prefix *fib_store_cover(const struct fib_store *s, const struct fib_prefix *key);
/* Must not be there; room was reserved. */
void fib_store_add(struct fib_store *s, const struct fib_prefix *p);
void fib_store_set_id(struct fib_store *s, struct fib_prefix *p, uint32_t id);
/* Others move into its place, from behind only: a loop looks at the place again. */
void fib_store_del(struct fib_store *s, struct fib_prefix *p);
uint32_t fib_store_count_id(const struct fib_store *s, uint32_t id);

/* Clears the bits behind len. */
void fib_prefix_mask(uint8_t addr[16], unsigned len);

#endif
