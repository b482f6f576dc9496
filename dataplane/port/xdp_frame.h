/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between frames and packets: what a received Ethernet frame holds, and the
 * headers that a packet leaves with. Worker thread; no system calls.
 *
 *   received, WAN   | Ethernet | IP | UDP | WireGuard message |
 *                                         ^ data
 *   received, LAN   | Ethernet | IP packet |
 *                              ^ data
 *   sent            | room ... Ethernet | outer IP | UDP | message |
 *
 * A packet whose bytes lie in its mbuf gets its headers in front of them; others
 * (out of a TUN or socket arena, or sealed into scratch) are copied into an mbuf.
 */
#ifndef DATAPLANE_PORT_XDP_FRAME_H
#define DATAPLANE_PORT_XDP_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "dataplane/port/xdp_queue.h"

struct nexthop;

/*
 * The frame becomes packet p, mbuf included. *remote is filled for outside
 * packets and must live as long as p. DROP_NONE, or the reason.
 */
enum drop_reason xdp_frame_outside(struct packet *p, const struct xdp_frame *f,
				   struct dpapi_addr *remote);
enum drop_reason xdp_frame_inside(struct packet *p, const struct xdp_frame *f);

/* What the worker's outer headers need. */
struct xdp_outer {
	uint16_t listen_port;
	uint16_t next_id; /* of IPv4 packets that may be fragmented on their way */
};

/*
 * Builds the frame for p, an inner packet (outer NULL) or a sealed message, to
 * next hop n. Fills f; its mbuf is p's own or a new one of pool. p keeps its
 * mbuf until the frame is taken by a ring.
 *
 *   0         built
 *   -ENOENT   the neighbour is not resolved: the kernel's turn
 *   -ENOBUFS  no mbuf
 *   -EINVAL   cannot be framed (too long, families that do not match)
 */
int xdp_frame_build(struct xdp_frame *f, const struct packet *p, struct nexthop *n,
		    struct xdp_outer *outer, struct rte_mempool *pool, uint64_t now_ns);

#endif
