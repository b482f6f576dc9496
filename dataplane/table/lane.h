/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of a peer (docs/protocol/lanes.md), read side: in which one a worker sends
 * to it. A peer has these only once it has sessions of lanes; they go with it.
 *
 * A worker has one lane, whoever the packets are for: their flows are the
 * worker's already (RSS, ebpf/tun_steer.bpf.c), and so keep their order. It moves
 * there from lane 0 in a gap of its sending, and goes back when causewayd has not
 * prolonged the lane in time.
 *
 * Who writes: c = control thread, w = workers (those of the slot's lane).
 */
#ifndef DATAPLANE_TABLE_LANE_H
#define DATAPLANE_TABLE_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/dpapi/dpapi.h"
#include "lib/wire/lane.h"

struct session;

#define LANE_SESSIONS_MAX (3 * LANE_MAX)
/* What is under way in lane 0 has arrived after this much silence. */
#define LANE_GAP_NS (5 * NS_PER_MS)
/* Without such a gap the worker moves all the same. */
#define LANE_PATIENCE_NS NS_PER_SEC
#define LANE_TELL_NS	 NS_PER_SEC

/* Immutable: replaced as a whole. */
struct lane_use {
	struct session *session;
	struct dpapi_path path;
};

struct lane_slot {
	_Atomic(struct lane_use *) use; /* c: NULL = never */
	_Atomic uint64_t until_ns;	/* c: it carries data until then */
	_Atomic uint64_t since_ns;	/* c: without a break */
	_Atomic uint64_t last_ns;	/* w: last data sent, in this or in lane 0 */
	_Atomic bool has_moved;		/* w: off lane 0 */
} __attribute__((aligned(64)));

struct peer_lanes {
	_Atomic uint32_t count;			     /* c: lanes of the newest session in use */
	_Atomic uint64_t told_ns;		     /* w: EVENT_LANE_TRAFFIC */
	unsigned session_count;			     /* c */
	struct session *sessions[LANE_SESSIONS_MAX]; /* c */
	struct lane_slot slot[LANE_MAX];
};

/* By which session and path this worker sends data now; NULL: in lane 0. */
static inline const struct lane_use *lane_pick(struct peer_lanes *l, unsigned worker,
					       uint64_t now_ns)
{
	uint32_t count = atomic_load_explicit(&l->count, memory_order_relaxed);
	struct lane_slot *s = &l->slot[count ? worker % count : 0];
	const struct lane_use *use = atomic_load_explicit(&s->use, memory_order_acquire);
	uint64_t until = atomic_load_explicit(&s->until_ns, memory_order_relaxed);
	uint64_t last = atomic_load_explicit(&s->last_ns, memory_order_relaxed);
	bool has_moved = atomic_load_explicit(&s->has_moved, memory_order_relaxed);
	uint64_t since;

	atomic_store_explicit(&s->last_ns, now_ns, memory_order_relaxed);
	if (!count || !use || now_ns >= until) {
		if (has_moved)
			atomic_store_explicit(&s->has_moved, false, memory_order_relaxed);
		return NULL;
	}
	if (has_moved)
		return use;
	/* What was sent before then may be in no slot, or in another one. */
	since = atomic_load_explicit(&s->since_ns, memory_order_relaxed);
	if (last < since)
		last = since;
	if ((int64_t)(now_ns - last) < (int64_t)LANE_GAP_NS && now_ns < since + LANE_PATIENCE_NS)
		return NULL;
	atomic_store_explicit(&s->has_moved, true, memory_order_relaxed);
	return use;
}

#endif
