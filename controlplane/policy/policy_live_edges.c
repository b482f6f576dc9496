/* SPDX-License-Identifier: Apache-2.0 */
/* The same questions as in policy_view.c, asked for one node and answered from bits. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_live_state.h"

/* ---- its places ---- */

static bool routes_meet(struct policy_live *l, struct live_class *c, uint32_t slot)
{
	const struct policy_node *n = &l->shown[slot];

	/* Nearly always: routes hold no address of the tailnet, identities nothing else. */
	if (!n->route_count || (c->is_identity && !l->nodes[slot].is_wide))
		return false;
	return set_meets_routes(live_class_set(l, c), n);
}

static bool class_meets(struct policy_live *l, struct live_class *c, uint32_t slot)
{
	if (c->is_identity)
		return bit_get(c->members, slot) || routes_meet(l, c, slot);
	if (c->selector->kind == SELECT_ALL || c->selector->kind == SELECT_AUTO)
		return true;
	return set_meets_node(live_class_set(l, c), &l->shown[slot]) || routes_meet(l, c, slot);
}

static bool is_source(struct policy_live *l, const struct live_source *s, uint32_t slot)
{
	for (uint32_t i = 0; i < s->class_count; i++)
		if (class_meets(l, &l->classes[s->classes[i]], slot))
			return true;
	return false;
}

static bool is_reached(struct policy_live *l, uint32_t grant, uint32_t k, uint32_t slot)
{
	const struct resolved_grant *g = &l->view.grants[grant];
	const struct selector *s = g->dst[k].selector;
	const struct policy_node *n = &l->shown[slot];
	uint32_t c = l->grants[grant].classes[k];
	bool is_via = g->grant->via.count > 0;

	if (is_via && !node_has_tag_of(n, &g->grant->via))
		return false;
	if (s->kind == SELECT_ALL)
		return !is_via;
	if (selector_is_auto(s, AUTO_INTERNET))
		return n->is_exit;
	if (c == LIVE_NONE)
		return false;
	return is_via ? routes_meet(l, &l->classes[c], slot) : class_meets(l, &l->classes[c], slot);
}

void live_place(struct policy_live *l, uint32_t slot)
{
	struct live_node *n = &l->nodes[slot];
	bool is_there = n->id != 0;

	for (uint32_t i = 0; i < l->source_count; i++)
		bit_put(l->sources[i].nodes, slot, is_there && is_source(l, &l->sources[i], slot));
	for (uint32_t i = 0; i < l->view.grant_count; i++) {
		struct resolved_grant *g = &l->view.grants[i];
		bool is_any = false;

		for (uint32_t k = 0; k < g->dst_count; k++) {
			bool is_in = is_there && is_reached(l, i, k, slot);

			bit_put(g->dst[k].nodes, slot, is_in);
			is_any |= is_in;
		}
		bit_put(n->dst, i, is_any);
		bit_put(n->src, i, bit_get(g->src_nodes, slot));
	}
	n->own_stamp = n->stamp = l->stamp;
	l->filters_changed = true;
}

/* ---- its row ---- */

static void add_all(uint64_t *to, const uint64_t *from, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++)
		to[i] |= from[i];
}

/* Of the same user: all if it is a source, else those that are. */
static void add_own(struct policy_live *l, uint64_t *row, const struct live_grant *g, bool is_src,
		    uint32_t slot)
{
	for (uint32_t i = 0; i < l->world.node_count; i++)
		if (nodes_are_of_one_user(&l->shown[i], &l->shown[slot]) &&
		    (is_src || bit_get(l->sources[g->source].nodes, i)))
			bit_put(row, i, true);
}

void live_row(struct policy_live *l, uint32_t slot)
{
	struct live_node *n = &l->nodes[slot];
	uint32_t words = l->view.words;
	uint64_t *row = live_bits(words);

	for (uint32_t i = 0; n->id && i < l->view.grant_count; i++) {
		const struct resolved_grant *g = &l->view.grants[i];
		bool is_src = bit_get(n->src, i);

		if (!l->grants[i].has_effect)
			continue;
		for (uint32_t k = 0; is_src && k < g->dst_count; k++)
			add_all(row, g->dst[k].nodes, words);
		if (bit_get(n->dst, i))
			add_all(row, g->src_nodes, words);
		if (l->grants[i].has_self && l->shown[slot].user >= 0)
			add_own(l, row, &l->grants[i], is_src, slot);
	}
	bit_put(row, slot, false);
	/* Sight is mutual: who is new or gone has the same new or gone. */
	for (uint32_t w = 0; w < words; w++) {
		uint64_t differs = row[w] ^ n->row[w];

		for (; differs; differs &= differs - 1) {
			uint32_t other = w * 64 + (uint32_t)__builtin_ctzll(differs);

			bit_put(l->nodes[other].row, slot, bit_get(row, other));
		}
	}
	free(n->row);
	n->row = row;
}

bool policy_live_sees(const struct policy_live *l, int64_t a, int64_t b)
{
	uint32_t x = live_slot(l, a), y = live_slot(l, b);

	return x != LIVE_NONE && y != LIVE_NONE && bit_get(l->nodes[x].row, y);
}

uint32_t policy_live_routes(struct policy_live *l, int64_t a, int64_t b, struct prefix *out,
			    uint32_t room)
{
	uint32_t x = live_slot(l, a), y = live_slot(l, b);

	if (x == LIVE_NONE || y == LIVE_NONE || (!l->shown[y].route_count && !l->shown[y].is_exit))
		return 0;
	live_settle(l);
	return policy_routes(&l->view, x, y, out, room);
}
