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

/* The first chunk that may lose frames, and what points at it. */
static struct queue_chunk **oldest(struct queue *q)
{
	return q->locked && q->first ? &q->first->next : &q->first;
}

static void unlink_chunk(struct queue *q, struct queue_pool *pool, struct queue_chunk **where)
{
	struct queue_chunk *c = *where;

	q->bytes -= c->len - c->at;
	*where = c->next;
	if (q->last == c)
		q->last = where == &q->first ? NULL : q->first;
	chunk_free(pool, c);
}

/* Drops the oldest frame; false if none may be. */
static bool drop_oldest(struct queue *q, struct queue_pool *pool)
{
	struct queue_chunk **where = oldest(q);
	struct queue_chunk *c = *where;
	uint32_t n;

	if (!c)
		return false;
	n = DERP_HEADER_BYTES + derp_header_get(c->data + c->at).len;
	if (c->at + n >= c->len) {
		unlink_chunk(q, pool, where);
		return true;
	}
	c->at += n;
	q->bytes -= n;
	return true;
}

uint8_t *queue_add(struct queue *q, struct queue_pool *pool, size_t len, uint64_t now_ns,
		   size_t max_bytes, uint64_t *dropped)
{
	struct queue_chunk *c;
	uint8_t *at;

	while (q->bytes && q->bytes + len > max_bytes && drop_oldest(q, pool))
		(*dropped)++;
	c = q->last;
	/* A chunk that is being written must keep its length: the record may be half out. */
	if (!c || (q->locked && c == q->first) || c->room - c->len < len ||
	    now_ns - c->first_ns > QUEUE_CHUNK_NS) {
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
	struct queue_chunk **where = oldest(q);

	while (*where && now_ns - (*where)->first_ns > max_age_ns) {
		drop_oldest(q, pool);
		dropped++;
		where = oldest(q);
	}
	return dropped;
}

void queue_written(struct queue *q, struct queue_pool *pool, size_t n)
{
	struct queue_chunk *c = q->first;

	c->at += (uint32_t)n;
	q->bytes -= (uint32_t)n;
	q->locked = c->at < c->len;
	if (!q->locked)
		unlink_chunk(q, pool, &q->first);
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
