/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from one worker to another that owns the transmit queue: where a device has
 * fewer of them than there are workers. No locks: producers put into a ring, and wake
 * the owner only if it has found the ring empty and may be asleep.
 *
 *   worker 1 --.
 *               >-- ring --> worker 0 --> transmit queue
 *   worker 2 --'     fd
 *
 * Control thread: new, free. Any worker: put. The owner: take.
 */
#ifndef DATAPLANE_PORT_HANDOVER_H
#define DATAPLANE_PORT_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_ring;

struct handover {
	struct rte_ring *ring;
	int fd; /* readable: look at the ring */
	/* The owner found nothing: who puts next writes to fd. */
	_Atomic bool is_armed __attribute__((aligned(64)));
};

/* name: of the process, at most 24 characters. 0 or a negative errno. */
int handover_open(struct handover *h, const char *name);
/* Frames that still lie in it are freed. Fine on what was never opened (ring NULL). */
void handover_close(struct handover *h);

/* How many of n were taken; the rest stays the caller's. */
unsigned handover_put(struct handover *h, struct rte_mbuf **frames, unsigned n);
/* At most max; 0: there are none, and fd will tell. */
unsigned handover_take(struct handover *h, struct rte_mbuf **frames, unsigned max);

#endif
