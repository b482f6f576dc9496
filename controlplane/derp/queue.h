/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits to be written to one client: frames behind one another in chunks of
 * the size of a TLS record, so that a chunk becomes a record without a copy.
 *
 *    first                          last
 *   [frame|frame|frame] -> [frame|frame|      ]
 *    ^at                                ^len
 *
 * Bounded in bytes and, by the caller's clock, in age: the oldest frames go first.
 * Chunks of the usual size go back to a pool, so an idle queue holds none. One thread:
 * the worker that owns the client.
 */
#ifndef CONTROLPLANE_DERP_QUEUE_H
#define CONTROLPLANE_DERP_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#define QUEUE_CHUNK_BYTES 16384 /* the plaintext of one TLS record */
/* Frames that are this much younger than a chunk's first start a chunk of their own. */
#define QUEUE_CHUNK_NS 5000000ull

struct queue_chunk {
	struct queue_chunk *next;
	uint64_t first_ns; /* when its first frame came */
	uint32_t at;	   /* of the first frame that was not dropped */
	uint32_t len;	   /* end of the last frame */
	uint32_t room;
	uint8_t data[];
};

struct queue_pool {
	struct queue_chunk *free;
	unsigned count;
};

struct queue {
	struct queue_chunk *first, *last;
	uint32_t bytes; /* that wait */
};

/* Frees what the pool has above keep chunks. */
void queue_pool_shrink(struct queue_pool *pool, unsigned keep);
/*
 * Room for a frame of len bytes at the end, to be filled by the caller at once; NULL
 * without memory. Oldest frames are dropped while the queue would hold more than max
 * bytes; *dropped grows by their number.
 */
uint8_t *queue_add(struct queue *q, struct queue_pool *pool, size_t len, uint64_t now_ns,
		   size_t max_bytes, uint64_t *dropped);
/* Drops the chunks that are older than max_age_ns; returns the frames dropped. */
uint64_t queue_expire(struct queue *q, struct queue_pool *pool, uint64_t now_ns,
		      uint64_t max_age_ns);
/* The first chunk is written. */
void queue_pop(struct queue *q, struct queue_pool *pool);
void queue_clear(struct queue *q, struct queue_pool *pool);

#endif
