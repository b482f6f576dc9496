/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a worker shall rest before its next turn. Frames that come one by one cost a
 * receive and a send each. A worker that spends over half of its time on them rests for
 * PAUSE_NS between turns, so that each client has several frames when it is looked at: they
 * are read, sealed and sent together. A worker with time to spare does not, nor one whose
 * frames come many at a time as it is. Pure; one thread.
 *
 *            > 1/2 busy, < PAUSE_FRAMES_ON a read
 *      off ----------------------------------------> on
 *          <----------------------------------------
 *            < 1/5 busy, or > PAUSE_FRAMES_OFF a read
 */
#ifndef CONTROLPLANE_DERP_PAUSE_H
#define CONTROLPLANE_DERP_PAUSE_H

#include <stdbool.h>
#include <stdint.h>

#define PAUSE_NS	 100000ull
#define PAUSE_LOOK_NS	 5000000ull /* judged over this time */
#define PAUSE_FRAMES_ON	 4
#define PAUSE_FRAMES_OFF 8

struct pause {
	uint64_t busy_ns, idle_ns; /* since it was last judged */
	uint64_t reads, frames;
	bool is_on;
};

/* A turn of busy_ns came after idle_ns, and read so often so many frames. */
bool pause_wanted(struct pause *p, uint64_t idle_ns, uint64_t busy_ns, uint64_t reads,
		  uint64_t frames);

#endif
