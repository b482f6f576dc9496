/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coordinator's store: everything that must outlive the process. One interface
 * over any backend (store_backend.h), asynchronous for the loop's thread:
 *
 *   store_submit(op) ──> queue ──> store thread: begin, op, op, ..., commit
 *   done(op)         <── loop  <── results, after the changes that the commit made
 *
 * What waits in the queue when the thread looks goes into one transaction (group
 * commit): one write to the disk for many operations. An operation that fails is
 * taken back alone. `done` says 0 only when the commit is on the disk.
 *
 * The change feed: each change of a row gets a number in the transaction that makes
 * it, and is delivered on the loop's thread in the order of the numbers, with the
 * row as it is when it is read: perhaps already newer. Also what another process
 * committed to the same database, within 100 ms. At start every row comes once, then
 * `on_ready`. By the time that `done` is called, the changes of its operation have
 * been delivered.
 */
#ifndef CONTROLPLANE_COORD_STORE_H
#define CONTROLPLANE_COORD_STORE_H

#include <uv.h>

#include "controlplane/coord/store_row.h"

enum store_op_kind {
	/*                      reads                                     writes
	 * USER_CREATE          name                                      id
	 * USER_RENAME          id, name
	 * USER_DELETE          id              (-EBUSY: it has nodes)
	 * KEY_CREATE           id = user, hash, tags, expiry_ns,         id
	 *                      is_reusable, is_ephemeral
	 * KEY_EXPIRE           id, now_ns
	 * KEY_DELETE           id
	 * LOGIN_CREATE         name = token, machine, node_key           id
	 * LOGIN_PRUNE          expiry_ns: those made before it
	 * NODE_REGISTER        by hash (an auth key), or by name (a      id
	 *                      login's token) with user = its name;
	 *                      machine, node_key, host, hostinfo, routes,
	 *                      tags, expiry_ns, version, is_ephemeral;
	 *                      text = tags asked for (-EPERM: not the key's);
	 *                      owners: users whose keys without
	 *                      tags may give them;
	 *                      -ENOKEY, -EKEYEXPIRED, -EKEYREVOKED (used),
	 *                      -EADDRINUSE (the node key is another
	 *                      machine's), -ENOSPC (no address left)
	 * NODE_UPDATE          id, node_key (must be its), hostinfo,
	 *                      endpoints, routes, disco, home, version
	 * NODE_EXPIRE          id, expiry_ns
	 * NODE_RENAME          id, name        (-EEXIST)
	 * NODE_TAG             id, tags
	 * NODE_SEEN            id, now_ns
	 * NODE_DELETE          id
	 * ROUTE_APPROVE        id = node, text = prefix, is_approved     (the first to be
	 *                                                                approved is primary)
	 * ROUTE_PRIMARY        id = node, text = prefix: moves it there
	 * DOC_SET              id = enum store_doc_kind, text,           id = version
	 *                      is_new_only (-EEXIST: stored before)
	 * AUDIT_LIST           id = how many                             text: JSON, newest first
	 * BACKUP               name = file, which may not exist
	 */
	STORE_USER_CREATE,
	STORE_USER_RENAME,
	STORE_USER_DELETE,
	STORE_KEY_CREATE,
	STORE_KEY_EXPIRE,
	STORE_KEY_DELETE,
	STORE_LOGIN_CREATE,
	STORE_LOGIN_PRUNE,
	STORE_NODE_REGISTER,
	STORE_NODE_UPDATE,
	STORE_NODE_EXPIRE,
	STORE_NODE_RENAME,
	STORE_NODE_TAG,
	STORE_NODE_SEEN,
	STORE_NODE_DELETE,
	STORE_ROUTE_APPROVE,
	STORE_ROUTE_PRIMARY,
	STORE_DOC_SET,
	STORE_AUDIT_LIST,
	STORE_BACKUP,
	STORE_OP_KINDS,
};

/* Text members are malloc'd and the operation's; NULL = not given. */
struct store_op {
	enum store_op_kind kind;
	int64_t id;
	int64_t now_ns; /* always */
	int64_t expiry_ns;
	char *actor; /* who asks, for the audit: always */
	char *name, *user, *host, *text;
	char *tags, *hostinfo, *endpoints, *routes; /* JSON; routes: masked prefixes */
	char *owners;				    /* JSON: ids of users */
	uint8_t hash[STORE_HASH_BYTES];
	bool has_hash;
	struct key machine, node_key, disco, network_lock;
	int32_t home, version;
	bool is_reusable, is_ephemeral, is_approved, is_new_only;

	int result; /* 0 or a negative errno: -ENOENT, -EEXIST, or as above */
	void (*done)(void *arg, struct store_op *op);
	void *arg;
	struct store_op *next;
};

struct store_change {
	uint64_t number; /* 0: a row of the first picture */
	enum store_table table;
	int64_t id;
	void *row; /* the receiver's (store_row_free), NULL = gone */
};

struct store_events {
	void (*on_change)(void *arg, struct store_change *c);
	void (*on_ready)(void *arg);
	/* The store cannot go on (disk full, database gone); what waits ends with the error. */
	void (*on_failed)(void *arg, int err);
};

struct store_counts {
	uint64_t ops, commits, changes; /* since the start */
};

struct store;
struct store_backend;

/* Takes the backend, also when it fails (-ENOMEM, or of libuv). */
int store_open(uv_loop_t *loop, struct store_backend *backend, const struct store_events *ev,
	       void *arg, struct store **out);
/* What was submitted is still done and told; frees when the loop has closed its handle. */
void store_close(struct store *s);
void store_counts(const struct store *s, struct store_counts *out);

/* Zeroed, with the time and a copy of actor. NULL: no memory. */
struct store_op *store_op_new(enum store_op_kind kind, int64_t now_ns, const char *actor);
void store_op_free(struct store_op *op);
/* Takes op; `done` (NULL: nobody asks) is called on the loop's thread, then it is freed. */
void store_submit(struct store *s, struct store_op *op);

#endif
