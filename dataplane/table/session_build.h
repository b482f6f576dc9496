/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport sessions, write side. Control thread only. api/ installs and removes
 * sessions through peer_build.h (peer_session_install, peer_session_remove),
 * which keeps the peer's list and the table together; what stands here is for it
 * and for the table's life.
 */
#ifndef DATAPLANE_TABLE_SESSION_BUILD_H
#define DATAPLANE_TABLE_SESSION_BUILD_H

#include "dataplane/table/session.h"

#define SESSION_SLOTS_DEFAULT 1024u
#define SESSION_SLOTS_MAX     (1u << 24)

/* slots: a power of two up to SESSION_SLOTS_MAX. NULL: no memory, or not that. */
struct session_table *session_table_new(uint32_t slots);
/* All sessions must have been removed. After quiescence. NULL: nothing. */
void session_table_free(struct session_table *t);
uint32_t session_table_slots(const struct session_table *t);
/* Doubles the slots. 0, -ENOMEM, -ENOSPC. */
int session_table_grow(struct session_table *t);

/* A session out of the message, not yet in the table. NULL: no memory. */
struct session *session_new(const struct dpapi_session_set *msg, struct peer *peer);
/* Wipes and frees at once; for retire, or a session that was never published. */
void session_destroy(void *session);
/* Same indices, keys, times and peer as the message says: an upsert that changes nothing. */
bool session_is_same(const struct session *s, const struct dpapi_session_set *msg);

/* -EEXIST: the slot holds a session. The table grows when it is half full. */
int session_table_set(struct session_table *t, struct session *s);
/* Unlinks; freeing is the caller's. 0 or -ENOENT. */
int session_table_del(struct session_table *t, struct session *s);
/* Calls fn for each; fn may remove the session it is given. */
void session_walk(struct session_table *t, void (*fn)(struct session *s, void *arg), void *arg);

#endif
