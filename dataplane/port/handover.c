/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/handover.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

/* As much as a transmit queue holds: what waits longer is better dropped. */
#define RING_FRAMES 512

int handover_open(struct handover *h, const char *name)
{
	h->ring = rte_ring_create(name, RING_FRAMES, SOCKET_ID_ANY, RING_F_SC_DEQ);
	if (!h->ring)
		return rte_errno ? -rte_errno : -ENOMEM;
	h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (h->fd < 0) {
		int rc = -errno;

		rte_ring_free(h->ring);
		h->ring = NULL;
		return rc;
	}
	atomic_store(&h->is_armed, true);
	return 0;
}

void handover_close(struct handover *h)
{
	struct rte_mbuf *m;

	if (!h->ring)
		return;
	while (rte_ring_dequeue(h->ring, (void **)&m) == 0)
		rte_pktmbuf_free(m);
	rte_ring_free(h->ring);
	h->ring = NULL;
	close(h->fd);
	h->fd = -1;
}

unsigned handover_put(struct handover *h, struct rte_mbuf **frames, unsigned n)
{
	unsigned put = rte_ring_mp_enqueue_burst(h->ring, (void **)frames, n, NULL);
	uint64_t one = 1;

	/* Pairs with the fence in handover_take: one of both sees what the other did. */
	atomic_thread_fence(memory_order_seq_cst);
	if (put && atomic_load_explicit(&h->is_armed, memory_order_relaxed) &&
	    atomic_exchange(&h->is_armed, false) && write(h->fd, &one, sizeof(one)) < 0)
		return put; /* it is readable already */
	return put;
}

unsigned handover_take(struct handover *h, struct rte_mbuf **frames, unsigned max)
{
	unsigned n = rte_ring_sc_dequeue_burst(h->ring, (void **)frames, max, NULL);
	uint64_t count;

	if (n)
		return n;
	/* What was written until now is known; then those who put are asked to write. */
	if (read(h->fd, &count, sizeof(count)) < 0)
		count = 0;
	atomic_store_explicit(&h->is_armed, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return rte_ring_sc_dequeue_burst(h->ring, (void **)frames, max, NULL);
}
