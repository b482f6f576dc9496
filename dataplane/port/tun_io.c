/* SPDX-License-Identifier: Apache-2.0 */
/* Receive and send of a TUN queue: the system calls around split and coalesce. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "dataplane/port/tun.h"
#include "dataplane/port/tun_arena.h"
#include "dataplane/worker.h"
#include "lib/base/bug.h"

/* Packets that cannot be split take no place in a batch: bound them all the same. */
#define READS_MAX    (2 * BATCH_MAX)
#define FULL_POLL_MS 1

/* Where the current call writes. */
struct arena {
	uint8_t *base;
	uint32_t used;
};

static uint8_t *arena_place(const struct arena *a)
{
	return a->base + a->used + PACKET_HEADROOM;
}

static bool arena_has_room(const struct arena *a, uint32_t len)
{
	return a->used + PACKET_HEADROOM + len + PACKET_TAILROOM <= TUN_ARENA_HALF_BYTES;
}

/* The bytes at arena_place() become a packet of the batch. */
static struct packet *arena_commit(struct arena *a, struct batch *b, uint32_t len)
{
	struct packet *p = batch_add(b);

	p->data = arena_place(a);
	p->len = (uint16_t)len;
	p->kind = PACKET_INNER;
	p->headroom = PACKET_HEADROOM;
	p->tailroom = PACKET_TAILROOM;
	a->used += (PACKET_HEADROOM + len + PACKET_TAILROOM + 63u) & ~63u;
	return p;
}

/* Takes segments until the super-packet or the room is used up. */
static void take_segments(struct tun_queue *q, struct arena *a, struct batch *b)
{
	uint8_t leader = (uint8_t)b->n;
	struct packet *p = NULL;
	uint32_t len;

	while ((len = tun_split_room(&q->split)) && b->n < BATCH_MAX && arena_has_room(a, len)) {
		tun_split_next(&q->split, arena_place(a));
		p = arena_commit(a, b, len);
		p->leader = leader;
		p->seg_size = q->split.gso_size;
	}
	q->is_splitting = len != 0;
	if (p && !q->is_splitting)
		p->flags |= PACKET_SEG_LAST;
}

static ssize_t read_packet(struct tun_queue *q, struct worker *w, struct virtio_net_hdr *vnet,
			   uint8_t *place)
{
	struct iovec iov[2] = {{vnet, sizeof(*vnet)}, {place, TUN_LANDING_BYTES}};
	ssize_t n;

	do {
		n = readv(q->fd, iov, 2);
		w->stats.rx_tun_calls++;
	} while (n < 0 && errno == EINTR);
	return n;
}

/* One read. False: nothing is there. */
static bool take_one(struct tun_queue *q, struct worker *w, struct arena *a, struct batch *b)
{
	struct virtio_net_hdr vnet;
	uint8_t *place = arena_place(a);
	ssize_t n = read_packet(q, w, &vnet, place);
	uint32_t len;
	int kind;

	if (n < 0)
		return false;
	if (n <= TUN_VNET_BYTES || n > (ssize_t)(TUN_VNET_BYTES + TUN_PACKET_MAX)) {
		w->stats.drop[n <= TUN_VNET_BYTES ? DROP_RX_BAD_GSO : DROP_RX_TRUNCATED]++;
		return true;
	}
	len = (uint32_t)n - TUN_VNET_BYTES;
	kind = tun_split_open(&q->split, &vnet, place, len);
	if (kind == TUN_SPLIT_SINGLE) {
		arena_commit(a, b, len);
	} else if (kind == TUN_SPLIT_SUPER) {
		/* The segments go behind the landing place. */
		a->used += (PACKET_HEADROOM + len + 63u) & ~63u;
		q->split_half = q->half;
		take_segments(q, a, b);
	} else {
		w->stats.drop[DROP_RX_BAD_GSO]++;
	}
	return true;
}

unsigned tun_rx(struct tun *t, struct worker *w, struct batch *b)
{
	struct tun_queue *q = &t->queue[w->id];
	struct arena a = {0};
	unsigned had = b->n;
	unsigned reads = 0;

	if (q->is_splitting)
		q->half = !q->split_half;
	a.base = q->arena + (size_t)q->half * TUN_ARENA_HALF_BYTES;
	if (q->is_splitting)
		take_segments(q, &a, b);
	while (b->n < BATCH_MAX && !q->is_splitting && reads++ < READS_MAX &&
	       arena_has_room(&a, TUN_LANDING_BYTES)) {
		if (!take_one(q, w, &a, b))
			break;
	}
	w->stats.rx_inside += b->n - had;
	return b->n - had;
}

static int write_run(struct tun_queue *q, struct worker *w, struct batch *b, unsigned index)
{
	struct iovec iov[TUN_RUN_IOVECS];
	int n = (int)tun_coalesce_iovec(&q->runs, b, index, iov);
	bool has_waited = false;

	for (;;) {
		struct pollfd pfd = {.fd = q->fd, .events = POLLOUT};

		w->stats.tx_tun_calls++;
		if (writev(q->fd, iov, n) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN || has_waited)
			return -errno;
		has_waited = true;
		poll(&pfd, 1, FULL_POLL_MS);
	}
}

static void drop_run(const struct tun_runs *runs, struct batch *b, const struct tun_run *run,
		     int error)
{
	bool is_full = error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM;
	unsigned i = run->first;

	for (unsigned k = 0; k < run->count; k++) {
		packet_drop(&b->pkts[i], is_full ? DROP_TX_TUN_FULL : DROP_TX_TUN_ERROR);
		i = runs->next[i];
	}
}

void tun_tx(struct tun *t, struct worker *w, struct batch *b, uint8_t port)
{
	struct tun_queue *q = &t->queue[w->id];

	tun_coalesce_batch(&q->runs, b, port, t->has_tso, t->has_uso);
	for (unsigned r = 0; r < q->runs.count; r++) {
		const struct tun_run *run = &q->runs.run[r];
		int rc = write_run(q, w, b, r);

		if (rc)
			drop_run(&q->runs, b, run, rc);
		else
			w->stats.tx_inside += run->count;
	}
}
