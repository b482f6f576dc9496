/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MapResponses as JSON text: the first of a stream, and what changed since. What a
 * change means to one watcher is a list; equal lists make equal messages.
 */
#ifndef CONTROLPLANE_COORD_MAP_MESSAGE_H
#define CONTROLPLANE_COORD_MAP_MESSAGE_H

#include "controlplane/coord/map_events.h"
#include "controlplane/coord/maps.h"
#include "lib/base/json_out.h"

/* Of map_item.what, beside the bits of enum picture_what. */
#define MAP_ITEM_REMOVE (1u << 16)
#define MAP_ITEM_SELF	(1u << 17)

/* Whose message it is. */
struct map_view {
	const struct maps *maps;
	const struct picture *picture;
	struct visibility *visibility;
	const struct picture_node *self;
	const char *derp_map;	  /* NULL: none */
	struct policy_told *told; /* of its filter, brought up to date; NULL: no filter */
};

void map_message_full(struct json_out *j, const struct map_view *v, int64_t now_ns);
/* Without told, the same for everybody who has the same items. */
void map_message_delta(struct json_out *j, const struct map_view *v, const struct map_item *items,
		       size_t count);

#endif
