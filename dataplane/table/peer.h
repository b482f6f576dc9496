/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers, read side: found by dense id. Any worker, under RCU.
 *
 * Who writes: c = control thread, w = workers. Times are CLOCK_BOOTTIME ns, 0 =
 * never. The activity fields are relaxed atomics: a lost update between two
 * workers moves a time by a batch, which no timer can notice.
 */
#ifndef DATAPLANE_TABLE_PEER_H
#define DATAPLANE_TABLE_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "dataplane/table/lane.h"
#include "dataplane/table/session.h"
#include "lib/dpapi/dpapi.h"

#define PEER_ID_MAX	  ((1u << 20) - 1)
#define PEER_SESSIONS_MAX 6

/* Immutable but for the hint: replaced as a whole when the path changes. */
struct peer_path {
	struct dpapi_path path;
	_Atomic uint16_t nexthop; /* w: id in table/neigh.h that served last, 0 = none */
};

/*
 * What packets touch lies in the first two lines, a pair that memory gives at the price
 * of one. Workers that send and receive share the second: with many peers they seldom
 * are at the same one, and with few they come once a run of packets.
 */
struct peer {
	/* What a packet's way reads. */
	uint32_t id __attribute__((aligned(128))); /* c */
	_Atomic uint32_t flags;			   /* c: DPAPI_PEER_* */
	_Atomic uint16_t mtu;			   /* c: largest inner packet */
	_Atomic(struct session *) tx;		   /* c, w: the session that sends, or NULL */
	_Atomic(struct peer_path *) path;	   /* c: NULL = none yet */
	_Atomic(struct peer_lanes *) lanes;	   /* c: NULL = it has none */
	/* Both ways look at both of these, and seldom change one. */
	_Atomic uint64_t rx_unanswered_ns; /* w: first data received after the last send */
	_Atomic uint64_t tx_unanswered_ns; /* w: first data sent after the last receipt */
	_Atomic uint64_t source4; /* w: an allowed source, and of which epoch of the mesh, or 0 */

	/* Activity, w. */
	_Atomic uint64_t last_rx_ns __attribute__((aligned(64))); /* authenticated */
	_Atomic uint64_t rx_bytes;				  /* inner bytes opened */
	_Atomic uint64_t rx_packets;
	_Atomic uint64_t traffic_told_ns;
	_Atomic uint64_t last_tx_ns;
	_Atomic uint64_t tx_bytes; /* inner bytes sealed */
	_Atomic uint64_t tx_packets;
	_Atomic uint64_t remote4; /* c: where the path leads, see peer_remote4; 0 = not to IPv4 */

	/* w, now and then. */
	_Atomic uint64_t asked_ns; /* when a handshake was last asked for */
	_Atomic uint64_t roam_told_ns;

	/* c only. */
	uint8_t public_key[DPAPI_KEY_BYTES];
	uint32_t generation;
	unsigned session_count;
	struct session *sessions[PEER_SESSIONS_MAX]; /* newest last */
	uint64_t activity_tx_told_ns;		     /* tx_unanswered_ns as it was last told */
	uint64_t activity_rx_told_ns;
	struct peer *hash_next;

	/* w: messages about lanes, counted for a second. */
	_Atomic uint64_t lane_since_ns;
	_Atomic uint32_t lane_count;
};

struct peer_ids {
	uint32_t size;
	_Atomic(struct peer *) peer[];
};

struct peer_build;

struct peer_table {
	_Atomic(struct peer_ids *) ids;
	struct peer_build *build; /* control thread */
};

/* The peer, or NULL. Valid until the worker is quiescent. */
static inline struct peer *peer_get(const struct peer_table *t, uint32_t id)
{
	const struct peer_ids *ids = atomic_load_explicit(&t->ids, memory_order_acquire);

	if (id >= ids->size)
		return NULL;
	return atomic_load_explicit(&ids->peer[id], memory_order_acquire);
}

static inline void peer_prefetch_id(const struct peer_table *t, uint32_t id)
{
	const struct peer_ids *ids = atomic_load_explicit(&t->ids, memory_order_acquire);

	if (id < ids->size)
		__builtin_prefetch(&ids->peer[id]);
}

/* What packets from or to it read and write. */
static inline void peer_prefetch(const struct peer *p)
{
	__builtin_prefetch(p, 1);
	__builtin_prefetch(&p->last_rx_ns, 1);
}

static inline struct session *peer_tx_session(const struct peer *p)
{
	return atomic_load_explicit(&p->tx, memory_order_acquire);
}

static inline struct peer_path *peer_path_get(const struct peer *p)
{
	return atomic_load_explicit(&p->path, memory_order_acquire);
}

static inline struct peer_lanes *peer_lanes_get(const struct peer *p)
{
	return atomic_load_explicit(&p->lanes, memory_order_acquire);
}

/* An address of IPv4 as one number, which no address of another family has. */
static inline uint64_t peer_remote4(const struct dpapi_addr *a)
{
	uint32_t addr;

	memcpy(&addr, a->bytes, sizeof(addr));
	return (uint64_t)a->family << 48 | (uint64_t)a->port << 32 | addr;
}

/* What source4 is where this IPv4 address, as it lies in memory, is the peer's. */
static inline uint64_t peer_source4(const uint8_t addr[4], uint32_t epoch)
{
	uint32_t a;

	memcpy(&a, addr, sizeof(a));
	return (uint64_t)a << 32 | epoch;
}

/*
 * The first packet has opened on a session: it becomes confirmed and, if it is
 * not older than the one that sends, the one that sends. True to exactly one
 * caller (who raises EVENT_CONFIRMED). Cheap when it is confirmed already. Worker.
 */
bool peer_promote(struct peer *p, struct session *s);

/*
 * Packets of one batch were opened: n data packets of `bytes` inner bytes, or keepalives
 * (0). is_shared: other workers count as well, so no count may get lost between us.
 */
void peer_note_rx(struct peer *p, uint64_t now_ns, uint64_t n_data, uint64_t bytes, bool is_shared);
/* Packets of one batch were sealed; n_data 0: a keepalive. */
void peer_note_tx(struct peer *p, uint64_t now_ns, uint64_t n_data, uint64_t bytes, bool is_shared);

/*
 * Claims the right to tell (asked_ns, roam_told_ns, traffic_told_ns): true to
 * one caller in interval_ns. Worker.
 */
static inline bool peer_claim(_Atomic uint64_t *told_ns, uint64_t now_ns, uint64_t interval_ns)
{
	uint64_t told = atomic_load_explicit(told_ns, memory_order_relaxed);

	/* Another worker's batch may be a little later than ours. */
	if (told && (int64_t)(now_ns - told) < (int64_t)interval_ns)
		return false;
	return atomic_compare_exchange_strong_explicit(told_ns, &told, now_ns, memory_order_relaxed,
						       memory_order_relaxed);
}

#endif
