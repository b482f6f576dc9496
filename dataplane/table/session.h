/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport sessions, read side: found by the receiver index of a packet.
 *
 * The table is indexed directly by the low bits of the index, which the
 * controller keeps unique; the whole index is compared behind the pointer.
 * Growth doubles the slots and publishes them by one pointer store (low bits
 * that are unique stay so when there are more of them).
 *
 * Beside each field: who writes it. c = control thread before it publishes,
 * w = workers, at any time, atomically. A session is freed, its keys wiped,
 * after quiescence (peer.c).
 */
#ifndef DATAPLANE_TABLE_SESSION_H
#define DATAPLANE_TABLE_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/table/replay.h"
#include "lib/dpapi/dpapi.h"
#include "lib/wire/wg.h"

struct peer;

enum session_flags {
	SESSION_INITIATOR = DPAPI_SESSION_INITIATOR,
	SESSION_CONFIRMED = DPAPI_SESSION_CONFIRMED, /* may send */
	SESSION_GONE = 1u << 31,		     /* unlinked, waits to be freed */
};

/*
 * Packed in slabs: no cache line begins with it. Opening needs the fields from recv_key on,
 * sealing those up to send_key, so that either touches two lines rather than four.
 */
struct session {
	uint64_t born_ns; /* c */
	/* w: when EVENT_REKEY was last raised, 0 = never */
	_Atomic uint64_t rekey_told_ns;
	uint8_t recv_key[DPAPI_KEY_BYTES];
	struct replay replay;	       /* w */
	uint64_t rekey_rx_ns;	       /* c: 0 = never */
	uint8_t lane;		       /* c */
	bool is_confirm_told;	       /* c: the controller knows that it is confirmed */
	_Atomic uint32_t flags;	       /* c, w: peer_promote */
	uint64_t expire_ns;	       /* c: neither sends nor receives from here on */
	struct peer *peer;	       /* c */
	uint32_t local_index;	       /* c */
	uint32_t remote_index;	       /* c */
	uint64_t rekey_tx_ns;	       /* c: 0 = never */
	_Atomic uint64_t send_counter; /* w: next to be used */
	uint8_t send_key[DPAPI_KEY_BYTES];
};

struct session_slots {
	uint32_t mask; /* slots - 1 */
	_Atomic(struct session *) slot[];
};

struct session_table {
	_Atomic(struct session_slots *) slots;
	uint32_t count; /* control thread */
};

static inline void session_prefetch_slot(const struct session_table *t, uint32_t index)
{
	const struct session_slots *s = atomic_load_explicit(&t->slots, memory_order_acquire);

	__builtin_prefetch(&s->slot[index & s->mask]);
}

/* More than the L2 cache holds, with what belongs to them: worth looking ahead. */
static inline bool session_table_is_large(const struct session_table *t)
{
	return atomic_load_explicit(&t->slots, memory_order_acquire)->mask >= 2048;
}

/* The session with this local index, or NULL. Valid until the worker is quiescent. */
static inline struct session *session_find(const struct session_table *t, uint32_t index)
{
	const struct session_slots *s = atomic_load_explicit(&t->slots, memory_order_acquire);
	struct session *found =
		atomic_load_explicit(&s->slot[index & s->mask], memory_order_acquire);

	return found && found->local_index == index ? found : NULL;
}

/* What opening needs of it, and what sealing does: in two lines, or three. */
static inline void session_prefetch_rx(const struct session *s)
{
	__builtin_prefetch(s->recv_key);
	__builtin_prefetch(&s->replay, 1);
	__builtin_prefetch(&s->local_index);
}

static inline void session_prefetch_tx(const struct session *s)
{
	__builtin_prefetch(&s->expire_ns);
	__builtin_prefetch(s->send_key + sizeof(s->send_key) - 1, 1);
}

/* What stands in the slot, whoever's it is; NULL = nothing. */
static inline struct session *session_in_slot(const struct session_table *t, uint32_t index)
{
	const struct session_slots *s = atomic_load_explicit(&t->slots, memory_order_acquire);

	return atomic_load_explicit(&s->slot[index & s->mask], memory_order_acquire);
}

/*
 * Takes n (1..64) counters: *first .. *first + n - 1 are the caller's alone.
 * is_shared: other workers may do the same. False: the session has used up its counters. Workers
 * that race past the check overshoot by a batch each, which the distance of
 * WG_REJECT_AFTER_MESSAGES from the end of the range absorbs: a counter never wraps.
 */
static inline bool session_reserve(struct session *s, unsigned n, bool is_shared, uint64_t *first)
{
	uint64_t next = atomic_load_explicit(&s->send_counter, memory_order_relaxed);

	if (next >= WG_REJECT_AFTER_MESSAGES - n)
		return false;
	if (!is_shared) {
		atomic_store_explicit(&s->send_counter, next + n, memory_order_relaxed);
		*first = next;
		return true;
	}
	*first = atomic_fetch_add_explicit(&s->send_counter, n, memory_order_relaxed);
	return *first < WG_REJECT_AFTER_MESSAGES - n;
}

static inline bool session_is_confirmed(const struct session *s)
{
	return atomic_load_explicit(&s->flags, memory_order_acquire) & SESSION_CONFIRMED;
}

/* Claims the right to raise EVENT_REKEY: true to one caller in interval_ns. */
static inline bool session_claim_rekey(struct session *s, uint64_t now_ns, uint64_t interval_ns)
{
	uint64_t told = atomic_load_explicit(&s->rekey_told_ns, memory_order_relaxed);

	/* Another worker's batch may be a little later than ours. */
	if (told && (int64_t)(now_ns - told) < (int64_t)interval_ns)
		return false;
	return atomic_compare_exchange_strong_explicit(&s->rekey_told_ns, &told, now_ns,
						       memory_order_relaxed, memory_order_relaxed);
}

#endif
