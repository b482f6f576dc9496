/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened, in order, each event with a number: a watcher keeps the number of the
 * first that it has not had, and gets what is from there on as one item a node.
 */
#ifndef CONTROLPLANE_COORD_MAP_EVENTS_H
#define CONTROLPLANE_COORD_MAP_EVENTS_H

#include <stddef.h>
#include <stdint.h>

/* What there is to say of one node; id 0: of what concerns all. */
struct map_item {
	int64_t id;
	uint64_t what;	  /* bits of enum picture_what, and of map_message.h */
	uint64_t variant; /* no padding: lists are compared as bytes */
};

/* Zeroed: nothing happened. */
struct map_events {
	struct map_item *at; /* the first is number `first` */
	uint64_t first;
	size_t count, room;
};

static inline uint64_t map_events_end(const struct map_events *e)
{
	return e->first + e->count;
}

void map_events_add(struct map_events *e, int64_t id, unsigned what);
/* Those from place (>= first) on, one an id, sorted. malloc'd; NULL, *count 0: no memory. */
struct map_item *map_events_joined(const struct map_events *e, uint64_t place, size_t *count);
/* Forgets those before place. */
void map_events_forget(struct map_events *e, uint64_t place);
void map_events_fini(struct map_events *e);
/* For sorting and searching by id. */
int map_item_by_id(const void *a, const void *b);

#endif
