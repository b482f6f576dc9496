/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers and their sessions, write side. Control thread only (api/).
 *
 * A session leaves in two grace periods: a worker may be inside peer_promote
 * when it is unlinked, and put it back as `tx` for a moment (peer.c).
 */
#ifndef DATAPLANE_TABLE_PEER_BUILD_H
#define DATAPLANE_TABLE_PEER_BUILD_H

#include "dataplane/table/peer.h"
#include "dataplane/table/session_build.h"

/* The sessions of its peers live in `sessions`, which must outlive the table. */
struct peer_table *peer_table_new(struct session_table *sessions);
/* Removes all peers first. After quiescence. NULL: nothing. */
void peer_table_free(struct peer_table *t);

/*
 * Makes or changes a peer. 0, -EINVAL (id), -EEXIST (the id has another key, or
 * the key another id), -ENOMEM.
 */
int peer_set(struct peer_table *t, const struct dpapi_peer_set *msg);
/* Removes it with its sessions. Routes are the caller's (fib_del_id). 0 or -ENOENT. */
int peer_del(struct peer_table *t, uint32_t id);
struct peer *peer_by_key(const struct peer_table *t, const uint8_t key[DPAPI_KEY_BYTES]);
/* 0, -ENOENT, -EINVAL (path), -ENOMEM. An equal path changes nothing; kind NONE removes it. */
int peer_path_set(struct peer_table *t, uint32_t id, const struct dpapi_path *path);

/*
 * 0 (also for the same session again), -ENOENT (peer), -EEXIST (the index's slot
 * is taken), -ENOSPC (PEER_SESSIONS_MAX), -EINVAL (index 0), -ENOMEM.
 */
int peer_session_install(struct peer_table *t, const struct dpapi_session_set *msg);
/* 0 or -ENOENT. The newest confirmed session that is left becomes tx. */
int peer_session_remove(struct peer_table *t, uint32_t local_index);
/* Data may go in a lane. 0, -ENOENT (peer or session), -EINVAL (lane), -ENOMEM. */
int peer_lane_set(struct peer_table *t, const struct dpapi_lane_set *msg, uint64_t now_ns);
/* Removes its sessions with expire_ns <= now; tells of each first. Returns how many. */
size_t peer_sessions_expire(struct peer_table *t, struct peer *p, uint64_t now_ns,
			    void (*fn)(const struct session *s, void *arg), void *arg);

size_t peer_count(const struct peer_table *t);
/* One more than the highest id that there is room for. */
uint32_t peer_id_end(const struct peer_table *t);
/* By rising id; fn may remove the peer it is given. Non-zero stops and is returned. */
int peer_walk(struct peer_table *t, int (*fn)(struct peer *p, void *arg), void *arg);
/* Removes the peers of other generations; tells of each first (its routes). Returns how many. */
size_t peer_sweep(struct peer_table *t, uint32_t generation, void (*fn)(struct peer *p, void *arg),
		  void *arg);

#endif
