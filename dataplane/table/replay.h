/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay window of a transport session: the last 8,128 counters, in a ring of
 * 8,232 bits (docs/protocol/wireguard.md, "replay window"). Several workers may
 * check counters of one session at the same time, without a lock; each counter
 * is accepted once.
 *
 *   last    highest counter taken so far
 *   window  NULL until the first packet; 147 words of 64 bits, word (c / 56) % 147:
 *             63         56 55                      0
 *            +-------------+-------------------------+
 *            | lap mod 256 |      a bit a counter    |      lap = c / 8,232
 *            +-------------+-------------------------+
 *
 * A word of an older lap is not cleared but replaced, by the same CAS that sets
 * the bit; a word of a newer lap proves that the counter is too old. replay.c
 * has the argument.
 */
#ifndef DATAPLANE_TABLE_REPLAY_H
#define DATAPLANE_TABLE_REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS  56u
#define REPLAY_WORDS 147u

enum replay_verdict {
	REPLAY_OK,	  /* first time: now marked */
	REPLAY_SEEN,	  /* accepted before */
	REPLAY_TOO_OLD,	  /* behind the window */
	REPLAY_LIMIT,	  /* beyond the last counter a session may use */
	REPLAY_NO_WINDOW, /* no memory for one, or it is being cleared after a long gap */
};

struct replay_window {
	_Atomic uint64_t ring[REPLAY_WORDS];
};

/* All zero is an empty window. */
struct replay {
	_Atomic uint64_t last;
	_Atomic uintptr_t window; /* struct replay_window; in its low bits: see replay.c */
};

/* After quiescence. */
void replay_fini(struct replay *r);

/* The counters of a block: 56 in a row. */
static inline uint64_t replay_block(uint64_t counter)
{
	return counter / REPLAY_BITS;
}

/* The lowest counter of it; its bit is bit 0. */
static inline uint64_t replay_first(uint64_t block)
{
	return block * REPLAY_BITS;
}

/*
 * Marks the counters of a block whose bits are set (at least one). Returns the bits
 * that were accepted; *why says what became of the others: those of *too_old are
 * behind the window, the rest by *why. Call only for packets that have been
 * authenticated, none beyond the limit. is_shared: other workers may be at the same
 * window. Worker.
 */
uint64_t replay_mark(struct replay *r, uint64_t block, uint64_t bits, bool is_shared,
		     uint64_t *too_old, enum replay_verdict *why);

/* The same for one counter, whatever it is, and shared. */
enum replay_verdict replay_check(struct replay *r, uint64_t counter);

/* Highest counter accepted, 0 = none (or only 0). Any thread. */
static inline uint64_t replay_last(const struct replay *r)
{
	return atomic_load_explicit(&r->last, memory_order_relaxed);
}

static inline void replay_prefetch(const struct replay *r, uint64_t counter)
{
	uintptr_t window = atomic_load_explicit(&r->window, memory_order_relaxed);

	if (window)
		__builtin_prefetch((const uint64_t *)(window & ~(uintptr_t)7) +
					   counter / REPLAY_BITS % REPLAY_WORDS,
				   1);
}

#endif
