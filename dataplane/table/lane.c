/* SPDX-License-Identifier: Apache-2.0 */
/* See lane.h and lane_build.h. Control thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/table/lane_build.h"
#include "dataplane/table/retire.h"

#define PUT(field, v) atomic_store_explicit(&(field), v, memory_order_relaxed)
#define GET(field)    atomic_load_explicit(&(field), memory_order_relaxed)

struct peer_lanes *lane_new(void)
{
	struct peer_lanes *l = aligned_alloc(_Alignof(struct peer_lanes), sizeof(*l));

	if (l)
		memset(l, 0, sizeof(*l));
	return l;
}

void lane_free(void *lanes)
{
	struct peer_lanes *l = lanes;

	for (unsigned i = 0; i < LANE_MAX; i++)
		free(GET(l->slot[i].use));
	free(l);
}

/*
 * As many as the newest session has that is in use. Lanes of one that was only installed do
 * not count: they come one by one, and workers would change places with each.
 */
static void count_lanes(struct peer_lanes *l)
{
	uint64_t born_ns = 0;
	uint32_t count = 0;

	for (unsigned i = 0; i < LANE_MAX; i++) {
		const struct lane_use *use = GET(l->slot[i].use);

		if (use && use->session->born_ns > born_ns)
			born_ns = use->session->born_ns;
	}
	for (unsigned i = 0; i < l->session_count; i++)
		if (l->sessions[i]->born_ns == born_ns && l->sessions[i]->lane > count)
			count = l->sessions[i]->lane;
	PUT(l->count, count);
}

int lane_add(struct peer_lanes *l, struct session *s)
{
	if (l->session_count == LANE_SESSIONS_MAX)
		return -ENOSPC;
	l->sessions[l->session_count++] = s;
	return 0;
}

int lane_find(const struct peer_lanes *l, const struct session *s)
{
	for (unsigned i = 0; i < l->session_count; i++)
		if (l->sessions[i] == s)
			return (int)i;
	return -1;
}

static void replace_use(struct lane_slot *slot, struct lane_use *use)
{
	struct lane_use *old = GET(slot->use);

	atomic_store_explicit(&slot->use, use, memory_order_release);
	retire(old, free);
}

void lane_remove(struct peer_lanes *l, unsigned i)
{
	const struct session *s = l->sessions[i];
	struct lane_slot *slot = &l->slot[s->lane - 1];
	const struct lane_use *use = GET(slot->use);

	l->sessions[i] = l->sessions[--l->session_count];
	if (use && use->session == s) {
		PUT(slot->until_ns, 0);
		replace_use(slot, NULL);
	}
	count_lanes(l);
}

int lane_set(struct peer_lanes *l, struct session *s, const struct dpapi_lane_set *msg,
	     uint64_t now_ns)
{
	struct lane_slot *slot;
	struct lane_use *use;

	if (msg->lane == 0 || msg->lane > LANE_MAX || s->lane != msg->lane)
		return -EINVAL;
	slot = &l->slot[msg->lane - 1];
	use = GET(slot->use);
	if (now_ns >= GET(slot->until_ns))
		PUT(slot->since_ns, now_ns);
	if (!use || use->session != s || memcmp(&use->path, &msg->path, sizeof(use->path)) != 0) {
		use = calloc(1, sizeof(*use));
		if (!use)
			return -ENOMEM;
		use->session = s;
		use->path = msg->path;
		replace_use(slot, use);
		count_lanes(l);
	}
	PUT(slot->until_ns, msg->until_ns);
	return 0;
}
