/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_meaning.h"

#include <stdlib.h>

#include "controlplane/coord/map_message.h"

static struct map_item forget(struct map_reader *r, int64_t id)
{
	bool is_known = map_known_has(r->known, id);

	if (is_known)
		map_known_set(r->known, id, false);
	map_known_set_variant(r->known, id, 0);
	return (struct map_item){.id = id, .what = is_known ? MAP_ITEM_REMOVE : 0};
}

/* What the event means to this watcher; what 0: nothing. */
static struct map_item meaning(struct map_reader *r, const struct map_item *e)
{
	const uint64_t own = PICTURE_WHOLE | PICTURE_SELF | PICTURE_ROUTES;
	const uint64_t patch = PICTURE_ENDPOINTS | PICTURE_HOME | PICTURE_DISCO | PICTURE_ONLINE;
	const struct picture_node *n = picture_node(r->picture, e->id);
	struct visibility *vis = r->visibility;
	struct map_item to = {.id = e->id};
	uint64_t what = e->what;

	if (!e->id) {
		/* Each learns other names. */
		to.variant = e->what & PICTURE_USERS ? (uint64_t)r->node_id : 0;
		to.what = e->what;
		return to;
	}
	if (e->id == r->node_id) {
		to.what = n && (e->what & own) ? MAP_ITEM_SELF : 0;
		to.variant = (uint64_t)r->node_id;
		return to;
	}
	if (!n || !visibility_sees(vis, r->node_id, e->id))
		return forget(r, e->id);
	if (!map_known_has(r->known, e->id))
		what = PICTURE_WHOLE;
	if (!(what & (PICTURE_WHOLE | PICTURE_ROUTES | PICTURE_EDGES))) {
		to.what = what & patch;
		return to;
	}
	to.variant = visibility_variant(vis, r->node_id, e->id);
	if (map_known_set_variant(r->known, e->id, to.variant) || (what & PICTURE_WHOLE)) {
		map_known_set(r->known, e->id, true);
		to.what = PICTURE_WHOLE;
	} else {
		to.what = what & patch;
		to.variant = 0;
	}
	return to;
}

/* Its own edges are others: each node there is, and those that went. */
static size_t meanings_of_all(struct map_reader *r, const struct map_item *events, size_t count,
			      struct map_item *items)
{
	const struct picture_rows *nodes = &r->picture->nodes;
	size_t n = 0, at = 0;

	for (int64_t id = 0; (size_t)id < nodes->room; id++) {
		struct map_item e = {.id = id, .what = id ? PICTURE_EDGES : 0};

		if (at < count && events[at].id == id)
			e.what |= events[at++].what;
		else if (!id || (!nodes->at[id] && !map_known_has(r->known, id)))
			continue;
		items[n] = meaning(r, &e);
		n += items[n].what != 0;
	}
	return n;
}

static bool has_own_edges(const struct map_reader *r, const struct map_item *events, size_t count)
{
	const struct map_item own = {.id = r->node_id};
	const struct map_item *e = bsearch(&own, events, count, sizeof(own), map_item_by_id);

	return e && (e->what & PICTURE_EDGES);
}

size_t map_meaning(struct map_reader *r, const struct map_item *events, size_t count,
		   struct map_item **out)
{
	bool is_all = has_own_edges(r, events, count);
	size_t room = is_all ? r->picture->nodes.room : count, n = 0;
	struct map_item *items = calloc(room + 1, sizeof(*items));

	*out = items;
	if (!items)
		return 0;
	if (is_all)
		return meanings_of_all(r, events, count, items);
	for (size_t i = 0; i < count; i++) {
		items[n] = meaning(r, &events[i]);
		n += items[n].what != 0;
	}
	return n;
}
