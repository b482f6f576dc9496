/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet on its way, and the batch it travels in.
 *
 * struct packet is one cache line of metadata; the bytes lie where the receive
 * side put them: in an mbuf, or in the arena of the port that received them
 * (mbuf == NULL), which stays untouched until the batch is finished.
 *
 * Nothing is ever moved inside a batch: a packet that is dropped gets a reason
 * in `drop` and every later stage passes over it. So an index into pkts[] is
 * good for the whole way, and a super-packet can be named by its first segment:
 *
 *    pkts[]   0    1    2    3    4    5        TUN super-packet of 4 segments
 *    leader   0    1    1    1    1    5        = packets 1..4
 *
 * Route, filter and flow look at leaders only; followers copy. A packet that is
 * no segment leads itself.
 */
#ifndef DATAPLANE_PACKET_H
#define DATAPLANE_PACKET_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/drop.h"
#include "lib/dpapi/dpapi.h"
#include "lib/wire/ip.h"

#define BATCH_MAX 64

/*
 * Bytes that a port leaves free in front of the first byte of an inside packet
 * (outer Ethernet, IPv6, UDP, Geneve and WireGuard headers) and behind its last
 * one (padding and tag). Outside packets have their own header and tag.
 */
#define PACKET_HEADROOM 128
#define PACKET_TAILROOM 32

#define PEER_NONE    0u
#define PORT_NONE    0xff
#define NEXTHOP_NONE 0u

/* What the bytes at packet.data are. */
enum packet_kind {
	PACKET_INNER,	  /* an IP packet in the clear */
	PACKET_DATA,	  /* UDP payload: WireGuard type 4 */
	PACKET_OTHER,	  /* UDP payload that belongs to causewayd */
	PACKET_KEEPALIVE, /* opened, empty */
	PACKET_SEALED,	  /* a WireGuard type 4 message that we made */
	PACKET_LANE,	  /* opened, or to be sealed: a message about lanes (lib/wire/lane.h) */
};

/* Where the packet goes from here; with packet.port_out. */
enum packet_out {
	PACKET_OUT_NONE,
	PACKET_OUT_TUN,	    /* inner packet into the kernel */
	PACKET_OUT_UDP,	    /* sealed message to packet.remote */
	PACKET_OUT_LAN,	    /* inner packet to packet.nexthop on an interface of the port */
	PACKET_OUT_CHANNEL, /* to causewayd */
};

enum packet_flags {
	PACKET_FROM_OUTSIDE = 1 << 0,
	PACKET_FROM_LAN = 1 << 1,      /* came off an interface, not out of the TUN */
	PACKET_SEG_LAST = 1 << 2,      /* last segment of its super-packet */
	PACKET_INNER_CHANGED = 1 << 3, /* bytes of the inner packet were rewritten here */
	PACKET_FROM_STAGING = 1 << 4,
};

struct packet {
	uint8_t *data;			 /* first byte of what `kind` says */
	struct rte_mbuf *mbuf;		 /* owner of the bytes, or NULL */
	const struct dpapi_addr *remote; /* rx: outer source; after seal: outer destination */
	uint32_t session;		 /* local index of the session that opened or sealed it */
	uint32_t peer_in;		 /* PEER_NONE: from the inside */
	uint32_t peer_out;		 /* PEER_NONE: not to a peer */
	uint32_t flow;			 /* entry of the flow table + 1, 0 = none */
	uint32_t vni_lane;		 /* VNI in the low 24 bits, above: our UDP port's lane */
	uint16_t len;			 /* bytes at data */
	uint16_t rule;			 /* of the filter, + 1 */
	uint16_t seg_size;		 /* super-packet: transport payload a segment, else 0 */
	uint16_t nexthop;		 /* table/neigh.h, PACKET_OUT_LAN and outer frames */
	uint8_t drop;			 /* enum drop_reason; 0 = alive */
	uint8_t kind;			 /* enum packet_kind */
	uint8_t port_in;		 /* index into the dataplane's ports */
	uint8_t port_out;		 /* same, or PORT_NONE */
	uint8_t out;			 /* enum packet_out */
	uint8_t outer_tos;		 /* rx: outer TOS byte; after seal: the one to send */
	uint8_t leader;			 /* index in the batch */
	uint8_t flags;			 /* enum packet_flags */
	uint8_t headroom;		 /* writable bytes in front of data, at most 255 */
	uint8_t tailroom;		 /* writable bytes behind data + len, at most 255 */
	uint8_t spare[2];
};

static_assert(sizeof(struct packet) == 64, "a packet's metadata is one cache line");

/*
 * A vector of packets. Owned by one worker. info[i] is what the inner IP packet
 * of pkts[i] says: valid for leaders once open or route has parsed it.
 */
struct batch {
	uint16_t n;
	uint8_t port_in;
	uint64_t now_ns; /* CLOCK_BOOTTIME, read once a batch */
	struct packet pkts[BATCH_MAX] __attribute__((aligned(64)));
	struct ip_info info[BATCH_MAX];
};

#define PACKET_LANE_SHIFT 24

/* At, or from, which of the port's UDP ports: 0 = the listen port. */
static inline unsigned packet_lane(const struct packet *p)
{
	return p->vni_lane >> PACKET_LANE_SHIFT;
}

static inline bool packet_is_leader(const struct batch *b, unsigned i)
{
	return b->pkts[i].leader == i;
}

/* Room for one more packet: its metadata zeroed, leading itself. n < BATCH_MAX. */
static inline struct packet *batch_add(struct batch *b)
{
	struct packet *p = &b->pkts[b->n];

	*p = (struct packet){.port_in = b->port_in, .port_out = PORT_NONE, .leader = (uint8_t)b->n};
	b->n++;
	return p;
}

static inline void packet_drop(struct packet *p, enum drop_reason reason)
{
	p->drop = (uint8_t)reason;
}

struct worker;

/*
 * End of a batch: counts drops, frees the mbufs that are still owned by it
 * (a port's tx sets mbuf = NULL when it has taken the buffer), n = 0.
 */
void packet_finish(struct worker *w, struct batch *b);

#endif
