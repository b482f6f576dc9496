/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which packets of a batch leave as frames of our own, over which interface, and
 * those frames: the half of sending that the xdp and the dpdk port have in common.
 *
 * The rest is the kernel's: sealed messages go through the UDP socket, inner packets
 * through the TUN. That is so while a neighbour is not resolved (the kernel then
 * resolves it, and the mirror tells us), where the route is not over one of our
 * interfaces, and where the packet is longer than the interface's MTU (the kernel
 * fragments). Worker thread.
 */
#ifndef DATAPLANE_PORT_FRAME_TX_H
#define DATAPLANE_PORT_FRAME_TX_H

#include "dataplane/port/frame.h"

#define FRAME_TX_NONE 0xff

/* Frames of one batch on their way out; a packet's has its index. */
struct frame_tx {
	uint32_t netdevs;	   /* bit set: has frames */
	uint8_t netdev[BATCH_MAX]; /* of the port, or FRAME_TX_NONE: no frame */
	struct frame frame[BATCH_MAX];
};

/*
 * Builds the frames of the packets to port p; what stays the kernel's has its `out`
 * changed, what finds no mbuf in pool is dropped.
 */
void frame_tx_prepare(struct frame_tx *fs, struct port *p, struct worker *w, struct batch *b,
		      struct frame_outer *outer, struct rte_mempool *pool);

/* The frame of packet i is sent: it and its mbuf are no longer the batch's. */
void frame_tx_sent(struct frame_tx *fs, struct worker *w, struct batch *b, unsigned i);

/* The frame of packet i could not be sent: the packet is dropped for it. */
void frame_tx_failed(struct frame_tx *fs, struct batch *b, unsigned i, enum drop_reason reason);

#endif
