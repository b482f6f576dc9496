/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why this needs no lock.
 *
 * Whoever sets a bit for counter c has raised `last` to at least c before, and
 * sets it by a CAS with release order. So who reads a word (acquire) and then
 * `last` sees a `last` that is no lower than any counter in that word.
 *
 * Replacing. A word found with another lap than c's is of an older lap, or of a
 * newer one. If it were newer, it would hold a counter of at least
 * c + 8,232 - 55 = c + 8,177, `last` would be at least that, and c would be too
 * old by the check that follows. If c passes this check the word is older, and
 * all its counters lie at least 8,177 behind c <= last: they are out of the
 * window for good, so replacing the word forgets nothing that could come again.
 * The CAS fails if the word changed meanwhile, and all is looked at anew.
 *
 * Setting. A word found with c's own lap, modulo 256, is of that lap or of one that
 * differs by 256 or more. Older: its bits are taken for repetitions, which errs to
 * the safe side. Newer: then `last` is far ahead of c, which the look at `last`
 * after the CAS finds, and c is refused.
 *
 * That look also answers for a worker that is stopped between its look at the word
 * and its CAS: for the word to come round to the very bits that it saw, 255 laps
 * (two million packets) must have passed, and c is too old by then. Had that CAS
 * replaced the word, the marks of up to 55 counters of the newer lap would be gone until
 * the ring comes round. That takes a worker which stands still between two instructions
 * while others take a multiple of 2,107,392 packets of this session, to within 56, and
 * nobody outside can bring it about: `last` moves only for who can seal.
 *
 * A long gap. Words that nobody touches for 256 laps would come to look fresh: not
 * while packets arrive, as they pass over every word in each lap, but when an outage
 * ends. So who raises `last` by 128 laps or more clears the ring, alone:
 * he marks the window's address, raises `last`, clears, and puts the address back
 * with another generation. Packets that find the mark are refused, and so is one whose
 * address has changed by the time that its bit is set: the bit may have been
 * cleared. Who comes later with a counter of before the gap finds a `last` that makes
 * it too old.
 */
#include "dataplane/table/replay.h"

#include <assert.h>
#include <stdbool.h>

#include "dataplane/table/slab.h"
#include "lib/wire/wg.h"

#define RING_BITS ((uint64_t)REPLAY_BITS * REPLAY_WORDS)
#define JUMP	  (128 * RING_BITS)
#define LAP_SHIFT REPLAY_BITS
#define BITS_MASK ((1ull << REPLAY_BITS) - 1)
/* Low bits of the window's address, which is a multiple of 8. */
#define IS_CLEARED 1u
#define GENERATION 6u
#define TAGS	   (IS_CLEARED | GENERATION)

static_assert(RING_BITS - (REPLAY_BITS - 1) > WG_REPLAY_WINDOW, "a newer lap implies too old");

static struct slab windows = SLAB_INIT(struct replay_window);

void replay_fini(struct replay *r)
{
	slab_free(&windows, (void *)(atomic_load(&r->window) & ~(uintptr_t)TAGS));
	atomic_store(&r->window, 0);
}

/* The window's address with its tags, made with the first packet. 0: no memory. */
static uintptr_t window_get(struct replay *r)
{
	uintptr_t at = atomic_load_explicit(&r->window, memory_order_acquire);
	struct replay_window *made;

	if (at)
		return at;
	made = slab_alloc(&windows);
	if (!made)
		return 0;
	if (atomic_compare_exchange_strong_explicit(&r->window, &at, (uintptr_t)made,
						    memory_order_acq_rel, memory_order_acquire))
		return (uintptr_t)made;
	slab_free(&windows, made);
	return at;
}

static _Atomic uint64_t *ring_of(uintptr_t at)
{
	return ((struct replay_window *)(at & ~(uintptr_t)TAGS))->ring;
}

static uint64_t raise_last(struct replay *r, uint64_t counter, bool is_shared)
{
	uint64_t last = atomic_load_explicit(&r->last, memory_order_relaxed);

	if (!is_shared && counter > last) {
		atomic_store_explicit(&r->last, counter, memory_order_relaxed);
		return counter;
	}
	while (counter > last)
		if (atomic_compare_exchange_weak_explicit(
			    &r->last, &last, counter, memory_order_relaxed, memory_order_relaxed))
			return counter;
	return last;
}

/* After a long gap. The window's address from then on, or 0: another worker is at it. */
static uintptr_t clear_ring(struct replay *r, uintptr_t at, uint64_t counter)
{
	_Atomic uint64_t *ring = ring_of(at);
	uintptr_t fresh = (at & ~(uintptr_t)TAGS) | ((at + 2) & GENERATION);
	uint64_t last;

	if (!atomic_compare_exchange_strong_explicit(&r->window, &at, at | IS_CLEARED,
						     memory_order_acq_rel, memory_order_relaxed))
		return 0;
	/* Still so far ahead? Another one may have done it since we looked. */
	last = replay_last(r);
	if (counter > last && counter - last >= JUMP) {
		raise_last(r, counter, true);
		for (unsigned i = 0; i < REPLAY_WORDS; i++)
			atomic_store_explicit(&ring[i], 0, memory_order_release);
	}
	atomic_store_explicit(&r->window, fresh, memory_order_release);
	return fresh;
}

/* Those bits of the block that are behind the window that ends with last. */
static uint64_t behind(uint64_t first, uint64_t last)
{
	uint64_t edge;

	if (last <= WG_REPLAY_WINDOW)
		return 0;
	edge = last - WG_REPLAY_WINDOW; /* the oldest that is inside */
	if (edge <= first)
		return 0;
	return edge - first >= REPLAY_BITS ? BITS_MASK : (1ull << (edge - first)) - 1;
}

static bool swap_word(_Atomic uint64_t *ring, uint64_t *word, uint64_t next, bool is_shared)
{
	if (!is_shared) {
		atomic_store_explicit(ring, next, memory_order_relaxed);
		return true;
	}
	return atomic_compare_exchange_weak_explicit(ring, word, next, memory_order_acq_rel,
						     memory_order_acquire);
}

/*
 * One worker's window, and a block that ends ahead of all that came before: nothing of it
 * is behind the window, and a word of another lap is an older one.
 */
static uint64_t mark_ahead(struct replay *r, uintptr_t at, uint64_t block, uint64_t bits,
			   uint64_t highest)
{
	_Atomic uint64_t *ring = &ring_of(at)[block % REPLAY_WORDS];
	uint64_t lap = (block / REPLAY_WORDS & 0xff) << LAP_SHIFT;
	uint64_t word = atomic_load_explicit(ring, memory_order_relaxed);

	if ((word ^ lap) >> LAP_SHIFT)
		word = lap;
	atomic_store_explicit(&r->last, highest, memory_order_relaxed);
	atomic_store_explicit(ring, word | bits, memory_order_relaxed);
	return bits & ~word;
}

uint64_t replay_mark(struct replay *r, uint64_t block, uint64_t bits, bool is_shared,
		     uint64_t *too_old, enum replay_verdict *why)
{
	uint64_t first = replay_first(block);
	uint64_t highest = first + 63u - (unsigned)__builtin_clzll(bits);
	uint64_t lap = (block / REPLAY_WORDS & 0xff) << LAP_SHIFT;
	uintptr_t at = window_get(r);
	uint64_t word, next, last, fresh;
	_Atomic uint64_t *ring;

	*too_old = 0;
	*why = REPLAY_NO_WINDOW;
	if (!at || (at & IS_CLEARED))
		return 0;
	last = replay_last(r);
	if (!is_shared && highest > last && highest - last < JUMP) {
		*why = REPLAY_SEEN;
		return mark_ahead(r, at, block, bits, highest);
	}
	if (highest > last && highest - last >= JUMP) {
		at = clear_ring(r, at, highest);
		if (!at)
			return 0;
	}
	*why = REPLAY_SEEN;
	last = raise_last(r, highest, is_shared);
	*too_old = bits & behind(first, last);
	bits &= ~*too_old;
	if (!bits)
		return 0;

	ring = &ring_of(at)[block % REPLAY_WORDS];
	word = atomic_load_explicit(ring, memory_order_acquire);
	do {
		fresh = bits;
		if ((word ^ lap) >> LAP_SHIFT == 0) {
			fresh = bits & ~word;
			if (!fresh)
				return 0;
			next = word | fresh;
		} else {
			if (behind(first, replay_last(r)) & (1ull << (highest - first))) {
				*too_old |= bits;
				return 0;
			}
			next = lap | bits;
		}
	} while (!swap_word(ring, &word, next, is_shared));
	if (!is_shared)
		return fresh;
	/* The world may have moved on while we were at it. */
	if (atomic_load_explicit(&r->window, memory_order_acquire) != at) {
		*why = REPLAY_NO_WINDOW;
		return 0;
	}
	last = behind(first, replay_last(r)) & fresh;
	*too_old |= last;
	return fresh & ~last;
}

enum replay_verdict replay_check(struct replay *r, uint64_t counter)
{
	uint64_t block = replay_block(counter), too_old;
	uint64_t bit = 1ull << (counter - replay_first(block));
	enum replay_verdict why;

	if (counter >= WG_REJECT_AFTER_MESSAGES)
		return REPLAY_LIMIT;
	if (replay_mark(r, block, bit, true, &too_old, &why) & bit)
		return REPLAY_OK;
	return too_old & bit ? REPLAY_TOO_OLD : why;
}
