/* SPDX-License-Identifier: Apache-2.0 */
/* Sending on the dpdk port: frames into the ethdevs' queues, the rest to the kernel. */
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/dataplane.h"
#include "dataplane/port/dpdk_port.h"
#include "dataplane/port/frame_tx.h"
#include "lib/wire/ether.h"
#include "lib/wire/ip.h"

void dpdk_port_to_kernel(struct dpdk_port *x, struct dpdk_worker *dw, unsigned netdev,
			 const void *frame, uint32_t len)
{
	if (exception_write(&x->tap[netdev], frame, len))
		dw->counts.to_kernel++;
	else
		dw->counts.to_kernel_lost++;
}

/* To the queue, or to the worker that has it. */
static unsigned burst(struct dpdk_port *x, unsigned worker, unsigned netdev,
		      struct rte_mbuf **frames, unsigned n)
{
	struct dpdk_worker *dw = &x->worker[worker];
	const struct dpdk_tx *tx = &dw->tx[netdev];
	unsigned put;

	if (!tx->handover)
		return rte_eth_tx_burst(x->dev[netdev].ethdev, tx->queue, frames, (uint16_t)n);
	put = handover_put(tx->handover, frames, n);
	dw->counts.handed_over += put;
	return put;
}

unsigned dpdk_port_send(struct dpdk_port *x, unsigned worker, unsigned netdev,
			struct rte_mbuf **frames, unsigned n)
{
	unsigned sent = burst(x, worker, netdev, frames, n);

	for (unsigned i = sent; i < n; i++)
		rte_pktmbuf_free(frames[i]);
	return sent;
}

/* The mbuf says what the frame says. */
static struct rte_mbuf *dress(const struct frame *f)
{
	struct rte_mbuf *m = f->mbuf;

	m->data_off = (uint16_t)(f->data - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)f->len;
	m->pkt_len = f->len;
	m->ol_flags = 0;
	if (f->is_sum_partial) {
		m->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
		m->l2_len = ETHER_HEADER_BYTES;
		m->l3_len = IP_V6_HEADER_BYTES;
	}
	return m;
}

static void send_frames(struct frame_tx *fs, struct dpdk_port *x, struct worker *w, struct batch *b,
			uint8_t netdev)
{
	struct rte_mbuf *m[BATCH_MAX];
	uint8_t packet[BATCH_MAX];
	unsigned n = 0, sent;

	for (unsigned i = 0; i < b->n; i++) {
		if (fs->netdev[i] != netdev)
			continue;
		m[n] = dress(&fs->frame[i]);
		packet[n++] = (uint8_t)i;
	}
	sent = burst(x, w->id, netdev, m, n);
	for (unsigned k = 0; k < n; k++) {
		if (k < sent)
			frame_tx_sent(fs, w, b, packet[k]);
		else
			frame_tx_failed(fs, b, packet[k], DROP_TX_RING_FULL);
	}
}

/*
 * What came off a LAN and is not the mesh's, or is too big for it: the kernel gets
 * the frame as it came, on the interface that it came by.
 */
static void return_frames(struct port *p, struct worker *w, struct batch *b)
{
	struct dpdk_port *x = p->priv;

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *pkt = &b->pkts[i];

		if (pkt->drop || pkt->port_out != p->index || pkt->out != PACKET_OUT_TUN ||
		    !(pkt->flags & PACKET_FROM_LAN) || !pkt->mbuf)
			continue;
		dpdk_port_to_kernel(x, &x->worker[w->id], pkt->mbuf->port,
				    pkt->data - ETHER_HEADER_BYTES,
				    pkt->len + (uint32_t)ETHER_HEADER_BYTES);
		pkt->out = PACKET_OUT_NONE;
	}
}

void dpdk_port_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct dpdk_port *x = p->priv;
	struct frame_tx fs;

	frame_tx_prepare(&fs, p, w, b, &x->worker[w->id].outer, x->pool);
	for (uint32_t left = fs.netdevs; left; left &= left - 1)
		send_frames(&fs, x, w, b, (uint8_t)__builtin_ctz(left));
	return_frames(p, w, b);
	udp_tx(&x->udp, w, b, p->index);
	tun_tx(&x->tun, w, b, p->index);
}
