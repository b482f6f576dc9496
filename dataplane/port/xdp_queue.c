/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/xdp_queue.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "lib/base/bug.h"
#include "lib/base/clock.h"

#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif

#define PAGE_BYTES     4096ull
#define UMEM_CHUNK_MIN 2048u /* the kernel's limits for a chunk in unaligned mode */
#define FILL_BATCH     64
#define RETRY_SLEEP_NS (5 * NS_PER_MS)
/* One call sends 32 frames in copy mode: a ring takes 64 calls at most. */
#define KICKS_MAX    (XDP_QUEUE_RING_MAX / 32 + 4)
#define FULL_POLL_MS 1

struct span {
	uintptr_t first, end;
	uint64_t bytes; /* sum of the pieces */
};

static void span_add(struct rte_mempool *pool, void *arg, struct rte_mempool_memhdr *hdr,
		     unsigned index)
{
	struct span *s = arg;
	uintptr_t at = (uintptr_t)hdr->addr;

	if (!s->first || at < s->first)
		s->first = at;
	if (at + hdr->len > s->end)
		s->end = at + hdr->len;
	s->bytes += hdr->len;
}

int xdp_area_init(struct xdp_area *a, struct rte_mempool *pool)
{
	struct span s = {0};
	uint32_t room = rte_pktmbuf_data_room_size(pool);

	rte_mempool_mem_iter(pool, span_add, &s);
	/* Pieces may lie a page apart where memory segments meet, but no more. */
	if (!s.bytes || s.end - s.first > s.bytes + s.bytes / 8)
		return -ENOTSUP;
	if (room < UMEM_CHUNK_MIN || room > XDP_QUEUE_CHUNK_MAX)
		return -ENOTSUP;
	*a = (struct xdp_area){
		.pool = pool,
		.base = (uint8_t *)(s.first & ~(PAGE_BYTES - 1)),
		.chunk_bytes = room,
		.frame_bytes = room - XDP_QUEUE_HEADROOM,
		.mbuf_offset = (uint32_t)sizeof(struct rte_mbuf) + rte_pktmbuf_priv_size(pool),
	};
	a->bytes = ((s.end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)) - (uintptr_t)a->base;
	return 0;
}

static struct rte_mbuf *mbuf_at(const struct xdp_area *a, uint64_t addr)
{
	return (struct rte_mbuf *)(a->base + (addr & XDP_QUEUE_ADDR_MASK) - a->mbuf_offset);
}

static uint64_t addr_of(const struct xdp_area *a, const struct rte_mbuf *m)
{
	return (uint64_t)((uint8_t *)m->buf_addr - a->base);
}

/* Gives the kernel up to want buffers; fewer if the pool or the ring has no more. */
static unsigned fill(struct xdp_queue *q, unsigned want)
{
	void *m[FILL_BATCH];
	uint32_t at = 0;
	unsigned n = want < FILL_BATCH ? want : FILL_BATCH;

	/* Untouched: a frame's mbuf is as the pool holds it, and cold. */
	if (!n || rte_mempool_get_bulk(q->area->pool, m, n))
		return 0;
	if (xsk_ring_prod__reserve(&q->fill, n, &at) != n) {
		rte_mempool_put_bulk(q->area->pool, m, n);
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&q->fill, at + i) =
			(uint64_t)((uint8_t *)m[i] + q->area->mbuf_offset - q->area->base);
	xsk_ring_prod__submit(&q->fill, n);
	return n;
}

void xdp_queue_refill(struct xdp_queue *q)
{
	while (q->fill_missing) {
		unsigned n = fill(q, q->fill_missing);

		if (!n)
			break;
		q->fill_missing -= n;
	}
	if (xsk_ring_prod__needs_wakeup(&q->fill))
		recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static int umem_create(struct xdp_queue *q)
{
	struct xsk_umem_config config = {
		.fill_size = q->ring_size,
		.comp_size = q->ring_size,
		.frame_size = q->area->chunk_bytes,
		.flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG,
	};

	return xsk_umem__create(&q->umem, q->area->base, q->area->bytes, &q->fill, &q->completion,
				&config);
}

static int socket_create(struct xdp_queue *q, const char *ifname, bool is_copy)
{
	struct xsk_socket_config config = {
		.rx_size = q->ring_size,
		.tx_size = q->ring_size,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		/* Without XDP_COPY the kernel tries zero copy first. */
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | (is_copy ? XDP_COPY : 0)),
	};

	return xsk_socket__create(&q->socket, ifname, q->queue, q->umem, &q->rx, &q->tx, &config);
}

static int create(struct xdp_queue *q, const char *ifname, bool is_copy)
{
	int rc = umem_create(q);

	if (rc)
		return rc;
	rc = socket_create(q, ifname, is_copy);
	if (rc) {
		q->socket = NULL;
		xsk_umem__delete(q->umem);
		q->umem = NULL;
	}
	return rc;
}

static void read_options(struct xdp_queue *q)
{
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);
	int bytes = XDP_QUEUE_SNDBUF;

	if (!getsockopt(q->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		q->is_zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int xdp_queue_open(struct xdp_queue *q, struct xdp_area *a, const char *ifname, uint16_t queue,
		   uint32_t ring_size, bool is_copy)
{
	uint64_t until_ns = clock_now_ns() + XDP_QUEUE_RETRY_NS;
	struct timespec pause = {.tv_nsec = RETRY_SLEEP_NS};
	int rc;

	*q = (struct xdp_queue){.area = a, .queue = queue, .ring_size = ring_size, .fd = -1};
	rte_spinlock_init(&q->tx_lock);
	while ((rc = create(q, ifname, is_copy)) == -EBUSY && clock_now_ns() < until_ns)
		nanosleep(&pause, NULL);
	if (rc)
		return rc;
	q->fd = xsk_socket__fd(q->socket);
	read_options(q);
	q->fill_missing = ring_size;
	xdp_queue_refill(q);
	if (q->fill_missing == ring_size) {
		xdp_queue_close(q);
		return -ENOMEM;
	}
	return 0;
}

/* Buffers that lie in the rings, seen by nobody else any more. */
static void reclaim(struct xdp_queue *q)
{
	uint32_t at = 0, n;

	n = xsk_ring_cons__peek(&q->rx, q->ring_size, &at);
	for (uint32_t i = 0; i < n; i++)
		rte_pktmbuf_free(mbuf_at(q->area, xsk_ring_cons__rx_desc(&q->rx, at + i)->addr));
	xsk_ring_cons__release(&q->rx, n);
	n = xsk_ring_cons__peek(&q->completion, q->ring_size, &at);
	for (uint32_t i = 0; i < n; i++)
		rte_pktmbuf_free(
			mbuf_at(q->area, *xsk_ring_cons__comp_addr(&q->completion, at + i)));
	xsk_ring_cons__release(&q->completion, n);
}

void xdp_queue_close(struct xdp_queue *q)
{
	if (q->socket) {
		uint32_t filled = *q->fill.producer;
		uint32_t taken;

		reclaim(q);
		/*
		 * The program is detached and the queue is silent: what the kernel
		 * has not taken from the fill ring it will not take any more.
		 */
		taken = __atomic_load_n(q->fill.consumer, __ATOMIC_ACQUIRE);
		for (; taken != filled; taken++)
			rte_pktmbuf_free(
				mbuf_at(q->area, *xsk_ring_prod__fill_addr(&q->fill, taken)));
		xsk_socket__delete(q->socket);
	}
	if (q->umem)
		xsk_umem__delete(q->umem);
	q->socket = NULL;
	q->umem = NULL;
	q->fd = -1;
}

unsigned xdp_queue_rx(struct xdp_queue *q, struct frame *out, unsigned max)
{
	uint32_t at = 0;
	unsigned n = xsk_ring_cons__peek(&q->rx, max, &at);

	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&q->rx, at + i);

		out[i].start = q->area->base + (d->addr & XDP_QUEUE_ADDR_MASK);
		out[i].end = out[i].start + q->area->chunk_bytes;
		out[i].mbuf = (struct rte_mbuf *)(out[i].start - q->area->mbuf_offset);
		out[i].data = out[i].start + (d->addr >> XSK_UNALIGNED_BUF_OFFSET_SHIFT);
		out[i].len = d->len;
		out[i].is_sum_ok = false;
		/* All of it, into L2: the cipher comes to it some packets later. */
		for (uint32_t k = 0; k < d->len; k += 64)
			__builtin_prefetch(out[i].data + k, 0, 2);
	}
	if (n) {
		xsk_ring_cons__release(&q->rx, n);
		q->fill_missing += n;
	}
	/* In whole batches, unless the ring is about to run dry. */
	if (q->fill_missing >= FILL_BATCH || (!n && q->fill_missing))
		xdp_queue_refill(q);
	else if (!n && xsk_ring_prod__needs_wakeup(&q->fill))
		recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	return n;
}

static void take_completions(struct xdp_queue *q)
{
	void *m[FILL_BATCH];
	uint32_t at = 0;
	unsigned n;

	while (q->tx_flying && (n = xsk_ring_cons__peek(&q->completion, FILL_BATCH, &at))) {
		for (unsigned i = 0; i < n; i++)
			m[i] = mbuf_at(q->area, *xsk_ring_cons__comp_addr(&q->completion, at + i));
		xsk_ring_cons__release(&q->completion, n);
		q->tx_flying -= n;
		/* Single, direct, with one owner, as they were given to the ring. */
		rte_mempool_put_bulk(q->area->pool, m, n);
	}
}

void xdp_queue_tx_begin(struct xdp_queue *q)
{
	if (q->is_tx_shared)
		rte_spinlock_lock(&q->tx_lock);
	take_completions(q);
}

bool xdp_queue_tx_put(struct xdp_queue *q, struct rte_mbuf *m, const uint8_t *data, uint32_t len)
{
	uint64_t offset = (uint64_t)(data - (uint8_t *)m->buf_addr);
	struct xdp_desc *d;
	uint32_t at = 0;

	BUG_ON_HOT(offset + len > m->buf_len);
	/* As many in flight as the completion ring can bring back. */
	if (q->tx_flying + q->tx_pending >= q->ring_size ||
	    xsk_ring_prod__reserve(&q->tx, 1, &at) != 1)
		return false;
	d = xsk_ring_prod__tx_desc(&q->tx, at);
	d->addr = addr_of(q->area, m) | offset << XSK_UNALIGNED_BUF_OFFSET_SHIFT;
	d->len = len;
	d->options = 0;
	q->tx_pending++;
	return true;
}

/*
 * Copy mode sends in the call, some frames each time; EAGAIN says that there are
 * more or that the socket's buffer is used up, which passes as frames are taken.
 */
static void kick(struct xdp_queue *q)
{
	bool has_waited = false;

	for (unsigned i = 0; i < KICKS_MAX && xsk_ring_prod__needs_wakeup(&q->tx); i++) {
		struct pollfd pfd = {.fd = q->fd, .events = POLLOUT};

		if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return;
		if (errno == ENOBUFS || errno == EBUSY) {
			if (has_waited)
				return;
			has_waited = true;
			poll(&pfd, 1, FULL_POLL_MS);
		} else if (errno != EAGAIN && errno != EINTR) {
			return; /* ENETDOWN, ENXIO: frames wait until the interface is back */
		}
	}
}

void xdp_queue_tx_end(struct xdp_queue *q)
{
	if (q->tx_pending) {
		xsk_ring_prod__submit(&q->tx, q->tx_pending);
		q->tx_flying += q->tx_pending;
		q->tx_pending = 0;
		kick(q);
	} else if (q->tx_flying >= q->ring_size) {
		/* Left over from when the interface was down: nothing else would send them. */
		kick(q);
	}
	if (q->is_tx_shared)
		rte_spinlock_unlock(&q->tx_lock);
}

bool xdp_queue_has_multi_buffer(void)
{
	/* Flags are looked at before the interface: one that does not exist tells. */
	struct sockaddr_xdp name = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_USE_SG};
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	bool has = false;

	if (fd < 0)
		return false;
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		has = errno != EINVAL;
	close(fd);
	return has;
}
