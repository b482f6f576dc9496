/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare AF_XDP for benchmarks: frames in one memory, a socket on queue 0 of an
 * interface, the shortest XDP program there is (every frame to the socket). What
 * the xdp port adds to this is what perf/xdp.py measures. One thread. Errors end
 * the program with a sentence.
 */
#ifndef PERF_XSK_H
#define PERF_XSK_H

#include <stdbool.h>
#include <stdint.h>

#include <xdp/xsk.h>

#define XSK_FRAME_BYTES 2048u
#define XSK_RING	2048u
#define XSK_BATCH	64u

struct xsk_area {
	uint8_t *base;
	uint32_t frames;
	struct xsk_umem *umem;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion;
	uint32_t free_count;
	uint64_t *free; /* offsets of frames that nobody holds */
	unsigned sockets;
};

struct xsk_end {
	struct xsk_area *area;
	struct xsk_socket *socket;
	int fd, ifindex, map_fd, program_fd;
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	uint32_t tx_pending;
};

void xsk_area_open(struct xsk_area *a, uint32_t frames);
/* is_rx: attaches the program and fills the ring. */
void xsk_end_open(struct xsk_end *e, struct xsk_area *a, const char *ifname, bool is_rx);
void xsk_end_close(struct xsk_end *e);

static inline uint8_t *xsk_data(const struct xsk_area *a, uint64_t addr)
{
	return a->base + addr;
}

/* UINT64_MAX: none left. */
static inline uint64_t xsk_frame(struct xsk_area *a)
{
	return a->free_count ? a->free[--a->free_count] : UINT64_MAX;
}

static inline void xsk_frame_free(struct xsk_area *a, uint64_t addr)
{
	a->free[a->free_count++] = addr / XSK_FRAME_BYTES * XSK_FRAME_BYTES;
}

/* At most max frames, which are the caller's then; keeps the fill ring full. */
unsigned xsk_rx(struct xsk_end *e, struct xdp_desc *out, unsigned max);
/* False: the ring is full and the frame stays the caller's. */
bool xsk_tx(struct xsk_end *e, uint64_t addr, uint32_t len);
/* Sends what was put and takes back what has left. */
void xsk_tx_end(struct xsk_end *e);

#endif
