/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/presence.h"

#include <stdlib.h>
#include <string.h>

struct presence_node *presence_of(struct presence *p, int64_t id)
{
	if ((uint64_t)id >= p->room) {
		size_t room = ((size_t)id + 1) * 2;
		struct presence_node *at = realloc(p->at, room * sizeof(*at));

		if (!at)
			return NULL;
		memset(at + p->room, 0, (room - p->room) * sizeof(*at));
		p->at = at;
		p->room = room;
	}
	return &p->at[id];
}

bool presence_is_online(const struct presence *p, int64_t id)
{
	return (uint64_t)id < p->room && p->at[id].is_online;
}

void presence_forget(struct presence *p, int64_t id)
{
	if ((uint64_t)id >= p->room)
		return;
	p->at[id].is_online = false;
	p->at[id].offline_at_ms = 0;
}

int64_t presence_overdue(const struct presence *p, int64_t id, uint64_t now_ms)
{
	for (; (uint64_t)id < p->room; id++)
		if (p->at[id].offline_at_ms && p->at[id].offline_at_ms <= now_ms)
			return id;
	return -1;
}

void presence_fini(struct presence *p)
{
	free(p->at);
}
