/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of what waits, oldest first. Each entry keeps the token that was drawn
 * when it was retired; tokens rise, so the head is always the next to be due.
 * One process has one set of workers, hence one queue.
 */
#include "dataplane/table/retire.h"

#include <rte_rcu_qsbr.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lib/base/bug.h"

#define RETIRE_FIRST_SIZE 1024 /* power of two, and so are its doublings */

struct retired {
	void *ptr;
	void (*fn)(void *ptr);
	void (*fn_index)(void *owner, uint32_t index);
	uint32_t index;
	uint64_t token;
};

static struct {
	struct rte_rcu_qsbr *qs;
	struct retired *ring;
	size_t size;
	size_t head; /* oldest; both count up without end */
	size_t tail;
} queue;

void retire_init(struct rte_rcu_qsbr *qs)
{
	BUG_ON(queue.head != queue.tail);
	queue.qs = qs;
}

static void retired_free(const struct retired *r)
{
	if (r->fn_index)
		r->fn_index(r->ptr, r->index);
	else
		r->fn(r->ptr);
}

static bool retire_make_room(void)
{
	size_t size = queue.size ? queue.size * 2 : RETIRE_FIRST_SIZE;
	struct retired *ring;

	if (queue.tail - queue.head < queue.size)
		return true;
	ring = calloc(size, sizeof(*ring));
	if (!ring)
		return false;
	for (size_t i = queue.head; i != queue.tail; i++)
		ring[i & (size - 1)] = queue.ring[i & (queue.size - 1)];
	free(queue.ring);
	queue.ring = ring;
	queue.size = size;
	return true;
}

static void retire_add(struct retired r)
{
	if (!queue.qs) {
		retired_free(&r);
		return;
	}
	/* Without memory to remember it, waiting is the one safe way left. */
	while (!retire_make_room())
		retire_drain();
	r.token = rte_rcu_qsbr_start(queue.qs);
	queue.ring[queue.tail++ & (queue.size - 1)] = r;
}

void retire(void *ptr, void (*fn)(void *ptr))
{
	if (ptr)
		retire_add((struct retired){.ptr = ptr, .fn = fn});
}

void retire_index(void *owner, uint32_t index, void (*fn)(void *owner, uint32_t index))
{
	retire_add((struct retired){.ptr = owner, .fn_index = fn, .index = index});
}

/* Frees the head if it is due. The entry is copied: fn may retire and move the ring. */
static bool retire_head(bool wait)
{
	struct retired r;

	if (queue.head == queue.tail)
		return false;
	r = queue.ring[queue.head & (queue.size - 1)];
	if (rte_rcu_qsbr_check(queue.qs, r.token, wait) != 1)
		return false;
	queue.head++;
	retired_free(&r);
	return true;
}

size_t retire_poll(void)
{
	while (retire_head(false))
		;
	return queue.tail - queue.head;
}

void retire_drain(void)
{
	while (retire_head(true))
		;
}

void retire_fini(void)
{
	retire_drain();
	free(queue.ring);
	queue.ring = NULL;
	queue.size = 0;
	queue.head = 0;
	queue.tail = 0;
	queue.qs = NULL;
}
