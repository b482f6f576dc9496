/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Longest prefix match, write side. Control thread only (api/, netlink/).
 * A change touches the entries under its prefix and no others; tables that it
 * replaces go through retire().
 *
 * Addresses are in network order, 4 or 16 bytes by family; bits behind the
 * length must be zero (-EINVAL). generation belongs to the caller: fib_sweep
 * removes what no fib_set of that generation named.
 */
#ifndef DATAPLANE_TABLE_FIB_BUILD_H
#define DATAPLANE_TABLE_FIB_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/table/fib.h"

struct fib *fib_new(void);
/* After quiescence; the caller has unlinked it before. NULL: nothing. */
void fib_free(struct fib *f);

/* Adds or overwrites. id 1..FIB_ID_MAX. 0, -EINVAL, -EAFNOSUPPORT, -ENOMEM (unchanged). */
int fib_set(struct fib *f, const uint8_t *addr, int family, unsigned len, uint32_t id,
	    uint32_t generation);
/* 0, -ENOENT, -EINVAL, -EAFNOSUPPORT; -ENOMEM leaves the route in place. */
int fib_del(struct fib *f, const uint8_t *addr, int family, unsigned len);
/* The id of exactly this prefix, 0 = not there. */
uint32_t fib_get(const struct fib *f, const uint8_t *addr, int family, unsigned len);
/* Exactly this prefix is there and was named by a fib_set of this generation. */
bool fib_is_named(const struct fib *f, const uint8_t *addr, int family, unsigned len,
		  uint32_t generation);
/* Removes all routes with this id. Returns how many; at once when there are none. */
size_t fib_del_id(struct fib *f, uint32_t id);
size_t fib_sweep(struct fib *f, uint32_t generation);

size_t fib_count(const struct fib *f, int family);
size_t fib_count_id(const struct fib *f, uint32_t id);
/* Bytes that the FIB holds, roots and the store of the write side included. */
size_t fib_bytes(const struct fib *f);

struct fib_route {
	uint8_t addr[16];
	int family;
	unsigned len;
	uint32_t id;
	uint32_t generation;
};

/* In no order. Stops at the first non-zero return of fn and returns it. fn changes nothing. */
int fib_walk(const struct fib *f, int (*fn)(const struct fib_route *r, void *arg), void *arg);

#endif
