/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under load: when it is so, and how many handshake messages with a valid mac2
 * one source may then have worked on: 20 a second, 5 at once, counted per IPv4
 * address or IPv6 /64. The memory is fixed. The table is cut into small sets,
 * and the seeded hash of a source says which; in a full set the slot of a source
 * that has been silent long enough to have its whole burst back is taken over
 * (forgetting it changes nothing), else the newcomer is refused. One thread.
 *
 *   hash % SETS -> | source, tokens, time | x 8 |
 */
#ifndef CONTROLPLANE_NOISE_WG_LIMITER_H
#define CONTROLPLANE_NOISE_WG_LIMITER_H

#include "lib/base/addr.h"

#define WG_LIMITER_RATE_PPS   20
#define WG_LIMITER_BURST      5
#define WG_LIMITER_SETS	      512
#define WG_LIMITER_WAYS	      8
#define WG_LIMITER_SEED_BYTES 16

#define WG_HANDSHAKE_QUEUE_MAX 1024
#define WG_UNDER_LOAD_QUEUE    (WG_HANDSHAKE_QUEUE_MAX / 8)
/* A flood that a core just keeps up with leaves no queue: a quarter of that is load, too. */
#define WG_UNDER_LOAD_PPS 5000

struct wg_limiter_slot {
	uint64_t prefix; /* first 8 bytes of the address */
	uint64_t last_ns;
	uint32_t tokens_ns; /* time saved up; one message costs 1 s / rate */
	uint8_t family;	    /* 0 = free */
};

struct wg_limiter {
	struct wg_limiter_slot slots[WG_LIMITER_SETS][WG_LIMITER_WAYS];
	uint8_t seed[WG_LIMITER_SEED_BYTES];
	uint64_t load_until_ns;
	uint64_t window_ns; /* when counting began anew */
	uint32_t window_count;
};

/* seed: random bytes, so that nobody can aim at one set. */
void wg_limiter_init(struct wg_limiter *l, const uint8_t seed[WG_LIMITER_SEED_BYTES]);
/* Counts one message of this source; false: over its limit, drop. */
bool wg_limiter_allow(struct wg_limiter *l, const struct ip_addr *source, uint64_t now_ns);
/*
 * Told of each handshake message, and how many wait; true while, and for 1 s after, either
 * is too many.
 */
bool wg_limiter_under_load(struct wg_limiter *l, uint32_t queued, uint64_t now_ns);

#endif
