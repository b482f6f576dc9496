/* SPDX-License-Identifier: Apache-2.0 */
/* See staging.h. One worker, no locks. */
#include "dataplane/staging.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

#define SLOT_NONE   0xffffffffu
#define QUEUE_COUNT STAGING_PEERS_MAX

struct slot {
	uint32_t next;
	uint16_t len;
	uint64_t since_ns;
};

struct queue {
	uint32_t peer; /* PEER_NONE = free */
	uint32_t count;
	uint32_t head, tail;
};

struct staging {
	uint32_t slot_bytes; /* headroom and tailroom included */
	uint32_t free_head;
	uint32_t taken_head; /* given out by staging_take, not released yet */
	unsigned count;
	struct queue queue[QUEUE_COUNT];
	struct slot slot[STAGING_SLOTS];
	uint8_t *bytes;
};

struct staging *staging_new(uint32_t slot_bytes)
{
	struct staging *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->slot_bytes = PACKET_HEADROOM + slot_bytes + PACKET_TAILROOM;
	/* Untouched pages of a large calloc cost nothing until a packet waits. */
	s->bytes = calloc(STAGING_SLOTS, s->slot_bytes);
	if (!s->bytes) {
		free(s);
		return NULL;
	}
	for (uint32_t i = 0; i < STAGING_SLOTS; i++)
		s->slot[i].next = i + 1 < STAGING_SLOTS ? i + 1 : SLOT_NONE;
	s->taken_head = SLOT_NONE;
	return s;
}

void staging_free(struct staging *s)
{
	if (!s)
		return;
	free(s->bytes);
	free(s);
}

static uint32_t queue_home(uint32_t peer)
{
	return (peer * 0x9e3779b1u) >> 23; /* the top 9 bits: QUEUE_COUNT */
}

static struct queue *queue_find(struct staging *s, uint32_t peer)
{
	for (unsigned i = 0; i < QUEUE_COUNT; i++) {
		struct queue *q = &s->queue[(queue_home(peer) + i) & (QUEUE_COUNT - 1)];

		if (q->peer == peer)
			return q;
		if (q->peer == PEER_NONE)
			return NULL;
	}
	return NULL;
}

static struct queue *queue_get(struct staging *s, uint32_t peer)
{
	for (unsigned i = 0; i < QUEUE_COUNT; i++) {
		struct queue *q = &s->queue[(queue_home(peer) + i) & (QUEUE_COUNT - 1)];

		if (q->peer == peer)
			return q;
		if (q->peer == PEER_NONE) {
			*q = (struct queue){.peer = peer, .head = SLOT_NONE, .tail = SLOT_NONE};
			return q;
		}
	}
	return NULL;
}

/* Frees an empty queue and closes the gap in its probe sequence. */
static void queue_remove(struct staging *s, struct queue *q)
{
	uint32_t hole = (uint32_t)(q - s->queue);

	q->peer = PEER_NONE;
	for (uint32_t i = (hole + 1) & (QUEUE_COUNT - 1); s->queue[i].peer != PEER_NONE;
	     i = (i + 1) & (QUEUE_COUNT - 1)) {
		uint32_t home = queue_home(s->queue[i].peer);

		/* May stay if its home lies cyclically behind the hole. */
		if (((i - home) & (QUEUE_COUNT - 1)) < ((i - hole) & (QUEUE_COUNT - 1)))
			continue;
		s->queue[hole] = s->queue[i];
		s->queue[i].peer = PEER_NONE;
		hole = i;
	}
}

static uint8_t *slot_data(struct staging *s, uint32_t i)
{
	return s->bytes + (size_t)i * s->slot_bytes + PACKET_HEADROOM;
}

static uint32_t queue_pop(struct staging *s, struct queue *q)
{
	uint32_t i = q->head;

	q->head = s->slot[i].next;
	if (q->head == SLOT_NONE)
		q->tail = SLOT_NONE;
	q->count--;
	s->count--;
	return i;
}

static void slot_free(struct staging *s, uint32_t i)
{
	s->slot[i].next = s->free_head;
	s->free_head = i;
}

enum drop_reason staging_put(struct staging *s, const struct packet *p, uint64_t now_ns)
{
	enum drop_reason lost = DROP_NONE;
	struct queue *q;
	uint32_t i;

	if (p->len + (uint32_t)PACKET_HEADROOM + PACKET_TAILROOM > s->slot_bytes)
		return DROP_SEAL_NO_BUFFER;
	q = queue_get(s, p->peer_out);
	if (!q)
		return DROP_SEAL_STAGED_OVERFLOW;
	if (q->count == STAGING_PER_PEER || s->free_head == SLOT_NONE) {
		if (q->count == 0) { /* others hold every slot */
			queue_remove(s, q);
			return DROP_SEAL_STAGED_OVERFLOW;
		}
		slot_free(s, queue_pop(s, q));
		lost = DROP_SEAL_STAGED_OVERFLOW;
	}
	i = s->free_head;
	s->free_head = s->slot[i].next;
	s->slot[i] = (struct slot){.next = SLOT_NONE, .len = p->len, .since_ns = now_ns};
	memcpy(slot_data(s, i), p->data, p->len);
	if (q->tail != SLOT_NONE)
		s->slot[q->tail].next = i;
	else
		q->head = i;
	q->tail = i;
	q->count++;
	s->count++;
	return lost;
}

unsigned staging_take(struct staging *s, uint32_t peer, struct batch *b)
{
	struct queue *q = queue_find(s, peer);
	unsigned n = 0;

	if (!q)
		return 0;
	while (q->count > 0 && b->n < BATCH_MAX) {
		uint32_t i = queue_pop(s, q);
		struct packet *p = batch_add(b);

		p->data = slot_data(s, i);
		p->len = s->slot[i].len;
		p->kind = PACKET_INNER;
		p->peer_out = peer;
		p->flags = PACKET_FROM_STAGING;
		p->headroom = PACKET_HEADROOM;
		p->tailroom = PACKET_TAILROOM;
		s->slot[i].next = s->taken_head;
		s->taken_head = i;
		n++;
	}
	if (q->count == 0)
		queue_remove(s, q);
	return n;
}

void staging_release(struct staging *s)
{
	while (s->taken_head != SLOT_NONE) {
		uint32_t i = s->taken_head;

		s->taken_head = s->slot[i].next;
		slot_free(s, i);
	}
}

unsigned staging_drop(struct staging *s, uint32_t peer)
{
	struct queue *q = queue_find(s, peer);
	unsigned n = 0;

	if (!q)
		return 0;
	for (; q->count > 0; n++)
		slot_free(s, queue_pop(s, q));
	queue_remove(s, q);
	return n;
}

unsigned staging_expire(struct staging *s, uint64_t now_ns)
{
	unsigned n = 0;

	if (s->count == 0)
		return 0;
	for (unsigned k = 0; k < QUEUE_COUNT; k++) {
		struct queue *q = &s->queue[k];

		while (q->peer != PEER_NONE && q->count > 0 &&
		       now_ns - s->slot[q->head].since_ns > STAGING_TIMEOUT_NS) {
			slot_free(s, queue_pop(s, q));
			n++;
			if (q->count == 0)
				queue_remove(s, q); /* another queue may move to this place */
		}
	}
	return n;
}

unsigned staging_peers(const struct staging *s, uint32_t *out, unsigned max)
{
	unsigned n = 0;

	if (s->count == 0)
		return 0;
	for (unsigned k = 0; k < QUEUE_COUNT && n < max; k++) {
		if (s->queue[k].peer != PEER_NONE)
			out[n++] = s->queue[k].peer;
	}
	return n;
}

unsigned staging_count(const struct staging *s)
{
	return s->count;
}
