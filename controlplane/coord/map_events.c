/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_events.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

int map_item_by_id(const void *a, const void *b)
{
	const struct map_item *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

void map_events_add(struct map_events *e, int64_t id, unsigned what)
{
	if (e->count == e->room) {
		size_t room = e->room ? 2 * e->room : 256;
		struct map_item *at = realloc(e->at, room * sizeof(*at));

		BUG_ON(!at);
		e->at = at;
		e->room = room;
	}
	e->at[e->count++] = (struct map_item){.id = id, .what = what};
}

struct map_item *map_events_joined(const struct map_events *e, uint64_t place, size_t *count)
{
	size_t skip = (size_t)(place - e->first), n = e->count - skip, out = 0;
	struct map_item *items = malloc((n + 1) * sizeof(*items));

	*count = 0;
	if (!items)
		return NULL;
	memcpy(items, e->at + skip, n * sizeof(*items));
	qsort(items, n, sizeof(*items), map_item_by_id);
	for (size_t i = 0; i < n; i++) {
		if (out && items[out - 1].id == items[i].id)
			items[out - 1].what |= items[i].what;
		else
			items[out++] = items[i];
	}
	*count = out;
	return items;
}

void map_events_forget(struct map_events *e, uint64_t place)
{
	size_t drop = (size_t)(place - e->first);

	memmove(e->at, e->at + drop, (e->count - drop) * sizeof(*e->at));
	e->count -= drop;
	e->first += drop;
}

void map_events_fini(struct map_events *e)
{
	free(e->at);
}
