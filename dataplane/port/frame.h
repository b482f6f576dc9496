/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between frames and packets, for the ports that send and receive frames themselves
 * (xdp, dpdk): what a received Ethernet frame holds, and the headers that a packet
 * leaves with. Worker thread; no system calls.
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
#ifndef DATAPLANE_PORT_FRAME_H
#define DATAPLANE_PORT_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/port/port.h"
#include "lib/base/addr.h"
#include "lib/wire/ether.h"
#include "lib/wire/udp_encap.h"

struct nexthop;

struct frame {
	struct rte_mbuf *mbuf;
	uint8_t *data; /* at the Ethernet header */
	uint32_t len;
	uint8_t *start, *end; /* received: of the mbuf's memory */
	bool is_sum_ok;	      /* received: the device has looked at the IPv4 header's */
	bool is_sum_partial;  /* to be sent: the device finishes the UDP checksum (IPv6) */
};

/*
 * The frame becomes packet p, mbuf included. *remote is filled for outside
 * packets and must live as long as p. DROP_NONE, or the reason.
 */
enum drop_reason frame_outside(struct packet *p, const struct frame *f, struct dpapi_addr *remote);
enum drop_reason frame_inside(struct packet *p, const struct frame *f);

/* What the worker's outer headers need. */
struct frame_outer {
	uint16_t listen_port;
	uint16_t lane_first; /* port of lane 1; the others' follow */
	uint16_t lane_count;
	uint32_t sum_netdevs; /* bit set: interfaces that finish UDP checksums */
	uint16_t next_id;     /* of IPv4 packets that may be fragmented on their way */
};

#define FRAME_HEADER_MAX (ETHER_HEADER_BYTES + UDP_ENCAP_V6_BYTES)

/* Which of our ports an outside packet came to: its vni_lane. */
static inline void frame_set_lane(struct packet *p, const struct frame_outer *outer)
{
	const struct ip_udp_header *udp = (const struct ip_udp_header *)p->data - 1;
	uint32_t i = (uint32_t)be16_get(&udp->dst_port) - outer->lane_first;

	if (i < outer->lane_count)
		p->vni_lane = (i + 1) << PACKET_LANE_SHIFT;
}

/* What all frames of a batch to one next hop (and remote) share. Its maker's, for a batch. */
struct frame_hop {
	uint8_t netdev;	      /* to send on */
	uint8_t header_bytes; /* in front of the packet */
	uint16_t sum;	      /* of the IPv4 header without TOS, length and id; host order */
	struct endpoint src;  /* outer headers; family 0 = none, the packet is an inner one */
	struct endpoint dst;
	uint8_t header[FRAME_HEADER_MAX];
};

/*
 * For inner packets (remote NULL), or sealed messages from that lane's port to remote,
 * over next hop n.
 *
 *   0         ready
 *   -ENOENT   the neighbour is not resolved, or the interface has no address of the
 *             remote's family: the kernel's turn
 */
int frame_hop_init(struct frame_hop *h, struct nexthop *n, const struct dpapi_addr *remote,
		   unsigned lane, const struct frame_outer *outer, uint64_t now_ns);

/*
 * Builds the frame for p. Fills f; its mbuf is p's own or a new one of pool. p keeps
 * its mbuf until the frame is taken by a ring. outer gives the next id.
 *
 *   0         built
 *   -ENOBUFS  no mbuf
 *   -EINVAL   cannot be framed (too long)
 */
int frame_build(struct frame *f, const struct packet *p, const struct frame_hop *h,
		struct frame_outer *outer, struct rte_mempool *pool);

#endif
