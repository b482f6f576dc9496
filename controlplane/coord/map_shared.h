/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of one flush, by what they say: equal lists are encoded once. */
#ifndef CONTROLPLANE_COORD_MAP_SHARED_H
#define CONTROLPLANE_COORD_MAP_SHARED_H

#include <stdbool.h>

#include "controlplane/coord/map_events.h"
#include "controlplane/ts2021/ts2021_server.h"

/* Lists of one flush that are remembered; more than this many differ seldom. */
#define MAP_SHARED_MAX 64

/* Zeroed: empty. */
struct map_shared {
	struct {
		struct map_item *items;
		size_t count;
		bool is_zstd;
		struct ts2021_bytes *bytes;
	} at[MAP_SHARED_MAX];
	unsigned count;
};

/* The message of an equal list; a reference, or NULL. */
struct ts2021_bytes *map_shared_find(const struct map_shared *s, bool is_zstd,
				     const struct map_item *items, size_t count);
/* Takes items; keeps a reference of bytes, if there is room. */
void map_shared_keep(struct map_shared *s, bool is_zstd, struct map_item *items, size_t count,
		     struct ts2021_bytes *bytes);
void map_shared_clear(struct map_shared *s);

#endif
