/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why this needs no lock.
 *
 * Whoever sets a bit for counter c has raised `last` to at least c before, and
 * sets it by a CAS with release order. So who reads a word (acquire) and then
 * `last` sees a `last` that is no lower than any counter in that word.
 *
 * A word found with another epoch than c's is of an older lap, or of a newer
 * one. If it were newer, it would hold a counter of at least
 * c + 8,192 - 31 = c + 8,161, `last` would be at least that, and c would be too
 * old by the check that follows. If c passes this check the word is older, and
 * all its counters lie at least 8,161 behind c <= last: they are out of the
 * window for good, so replacing the word forgets nothing that could come again.
 * The CAS fails if the word changed meanwhile, and all is looked at anew.
 *
 * A counter is marked by exactly one CAS, since a word keeps its bits for as
 * long as its epoch stands, and an epoch that has gone never comes back: `last`
 * forbids it.
 *
 * Epochs are kept modulo 2^32. A word that is older by an exact multiple of 2^45
 * packets (which no sender can make within the 180 s of a session) would be
 * taken for its own lap, and a bit in it for a repetition: the error is to the
 * safe side, one packet is refused.
 */
#include "dataplane/table/replay.h"

#include <stdbool.h>

#include "lib/wire/wg.h"

static_assert(REPLAY_WORDS * 32 - 31 > WG_REPLAY_WINDOW, "a newer lap implies too old");

/* Raises last to counter. False: the counter is behind the window. */
static bool replay_advance(struct replay *r, uint64_t counter)
{
	uint64_t last = atomic_load_explicit(&r->last, memory_order_relaxed);

	while (counter > last) {
		if (atomic_compare_exchange_weak_explicit(
			    &r->last, &last, counter, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return last - counter <= WG_REPLAY_WINDOW;
}

enum replay_verdict replay_check(struct replay *r, uint64_t counter)
{
	_Atomic uint64_t *ring = &r->ring[counter / 32 % REPLAY_WORDS];
	uint64_t epoch = counter / (32 * REPLAY_WORDS) << 32;
	uint64_t bit = 1ull << (counter % 32);
	uint64_t word, next;

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return REPLAY_LIMIT;
	if (!replay_advance(r, counter))
		return REPLAY_TOO_OLD;

	word = atomic_load_explicit(ring, memory_order_acquire);
	do {
		if ((word ^ epoch) >> 32 == 0) {
			if (word & bit)
				return REPLAY_SEEN;
			next = word | bit;
		} else {
			if (replay_last(r) - counter > WG_REPLAY_WINDOW)
				return REPLAY_TOO_OLD;
			next = epoch | bit;
		}
	} while (!atomic_compare_exchange_weak_explicit(ring, &word, next, memory_order_acq_rel,
							memory_order_acquire));
	return REPLAY_OK;
}
