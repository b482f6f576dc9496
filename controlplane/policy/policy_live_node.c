/* SPDX-License-Identifier: Apache-2.0 */
/* Slots, and what is kept of the node in each. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_live_state.h"

#define SLOTS_FIRST 64

uint32_t live_slot(const struct policy_live *l, int64_t id)
{
	return id > 0 && (uint64_t)id < l->slot_room && l->slots[id] ? l->slots[id] - 1 : LIVE_NONE;
}

/* ---- slots ---- */

static void bits_grow(uint64_t **bits, uint32_t from, uint32_t to)
{
	uint64_t *wide = live_bits(to);

	if (*bits)
		memcpy(wide, *bits, from * sizeof(*wide));
	free(*bits);
	*bits = wide;
}

static void grow(struct policy_live *l)
{
	uint32_t room = l->node_room ? 2 * l->node_room : SLOTS_FIRST, words = room / 64;
	uint32_t had = l->view.words;

	l->shown = realloc(l->shown, room * sizeof(*l->shown));
	l->nodes = realloc(l->nodes, room * sizeof(*l->nodes));
	BUG_ON(!l->shown || !l->nodes);
	memset(l->nodes + l->node_room, 0, (room - l->node_room) * sizeof(*l->nodes));
	for (uint32_t i = 0; i < l->node_room; i++)
		bits_grow(&l->nodes[i].row, had, words);
	for (uint32_t i = l->node_room; i < room; i++) {
		l->shown[i] = (struct policy_node){.user = -1};
		l->nodes[i].row = live_bits(words);
		l->nodes[i].src = live_bits(l->grant_words);
		l->nodes[i].dst = live_bits(l->grant_words);
	}
	for (uint32_t i = 0; i < l->class_count; i++)
		bits_grow(&l->classes[i].members, had, words);
	for (uint32_t i = 0; i < l->source_count; i++)
		bits_grow(&l->sources[i].nodes, had, words);
	for (uint32_t i = 0; i < l->view.grant_count; i++) {
		struct resolved_grant *g = &l->view.grants[i];

		g->src_nodes = l->sources[l->grants[i].source].nodes;
		for (uint32_t k = 0; k < g->dst_count; k++) {
			uint32_t c = l->grants[i].classes[k];

			bits_grow(&g->dst[k].nodes, had, words);
			if (g->dst[k].members)
				g->dst[k].members = l->classes[c].members;
		}
	}
	l->node_room = room;
	l->view.words = words;
	l->world.nodes = l->shown;
}

uint32_t live_slot_new(struct policy_live *l, int64_t id)
{
	uint32_t slot = 0;

	if ((uint64_t)id >= l->slot_room) {
		size_t room = ((size_t)id + 1) * 2;

		l->slots = realloc(l->slots, room * sizeof(*l->slots));
		BUG_ON(!l->slots);
		memset(l->slots + l->slot_room, 0, (room - l->slot_room) * sizeof(*l->slots));
		l->slot_room = room;
	}
	while (slot < l->world.node_count && l->nodes[slot].id)
		slot++;
	if (slot == l->node_room)
		grow(l);
	if (slot == l->world.node_count)
		l->world.node_count++;
	l->slots[id] = slot + 1;
	l->nodes[slot].id = id;
	return slot;
}

/* ---- what is kept of a node ---- */

void *live_copy(const void *from, size_t bytes)
{
	void *to = malloc(bytes + 1);

	BUG_ON(!to);
	if (bytes)
		memcpy(to, from, bytes);
	return to;
}

void live_shown_free(struct policy_node *n)
{
	for (uint32_t i = 0; i < n->tag_count; i++)
		free((char *)n->tags[i]);
	free((void *)n->tags);
	free((void *)n->routes);
	free((void *)n->primary);
	*n = (struct policy_node){.user = -1};
}

int32_t live_user_index(const struct policy_live *l, int64_t user)
{
	for (uint32_t i = 0; user && i < l->world.user_count; i++)
		if (l->user_ids[i] == user)
			return (int32_t)i;
	return -1;
}

struct policy_node live_shown_of(const struct policy_live *l, const struct policy_live_node *n)
{
	char **tags = calloc(n->tag_count + 1, sizeof(*tags));

	BUG_ON(!tags);
	for (uint32_t i = 0; i < n->tag_count; i++)
		tags[i] = live_copy(n->tags[i], strlen(n->tags[i]) + 1);
	return (struct policy_node){
		.id = n->id,
		.user = n->tag_count ? -1 : live_user_index(l, n->user),
		.tags = (const char *const *)tags,
		.tag_count = n->tag_count,
		.v4 = n->v4,
		.v6 = n->v6,
		.routes = live_copy(n->routes, n->route_count * sizeof(*n->routes)),
		.route_count = n->route_count,
		.is_exit = n->is_exit,
		.primary = live_copy(n->primary, n->primary_count * sizeof(*n->primary)),
		.primary_count = n->primary_count,
	};
}

bool live_same_prefixes(const struct prefix *a, uint32_t na, const struct prefix *b, uint32_t nb)
{
	for (uint32_t i = 0; na == nb && i < na; i++)
		if (!prefix_equal(&a[i], &b[i]))
			return false;
	return na == nb;
}

bool live_same_identity(const struct policy_node *a, const struct policy_node *b)
{
	for (uint32_t i = 0; a->tag_count == b->tag_count && i < a->tag_count; i++)
		if (strcmp(a->tags[i], b->tags[i]) != 0)
			return false;
	return a->tag_count == b->tag_count && a->user == b->user;
}

bool live_same_addresses(const struct policy_node *a, const struct policy_node *b)
{
	return addr_equal(&a->v4, &b->v4) && addr_equal(&a->v6, &b->v6);
}

bool live_same_routes(const struct policy_node *a, const struct policy_node *b)
{
	return a->is_exit == b->is_exit &&
	       live_same_prefixes(a->routes, a->route_count, b->routes, b->route_count);
}
