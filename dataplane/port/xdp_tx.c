/* SPDX-License-Identifier: Apache-2.0 */
/* Sending on the xdp port: frames into the rings, the rest to the sockets. */
#include "dataplane/dataplane.h"
#include "dataplane/port/frame_tx.h"
#include "dataplane/port/xdp_port.h"

static void send_frames(struct frame_tx *fs, struct worker *w, struct batch *b, struct xdp_queue *q,
			uint8_t netdev)
{
	xdp_queue_tx_begin(q);
	for (unsigned i = 0; i < b->n; i++) {
		const struct frame *f = &fs->frame[i];

		if (fs->netdev[i] != netdev)
			continue;
		if (xdp_queue_tx_put(q, f->mbuf, f->data, f->len))
			frame_tx_sent(fs, w, b, i);
		else
			frame_tx_failed(fs, b, i, DROP_TX_RING_FULL);
	}
	xdp_queue_tx_end(q);
}

void xdp_port_tx(struct port *p, struct worker *w, struct batch *b)
{
	struct xdp_port *x = p->priv;
	struct xdp_worker *xw = &x->worker[w->id];
	struct frame_tx fs;

	frame_tx_prepare(&fs, p, w, b, &xw->outer, x->area.pool);
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
