/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay window of a transport session: the last 8,128 counters, in a ring of
 * 8,192 bits (docs/protocol/wireguard.md, "replay window"). Several workers may
 * check counters of one session at the same time, without a lock; each counter
 * is accepted once.
 *
 *   last  highest counter taken so far
 *   ring  256 words of 64 bits, word (c / 32) % 256:
 *           63            32 31             0
 *          +----------------+----------------+
 *          | epoch = c >> 13| a bit a counter|
 *          +----------------+----------------+
 *
 * A word of an older lap is not cleared but replaced, by the same CAS that sets
 * the bit; a word of a newer lap proves that the counter is too old. replay.c
 * has the argument.
 */
#ifndef DATAPLANE_TABLE_REPLAY_H
#define DATAPLANE_TABLE_REPLAY_H

#include <stdatomic.h>
#include <stdint.h>

#define REPLAY_WORDS 256

enum replay_verdict {
	REPLAY_OK,	/* first time: now marked */
	REPLAY_SEEN,	/* accepted before */
	REPLAY_TOO_OLD, /* behind the window */
	REPLAY_LIMIT,	/* beyond the last counter a session may use */
};

/* All zero is an empty window. */
struct replay {
	_Atomic uint64_t last;
	uint8_t pad[56];
	_Atomic uint64_t ring[REPLAY_WORDS];
} __attribute__((aligned(64)));

/* Call only for a packet that has been authenticated: it marks. Any worker. */
enum replay_verdict replay_check(struct replay *r, uint64_t counter);

/* Highest counter accepted, 0 = none (or only 0). Any thread. */
static inline uint64_t replay_last(const struct replay *r)
{
	return atomic_load_explicit(&r->last, memory_order_relaxed);
}

static inline void replay_prefetch(const struct replay *r, uint64_t counter)
{
	__builtin_prefetch(&r->last, 1);
	__builtin_prefetch(&r->ring[counter / 32 % REPLAY_WORDS], 1);
}

#endif
