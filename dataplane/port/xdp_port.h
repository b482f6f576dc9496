/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The xdp port's own structs; internal to port_xdp.c, xdp_tx.c and xdp_show.c.
 *
 *            wan0: q0   q1          lan0: q0   q1
 *   worker 0     rx tx                        rx tx
 *   worker 1          rx tx           rx tx
 *
 * Each queue is received by one worker. A worker sends to an interface on a queue
 * that it receives itself; where an interface has fewer queues than there are
 * workers some share one, under its lock.
 */
#ifndef DATAPLANE_PORT_XDP_PORT_H
#define DATAPLANE_PORT_XDP_PORT_H

#include "dataplane/port/frame.h"
#include "dataplane/port/port.h"
#include "dataplane/port/tun.h"
#include "dataplane/port/udp.h"
#include "dataplane/port/xdp_queue.h"
#include "dataplane/port/xdp_steer.h"

/* TUN and both UDP sockets come first, the lanes' behind. */
#define XDP_PORT_RX_MAX (PORT_SOURCES_MAX - 3 - UDP_FAMILIES * LANE_MAX)

struct xdp_worker {
	unsigned rx_count;
	struct xdp_queue *rx[XDP_PORT_RX_MAX];
	struct xdp_queue *tx[PORT_NETDEVS_MAX]; /* by netdev */
	struct frame_outer outer;
	struct dpapi_addr remote[XDP_PORT_RX_MAX][BATCH_MAX];
} __attribute__((aligned(64)));

struct xdp_port {
	struct tun tun;
	struct udp_group udp;
	struct xdp_steer steer;
	struct xdp_area area;
	bool has_multi_buffer;
	unsigned queue_count;
	struct xdp_queue *queue;
	unsigned worker_count;
	struct xdp_worker *worker;
};

/* port_ops.tx */
void xdp_port_tx(struct port *p, struct worker *w, struct batch *b);
/* port_ops.show */
void xdp_port_show(struct port *p, struct json_out *js);

#endif
