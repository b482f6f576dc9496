/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt moderation for workers. Packets that come one by one, faster than a
 * worker falls asleep, cost a wake-up and several system calls each; a short nap
 * lets a batch gather. It is taken only while packets are many and batches small:
 *
 *   off -> on   in the last window GATHER_MIN_PACKETS or more, in batches of fewer
 *               than GATHER_SMALL on average
 *   on -> off   fewer packets, or batches of GATHER_LARGE and more: bulk traffic
 *               fills its batches by itself
 *
 * The first packet after a pause is never delayed, nor is a conversation that waits
 * for each answer: it is too slow to turn this on. One worker, no locks.
 */
#ifndef DATAPLANE_GATHER_H
#define DATAPLANE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#define GATHER_WINDOW_NS   1000000ull
#define GATHER_MIN_PACKETS 20u
#define GATHER_SMALL	   12u
#define GATHER_LARGE	   40u
#define GATHER_NAP_NS	   40000ull /* of the order of what network cards do */

struct gather {
	uint64_t window_ns; /* when the current window began */
	uint32_t packets, batches;
	bool is_on;
};

/* A round that moved packets. now_ns: CLOCK_BOOTTIME of the last batch. */
static inline void gather_note(struct gather *g, uint64_t now_ns, unsigned packets)
{
	uint64_t windows = (now_ns - g->window_ns) / GATHER_WINDOW_NS;

	if (windows) {
		bool many = windows < 8 && g->packets >= GATHER_MIN_PACKETS * windows;

		g->is_on =
			many && g->packets < g->batches * (g->is_on ? GATHER_LARGE : GATHER_SMALL);
		g->window_ns = now_ns;
		g->packets = 0;
		g->batches = 0;
	}
	g->packets += packets;
	g->batches++;
}

#endif
