/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending on the xdp port. What can leave as a frame of our own does; the rest
 * is the kernel's: sealed messages go through the UDP socket, inner packets
 * through the TUN. That is so while a neighbour is not resolved (the kernel then
 * resolves it, and the mirror tells us), where the route is not over one of our
 * interfaces, and where the packet is longer than the interface's MTU (the kernel
 * fragments).
 */
#include <errno.h>

#include "dataplane/dataplane.h"
#include "dataplane/port/xdp_port.h"
#include "dataplane/table/fib.h"
#include "dataplane/table/neigh.h"
#include "lib/wire/ether.h"

#define NETDEV_NONE 0xff

/* Frames of one batch on their way to the rings. */
struct frames {
	uint32_t netdevs; /* bit set */
	uint8_t netdev[BATCH_MAX];
	struct frame frame[BATCH_MAX];
};

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
		     const struct packet *pkt, uint64_t now_ns)
{
	struct xdp_port *x = p->priv;
	uint16_t number = last->remote ? outer_nexthop(w->dp, last->remote) : pkt->nexthop;
	struct nexthop *n = neigh_get(w->dp->neigh, number);

	last->number = number;
	last->mtu = 0;
	if (number == NEXTHOP_NONE || n->port != p->index || n->netdev >= p->netdev_count)
		return;
	if (!frame_hop_init(&last->hop, n, last->remote, &x->worker[w->id].outer, now_ns))
		last->mtu = __atomic_load_n(&p->netdev[n->netdev].mtu, __ATOMIC_RELAXED);
}

/* Builds the frame of packet i, or leaves it to the kernel, or drops it. */
static void prepare(struct frames *fs, struct port *p, struct worker *w, struct batch *b,
		    unsigned i, const struct last_hop *last)
{
	struct xdp_port *x = p->priv;
	struct packet *pkt = &b->pkts[i];
	int rc = -ENOENT;

	if (pkt->len + last->hop.header_bytes - ETHER_HEADER_BYTES <= last->mtu)
		rc = frame_build(&fs->frame[i], pkt, &last->hop, &x->worker[w->id].outer,
				 x->area.pool);
	if (!rc) {
		fs->netdev[i] = last->hop.netdev;
		fs->netdevs |= 1u << last->hop.netdev;
	} else if (rc == -ENOBUFS) {
		packet_drop(pkt, DROP_TX_NO_BUFFER);
	} else if (pkt->out == PACKET_OUT_LAN) {
		pkt->out = PACKET_OUT_TUN;
	}
}

static void prepare_all(struct frames *fs, struct port *p, struct worker *w, struct batch *b)
{
	struct last_hop last = {.hop.header_bytes = ETHER_HEADER_BYTES};

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *pkt = &b->pkts[i];
		bool is_new;

		fs->netdev[i] = NETDEV_NONE;
		if (pkt->drop || pkt->port_out != p->index)
			continue;
		if (pkt->out == PACKET_OUT_LAN) {
			is_new = last.remote || pkt->nexthop != last.number;
			last.remote = NULL;
		} else if (pkt->out == PACKET_OUT_UDP) {
			is_new = pkt->remote != last.remote;
			last.remote = pkt->remote;
		} else {
			continue;
		}
		if (is_new)
			find_hop(&last, p, w, pkt, b->now_ns);
		prepare(fs, p, w, b, i, &last);
	}
}

static void send_frames(struct frames *fs, struct worker *w, struct batch *b, struct xdp_queue *q,
			uint8_t netdev)
{
	xdp_queue_tx_begin(q);
	for (unsigned i = 0; i < b->n; i++) {
		struct frame *f = &fs->frame[i];
		struct packet *pkt = &b->pkts[i];

		if (fs->netdev[i] != netdev)
			continue;
		if (!xdp_queue_tx_put(q, f->mbuf, f->data, f->len)) {
			packet_drop(pkt, DROP_TX_RING_FULL);
			if (f->mbuf != pkt->mbuf)
				rte_pktmbuf_free(f->mbuf);
			continue;
		}
		if (f->mbuf == pkt->mbuf)
			pkt->mbuf = NULL;
		if (pkt->out == PACKET_OUT_UDP)
			w->stats.tx_outside++;
		else
			w->stats.tx_inside++;
		pkt->out = PACKET_OUT_NONE; /* not for the sockets below */
	}
	xdp_queue_tx_end(q);
}

void xdp_port_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct xdp_port *x = p->priv;
	struct xdp_worker *xw = &x->worker[w->id];
	struct frames fs;

	fs.netdevs = 0;
	prepare_all(&fs, p, w, b);
	for (uint32_t left = fs.netdevs; left; left &= left - 1) {
		uint8_t netdev = (uint8_t)__builtin_ctz(left);

		send_frames(&fs, w, b, xw->tx[netdev], netdev);
	}
	udp_tx(&x->udp, w, b, p->index);
	tun_tx(&x->tun, w, b, p->index);
	/* Buffers have come back: a ring that an empty pool left dry would never wake us. */
	for (unsigned i = 0; i < xw->rx_count; i++)
		if (xw->rx[i]->fill_missing > xw->rx[i]->ring_size / 2)
			xdp_queue_refill(xw->rx[i]);
}
