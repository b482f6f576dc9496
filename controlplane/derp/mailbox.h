/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one worker to another: a ring with one writer and one reader, no lock. An
 * item is a letter, the messages of a whole turn behind one another; it is
 * malloc'd by the writer and freed by the reader.
 */
#ifndef CONTROLPLANE_DERP_MAILBOX_H
#define CONTROLPLANE_DERP_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILBOX_SLOTS 256

struct letter {
	struct letter *next; /* the writer's own, while the ring is full */
	size_t len, room;
	uint8_t data[];
};

struct mailbox {
	_Alignas(64) _Atomic uint32_t head; /* reader's */
	_Alignas(64) _Atomic uint32_t tail; /* writer's */
	struct letter *slots[MAILBOX_SLOTS];
};

/* False if the ring is full. */
static inline bool mailbox_put(struct mailbox *m, struct letter *l)
{
	uint32_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);

	/* Pairs with the reader's release: its slot has been read. */
	if (tail - atomic_load_explicit(&m->head, memory_order_acquire) == MAILBOX_SLOTS)
		return false;
	m->slots[tail % MAILBOX_SLOTS] = l;
	atomic_store_explicit(&m->tail, tail + 1, memory_order_release);
	return true;
}

/* NULL if it is empty. */
static inline struct letter *mailbox_take(struct mailbox *m)
{
	uint32_t head = atomic_load_explicit(&m->head, memory_order_relaxed);
	struct letter *l;

	if (atomic_load_explicit(&m->tail, memory_order_acquire) == head)
		return NULL;
	l = m->slots[head % MAILBOX_SLOTS];
	atomic_store_explicit(&m->head, head + 1, memory_order_release);
	return l;
}

#endif
