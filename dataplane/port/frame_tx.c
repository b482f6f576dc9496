/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/frame_tx.h"

#include <errno.h>

#include "dataplane/dataplane.h"
#include "dataplane/table/fib.h"
#include "dataplane/table/neigh.h"
#include "lib/wire/ether.h"

static_assert(PORT_NETDEVS_MAX <= 32, "netdevs fit a bit set");

/* The next hop of the outer packet, or NEXTHOP_NONE. */
static uint16_t outer_nexthop(const struct dataplane *dp, const struct dpapi_addr *remote)
{
	bool is_v4 = remote->family == AF_INET;
	uint32_t id = fib_entry_id(is_v4 ? fib_lookup4(dp->outer, remote->bytes)
					 : fib_lookup6(dp->outer, remote->bytes));

	if (!id || id == FIB_LOCAL_KERNEL)
		return NEXTHOP_NONE;
	if (!(id & FIB_LOCAL_CONNECTED_BIT))
		return (uint16_t)(id - 1);
	return neigh_find(dp->neigh, (uint8_t)(id >> 8), (uint8_t)id, remote->family,
			  remote->bytes);
}

/* What the packets of a batch were bound for last: mostly it is the same. */
struct last_hop {
	const struct dpapi_addr *remote; /* of a sealed message, else NULL */
	uint16_t number;		 /* of an inner packet's next hop */
	uint16_t mtu;			 /* 0: the kernel's turn */
	struct frame_hop hop;
};

static void find_hop(struct last_hop *last, struct port *p, struct worker *w,
		     const struct packet *pkt, const struct frame_outer *outer, uint64_t now_ns)
{
	uint16_t number = last->remote ? outer_nexthop(w->dp, last->remote) : pkt->nexthop;
	struct nexthop *n = neigh_get(w->dp->neigh, number);

	last->number = number;
	last->mtu = 0;
	if (number == NEXTHOP_NONE || n->port != p->index || n->netdev >= p->netdev_count)
		return;
	if (!frame_hop_init(&last->hop, n, last->remote, packet_lane(pkt), outer, now_ns))
		last->mtu = __atomic_load_n(&p->netdev[n->netdev].mtu, __ATOMIC_RELAXED);
}

/* Builds the frame of packet i, or leaves it to the kernel, or drops it. */
static void prepare(struct frame_tx *fs, struct batch *b, unsigned i, const struct last_hop *last,
		    struct frame_outer *outer, struct rte_mempool *pool)
{
	struct packet *pkt = &b->pkts[i];
	int rc = -ENOENT;

	if (pkt->len + last->hop.header_bytes - ETHER_HEADER_BYTES <= last->mtu)
		rc = frame_build(&fs->frame[i], pkt, &last->hop, outer, pool);
	if (!rc) {
		fs->netdev[i] = last->hop.netdev;
		fs->netdevs |= 1u << last->hop.netdev;
	} else if (rc == -ENOBUFS) {
		packet_drop(pkt, DROP_TX_NO_BUFFER);
	} else if (pkt->out == PACKET_OUT_LAN) {
		pkt->out = PACKET_OUT_TUN;
	}
}

void frame_tx_prepare(struct frame_tx *fs, struct port *p, struct worker *w, struct batch *b,
		      struct frame_outer *outer, struct rte_mempool *pool)
{
	struct last_hop last = {.hop.header_bytes = ETHER_HEADER_BYTES};

	fs->netdevs = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *pkt = &b->pkts[i];
		bool is_new;

		fs->netdev[i] = FRAME_TX_NONE;
		if (pkt->drop || pkt->port_out != p->index)
			continue;
		if (pkt->out == PACKET_OUT_LAN) {
			is_new = last.remote || pkt->nexthop != last.number;
			last.remote = NULL;
		} else if (pkt->out == PACKET_OUT_UDP) {
			/* A lane's remote is an object of its own. */
			is_new = pkt->remote != last.remote;
			last.remote = pkt->remote;
		} else {
			continue;
		}
		if (is_new)
			find_hop(&last, p, w, pkt, outer, b->now_ns);
		prepare(fs, b, i, &last, outer, pool);
	}
}

void frame_tx_sent(struct frame_tx *fs, struct worker *w, struct batch *b, unsigned i)
{
	struct packet *pkt = &b->pkts[i];

	if (fs->frame[i].mbuf == pkt->mbuf)
		pkt->mbuf = NULL;
	if (pkt->out == PACKET_OUT_UDP)
		w->stats.tx_outside++;
	else
		w->stats.tx_inside++;
	pkt->out = PACKET_OUT_NONE; /* not for the sockets */
}

void frame_tx_failed(struct frame_tx *fs, struct batch *b, unsigned i, enum drop_reason reason)
{
	struct packet *pkt = &b->pkts[i];

	packet_drop(pkt, reason);
	if (fs->frame[i].mbuf != pkt->mbuf)
		rte_pktmbuf_free(fs->frame[i].mbuf);
}
