/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/queue.h"

#include <stdlib.h>

#include "lib/wire/derp_frame.h"

#define POOL_MAX 256

static struct queue_chunk *chunk_new(struct queue_pool *pool, size_t len, uint64_t now_ns)
{
	size_t room = len > QUEUE_CHUNK_BYTES ? len : QUEUE_CHUNK_BYTES;
	struct queue_chunk *c = pool->free;

	if (room == QUEUE_CHUNK_BYTES && c) {
		pool->free = c->next;
		pool->count--;
	} else {
		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
	}
	*c = (struct queue_chunk){.first_ns = now_ns, .room = (uint32_t)room};
	return c;
}

static void chunk_free(struct queue_pool *pool, struct queue_chunk *c)
{
	if (c->room != QUEUE_CHUNK_BYTES || pool->count >= POOL_MAX) {
		free(c);
		return;
	}
	c->next = pool->free;
	pool->free = c;
	pool->count++;
}

void queue_pool_shrink(struct queue_pool *pool, unsigned keep)
{
	while (pool->count > keep) {
		struct queue_chunk *c = pool->free;

		pool->free = c->next;
		pool->count--;
		free(c);
	}
}

void queue_pop(struct queue *q, struct queue_pool *pool)
{
	struct queue_chunk *c = q->first;

	q->bytes -= c->len - c->at;
	q->first = c->next;
	if (!q->first)
		q->last = NULL;
	chunk_free(pool, c);
}

/* The queue is not empty. */
static void drop_oldest(struct queue *q, struct queue_pool *pool)
{
	struct queue_chunk *c = q->first;
	uint32_t n = DERP_HEADER_BYTES + derp_header_get(c->data + c->at).len;

	if (c->at + n >= c->len) {
		queue_pop(q, pool);
		return;
	}
	c->at += n;
	q->bytes -= n;
}

uint8_t *queue_add(struct queue *q, struct queue_pool *pool, size_t len, uint64_t now_ns,
		   size_t max_bytes, uint64_t *dropped)
{
	struct queue_chunk *c;
	uint8_t *at;

	for (; q->bytes && q->bytes + len > max_bytes; (*dropped)++)
		drop_oldest(q, pool);
	c = q->last;
	if (!c || c->room - c->len < len || now_ns - c->first_ns > QUEUE_CHUNK_NS) {
		c = chunk_new(pool, len, now_ns);
		if (!c)
			return NULL;
		if (q->last)
			q->last->next = c;
		else
			q->first = c;
		q->last = c;
	}
	at = c->data + c->len;
	c->len += (uint32_t)len;
	q->bytes += (uint32_t)len;
	return at;
}

uint64_t queue_expire(struct queue *q, struct queue_pool *pool, uint64_t now_ns,
		      uint64_t max_age_ns)
{
	uint64_t dropped = 0;

	for (; q->first && now_ns - q->first->first_ns > max_age_ns; dropped++)
		drop_oldest(q, pool);
	return dropped;
}

void queue_clear(struct queue *q, struct queue_pool *pool)
{
	while (q->first) {
		struct queue_chunk *c = q->first;

		q->first = c->next;
		chunk_free(pool, c);
	}
	*q = (struct queue){0};
}
