/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_shared.h"

#include <stdlib.h>
#include <string.h>

struct ts2021_bytes *map_shared_find(const struct map_shared *s, bool is_zstd,
				     const struct map_item *items, size_t count)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->at[i].is_zstd == is_zstd && s->at[i].count == count &&
		    memcmp(s->at[i].items, items, count * sizeof(*items)) == 0)
			return ts2021_bytes_get(s->at[i].bytes);
	return NULL;
}

void map_shared_keep(struct map_shared *s, bool is_zstd, struct map_item *items, size_t count,
		     struct ts2021_bytes *bytes)
{
	if (s->count == MAP_SHARED_MAX) {
		free(items);
		return;
	}
	s->at[s->count].items = items;
	s->at[s->count].count = count;
	s->at[s->count].is_zstd = is_zstd;
	s->at[s->count++].bytes = ts2021_bytes_get(bytes);
}

void map_shared_clear(struct map_shared *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		free(s->at[i].items);
		ts2021_bytes_put(s->at[i].bytes);
	}
	s->count = 0;
}
