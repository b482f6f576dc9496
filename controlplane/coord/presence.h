/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes are there: each has a stream or not, and a time to come back after one
 * ended. By node id; numbers are not used twice, so that entries stay.
 */
#ifndef CONTROLPLANE_COORD_PRESENCE_H
#define CONTROLPLANE_COORD_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct presence_node {
	void *stream;		/* NULL: none */
	uint64_t offline_at_ms; /* 0: not on its way out */
	bool is_online;
};

/* Zeroed: nobody. */
struct presence {
	struct presence_node *at;
	size_t room;
};

/* Its entry, made if it is missing; until the next call. NULL: no memory. */
struct presence_node *presence_of(struct presence *p, int64_t id);
bool presence_is_online(const struct presence *p, int64_t id);
/* It is deleted: what is told of it ends. */
void presence_forget(struct presence *p, int64_t id);
/* The first node from `id` on whose time is over; -1: none. */
int64_t presence_overdue(const struct presence *p, int64_t id, uint64_t now_ms);
void presence_fini(struct presence *p);

#endif
