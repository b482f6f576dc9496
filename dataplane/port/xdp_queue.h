/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One AF_XDP socket: a receive and a transmit queue of one interface. Its memory
 * (umem) is the packet pool's, so that a frame is an mbuf:
 *
 *   pool   | hdr | rte_mbuf | 256 B kernel | frame ....... room | hdr | rte_mbuf | ...
 *                           ^ buf_addr = what the rings name    ^ buf_addr + buf_len
 *
 * The rings hold offsets of buf_addr from the umem's start, in unaligned mode the
 * frame's own offset in the upper 16 bits. The kernel leaves XDP_QUEUE_HEADROOM
 * free before a frame, which is more than our outer headers need.
 *
 * Who owns a buffer: the kernel from fill to receive and from transmit to
 * completion; we otherwise.
 *
 * Threads: open, close, show: control thread. Receive and fill: the worker that
 * owns the queue. Transmit: any worker to which the port gave the queue; where
 * that are several, between tx_begin and tx_end under the queue's lock, which an
 * owner of its own queue never meets.
 */
#ifndef DATAPLANE_PORT_XDP_QUEUE_H
#define DATAPLANE_PORT_XDP_QUEUE_H

#include <linux/if_xdp.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_spinlock.h>
#include <xdp/xsk.h>

#include "dataplane/port/frame.h"

#define XDP_QUEUE_HEADROOM  256 /* XDP_PACKET_HEADROOM of the kernel */
#define XDP_QUEUE_RING_MAX  2048
#define XDP_QUEUE_RING_MIN  64
#define XDP_QUEUE_RETRY_NS  (3ull * 1000000000ull) /* a queue just closed is busy for a while */
#define XDP_QUEUE_SNDBUF    (8 << 20) /* copy mode charges every frame in flight to the socket */
#define XDP_QUEUE_CHUNK_MAX 4096      /* data room of an mbuf, the kernel's limit */
#define XDP_QUEUE_ADDR_MASK XSK_UNALIGNED_BUF_ADDR_MASK

/* The pool as the kernel gets it. Control thread, once a port. */
struct xdp_area {
	struct rte_mempool *pool;
	uint8_t *base; /* page-aligned */
	uint64_t bytes;
	uint32_t frame_bytes; /* longest frame that fits into a received mbuf */
	uint32_t mbuf_offset; /* of the mbuf in front of its buf_addr */
	uint32_t chunk_bytes; /* data room of an mbuf */
};

struct xdp_queue {
	struct xdp_area *area;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	int fd;
	uint16_t queue;
	uint8_t netdev; /* index into the port's netdevs */
	uint8_t worker; /* that receives */
	bool is_zero_copy;
	bool has_tx;	   /* the interface has a transmit queue of this number */
	bool is_tx_shared; /* several workers send on it */
	uint32_t ring_size;

	/* Of the receiving worker. */
	struct xsk_ring_cons rx __attribute__((aligned(64)));
	struct xsk_ring_prod fill;
	uint32_t fill_missing; /* buffers that the fill ring should get */

	/* Of whoever sends. */
	rte_spinlock_t tx_lock __attribute__((aligned(64)));
	struct xsk_ring_prod tx;
	struct xsk_ring_cons completion;
	uint32_t tx_pending; /* put, but not yet made visible */
	uint32_t tx_flying;  /* given to the kernel and not completed */
} __attribute__((aligned(64)));

/* 0; -ENOTSUP: the pool's memory is in pieces, or its mbufs are too small or large. */
int xdp_area_init(struct xdp_area *a, struct rte_mempool *pool);

/*
 * Opens and fills; retries while the queue is busy. is_copy: do not try zero
 * copy. 0 or a negative errno.
 */
int xdp_queue_open(struct xdp_queue *q, struct xdp_area *a, const char *ifname, uint16_t queue,
		   uint32_t ring_size, bool is_copy);
/* Buffers that the kernel still has in flight go with the pool. */
void xdp_queue_close(struct xdp_queue *q);

/* At most max frames; the caller owns their mbufs. Keeps the fill ring full. */
unsigned xdp_queue_rx(struct xdp_queue *q, struct frame *out, unsigned max);
/* Gives the kernel the buffers that an empty pool once denied. Owner. */
void xdp_queue_refill(struct xdp_queue *q);

/* Takes back what was sent; then put, put, ... */
void xdp_queue_tx_begin(struct xdp_queue *q);
/* data..len inside the mbuf. False: the ring is full, the mbuf stays the caller's. */
bool xdp_queue_tx_put(struct xdp_queue *q, struct rte_mbuf *m, const uint8_t *data, uint32_t len);
void xdp_queue_tx_end(struct xdp_queue *q);

/* Does the kernel take frames of several buffers (XDP_USE_SG, Linux 6.6)? Not used here. */
bool xdp_queue_has_multi_buffer(void);

#endif
