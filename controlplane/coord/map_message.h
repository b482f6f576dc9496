/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MapResponses as JSON text: the first of a stream, and what changed since. What a
 * change means to one watcher is a list; equal lists make equal messages.
 */
#ifndef CONTROLPLANE_COORD_MAP_MESSAGE_H
#define CONTROLPLANE_COORD_MAP_MESSAGE_H

#include "controlplane/coord/maps.h"
#include "lib/base/json_out.h"

/* Of map_item.what, beside the bits of enum picture_what. */
#define MAP_ITEM_REMOVE (1u << 16)
#define MAP_ITEM_SELF	(1u << 17)

/* Sorted by id, each once; id 0: what concerns all. */
struct map_item {
	int64_t id;
	uint64_t what; /* no padding: lists are compared as bytes */
};

void map_message_full(struct json_out *j, const struct maps *m, const struct picture *p,
		      const struct picture_node *self, const char *derp_map, int64_t now_ns);
void map_message_delta(struct json_out *j, const struct maps *m, const struct picture *p,
		       const struct map_item *items, size_t count, const char *derp_map);

#endif
