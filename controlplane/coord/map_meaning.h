/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What events mean to one watcher: a node that is new to it is told whole, one that it
 * knows by what changed, one that it may not see any more is removed; what it knows is
 * kept in step. Equal lists make equal messages. No I/O.
 */
#ifndef CONTROLPLANE_COORD_MAP_MEANING_H
#define CONTROLPLANE_COORD_MAP_MEANING_H

#include "controlplane/coord/map_events.h"
#include "controlplane/coord/map_known.h"
#include "controlplane/coord/picture.h"
#include "controlplane/coord/visibility.h"

/* A watcher, as far as it matters here. */
struct map_reader {
	const struct picture *picture;
	struct visibility *visibility;
	int64_t node_id;
	struct map_known *known;
};

/*
 * events: of map_events_joined. *out: a list by id, malloc'd (NULL: no memory); its
 * length is returned.
 */
size_t map_meaning(struct map_reader *r, const struct map_item *events, size_t count,
		   struct map_item **out);

#endif
