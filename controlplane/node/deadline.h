/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is to be called first: a binary heap of deadlines over items that embed a
 * struct deadline. No allocation after deadline_reserve. One thread.
 */
#ifndef CONTROLPLANE_NODE_DEADLINE_H
#define CONTROLPLANE_NODE_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER UINT64_MAX

struct deadline {
	uint64_t at_ns;
	uint32_t place; /* in the heap, from 1; 0 = not there */
};

struct deadline_heap {
	struct deadline **items; /* from 1 */
	uint32_t count, room;
};

/* Room for so many items in all. 0, or -ENOMEM. */
int deadline_reserve(struct deadline_heap *h, uint32_t items);
void deadline_fini(struct deadline_heap *h);
/* Puts in, moves, or takes out (DEADLINE_NEVER). */
void deadline_set(struct deadline_heap *h, struct deadline *d, uint64_t at_ns);
/* The earliest, or NULL. */
struct deadline *deadline_first(const struct deadline_heap *h);

#endif
