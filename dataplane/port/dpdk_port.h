/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dpdk port's own structs; internal to port_dpdk.c, dpdk_rx.c, dpdk_tx.c and
 * dpdk_show.c.
 *
 *            net_a: rx0   rx1   tx0   tx1   TAP      net_b: rx0  tx0  TAP
 *   worker 0        x           x           x
 *   worker 1              x           x                     x    x    x
 *
 * Each queue, and the reading end of each TAP, has one worker. One without a transmit
 * queue of a device hands its frames to one that has (handover.h), unless the device
 * takes frames of several at once.
 */
#ifndef DATAPLANE_PORT_DPDK_PORT_H
#define DATAPLANE_PORT_DPDK_PORT_H

#include <stdatomic.h>

#include "dataplane/port/dpdk_dev.h"
#include "dataplane/port/exception.h"
#include "dataplane/port/flood.h"
#include "dataplane/port/frame.h"
#include "dataplane/port/handover.h"
#include "dataplane/port/port.h"
#include "dataplane/port/tun.h"
#include "dataplane/port/udp.h"

/* Sources of a worker behind the TUN and the sockets. */
#define DPDK_PORT_QUEUES_MAX 12

enum dpdk_source_kind {
	DPDK_SOURCE_QUEUE,    /* frames of an ethdev */
	DPDK_SOURCE_TAP,      /* frames of the kernel */
	DPDK_SOURCE_HANDOVER, /* frames of other workers */
};

struct dpdk_source {
	uint8_t kind; /* enum dpdk_source_kind */
	uint8_t netdev;
	uint16_t queue;
};

/* X(name, fault, sentence): what is no packet of ours; port_ops.counters. */
#define DPDK_COUNTS(X)                                                                             \
	X(to_kernel, 0, "frames of the ethdevs that are the kernel's")                             \
	X(to_kernel_lost, 1, "such frames that the TAP did not take")                              \
	X(from_kernel, 0, "frames that the kernel sends by the ethdevs")                           \
	X(from_kernel_lost, 0, "such frames for which the ethdev had no room")                     \
	X(handed_over, 0, "frames given to the worker that owns the transmit queue")               \
	X(handed_over_lost, 0, "such frames for which the ethdev had no room")                     \
	X(other_mac, 0, "frames to another station")                                               \
	X(in_pieces, 1, "frames in several buffers")                                               \
	X(runt, 1, "frames shorter than an Ethernet header")                                       \
	X(flood_source, 0, "handshake messages above the limit of their source")                   \
	X(flood_total, 0, "handshake messages above the limit of all sources")

struct dpdk_counts {
#define X(name, fault, help) uint64_t name;
	DPDK_COUNTS(X)
#undef X
};

struct dpdk_worker {
	unsigned source_count;
	struct dpdk_source source[DPDK_PORT_QUEUES_MAX];
	struct dpdk_tx {
		uint16_t queue;		   /* of ours, or of the other's */
		struct handover *handover; /* to the other, or NULL */
	} tx[PORT_NETDEVS_MAX];		   /* by netdev */
	struct frame_outer outer;
	struct dpdk_counts counts;
	struct dpapi_addr remote[DPDK_PORT_QUEUES_MAX][BATCH_MAX];
} __attribute__((aligned(64)));

struct dpdk_port {
	struct tun tun;
	struct udp_group udp;
	struct rte_mempool *pool;
	bool is_polled_always;
	bool accepts_any;
	unsigned dev_count;
	struct dpdk_dev dev[PORT_NETDEVS_MAX]; /* by netdev */
	struct exception tap[PORT_NETDEVS_MAX];
	_Atomic uint64_t mac[PORT_NETDEVS_MAX]; /* six bytes as they lie in memory */
	struct flood *flood;
	unsigned handover_count;
	struct handover *handover; /* [devices * workers]: by device, then owner */
	unsigned worker_count;
	struct dpdk_worker *worker;
};

/* port_ops.rx of one of the worker's sources. */
unsigned dpdk_port_rx(struct port *p, struct worker *w, unsigned i, struct batch *b);
/* port_ops.tx */
void dpdk_port_tx(struct port *p, struct worker *w, struct batch *b);
/* Sends on a queue of the worker's own; frees what it does not take. Returns how many it took. */
unsigned dpdk_port_send(struct dpdk_port *x, unsigned worker, unsigned netdev,
			struct rte_mbuf **frames, unsigned n);
/* Into the TAP, counted; the caller keeps the bytes. */
void dpdk_port_to_kernel(struct dpdk_port *x, struct dpdk_worker *dw, unsigned netdev,
			 const void *frame, uint32_t len);
/* port_ops.counters */
unsigned dpdk_port_counters(struct port *p, struct port_counter *out);
/* port_ops.show */
void dpdk_port_show(struct port *p, struct json_out *js);

#endif
