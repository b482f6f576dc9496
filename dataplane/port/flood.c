/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/flood.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "lib/base/clock.h"

#define TRIES 4 /* against other workers that take from the same bucket */

struct flood *flood_new(void)
{
	struct flood *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	randombytes_buf(&f->seed, sizeof(f->seed));
	return f;
}

void flood_free(struct flood *f)
{
	free(f);
}

static bool take(_Atomic uint64_t *full_ns, uint64_t now_ns, uint64_t interval_ns, uint64_t burst)
{
	uint64_t seen_ns = atomic_load_explicit(full_ns, memory_order_relaxed);

	for (int i = 0; i < TRIES; i++) {
		uint64_t next_ns = (seen_ns > now_ns ? seen_ns : now_ns) + interval_ns;

		if (next_ns - now_ns > interval_ns * burst)
			return false;
		if (atomic_compare_exchange_weak_explicit(
			    full_ns, &seen_ns, next_ns, memory_order_relaxed, memory_order_relaxed))
			return true;
	}
	return false; /* so contended that it is a flood */
}

/* splitmix64's finalizer: an attacker who does not know the seed finds no collisions. */
static uint32_t bucket_of(const struct flood *f, const uint8_t *addr, bool is_v4)
{
	uint64_t x = 0;

	memcpy(&x, addr, is_v4 ? 4 : 8);
	x = (x ^ f->seed) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((x ^ x >> 31) & (FLOOD_SOURCES - 1));
}

enum flood_verdict flood_take(struct flood *f, const uint8_t *addr, bool is_v4, uint64_t now_ns)
{
	if (!take(&f->source_full_ns[bucket_of(f, addr, is_v4)], now_ns,
		  NS_PER_SEC / FLOOD_SOURCE_RATE_PPS, FLOOD_SOURCE_BURST))
		return FLOOD_SOURCE;
	if (!take(&f->total_full_ns, now_ns, NS_PER_SEC / FLOOD_TOTAL_RATE_PPS, FLOOD_TOTAL_BURST))
		return FLOOD_TOTAL;
	return FLOOD_PASS;
}
