/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database must do for the store. All functions but `free` are called on the
 * store thread, one at a time, and may block. Uniqueness of names, addresses and node
 * keys, the uses of an auth key and the one primary of a prefix are decided by
 * constraints of the database: several coordinators may write at a time.
 */
#ifndef CONTROLPLANE_COORD_STORE_BACKEND_H
#define CONTROLPLANE_COORD_STORE_BACKEND_H

#include "controlplane/coord/store.h"

struct store_backend;

typedef void store_emit_fn(void *arg, const struct store_change *c);

struct store_backend_ops {
	/* Connects, brings the schema up to date. */
	int (*open)(struct store_backend *b);
	/* A transaction that writes. 0 or a negative errno. */
	int (*begin)(struct store_backend *b);
	/*
	 * Within it: does op with its audit line, or nothing of it; the result is op->result.
	 * BACKUP alone comes outside of a transaction.
	 */
	void (*run)(struct store_backend *b, struct store_op *op);
	/* On the disk when it returns 0; else nothing of the transaction is. */
	int (*commit)(struct store_backend *b);
	/* Whether something was committed, by anybody, since the last `changes`. Cheap. */
	bool (*has_news)(struct store_backend *b);
	/*
	 * All rows (is_first), or what changed after *number, in order; moves *number.
	 * -ESTALE: what changed after it is no longer known.
	 */
	int (*changes)(struct store_backend *b, uint64_t *number, bool is_first,
		       store_emit_fn *emit, void *arg);
	/* Any thread, after the store thread has ended. */
	void (*free)(struct store_backend *b);
};

/* The first member of a backend's own struct. */
struct store_backend {
	const struct store_backend_ops *ops;
};

#endif
