/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's filter in parts, one for each list of sources: when a node joins a group,
 * the rules from that group are sent again and no others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_live_state.h"

bool policy_live_filter_is_new(const struct policy_live *l, int64_t id,
			       const struct policy_told *told)
{
	uint32_t slot = live_slot(l, id);

	return slot != LIVE_NONE &&
	       (told->generation != l->generation || l->nodes[slot].stamp > told->stamp);
}

/* Some rule of the part may be the node's. */
static bool concerns(const struct policy_live *l, const struct live_source *s, uint32_t slot)
{
	const struct live_node *n = &l->nodes[slot];

	for (uint32_t i = 0; i < s->grant_count; i++) {
		const struct live_grant *g = &l->grants[s->grants[i]];

		if (bit_get(n->dst, s->grants[i]) || (g->has_self && l->shown[slot].user >= 0) ||
		    (g->has_companion && bit_get(n->src, s->grants[i])))
			return true;
	}
	return false;
}

static void begin(struct policy_live *l, struct policy_told *told, struct json_out *out)
{
	uint32_t words = (l->source_count + 63) / 64;

	free(told->parts);
	*told = (struct policy_told){
		.generation = l->generation, .parts = live_bits(words), .words = words};
	/* Of before nothing counts; and a filter without rules is one too. */
	json_out_null(out, "*");
	json_out_array(out, "base");
	json_out_end(out);
}

void policy_live_filter(struct policy_live *l, int64_t id, struct policy_told *told,
			struct json_out *out, const char *key)
{
	uint32_t slot = live_slot(l, id);
	const struct live_node *n;
	char name[16];

	json_out_object(out, key);
	if (slot == LIVE_NONE) {
		json_out_end(out);
		return;
	}
	n = &l->nodes[slot];
	live_settle(l);
	if (told->generation != l->generation)
		begin(l, told, out);
	for (uint32_t i = 0; i < l->source_count; i++) {
		const struct live_source *s = &l->sources[i];
		bool was = bit_get(told->parts, i), is = concerns(l, s, slot);

		snprintf(name, sizeof(name), "s%u", i);
		if (was && !is)
			json_out_null(out, name);
		else if (is && (!was || s->stamp > told->stamp || n->own_stamp > told->stamp))
			policy_filter_part(&l->view, s->entries, s->entry_count, slot, out, name);
		bit_put(told->parts, i, is);
	}
	told->stamp = l->stamp;
	json_out_end(out);
}

void policy_told_fini(struct policy_told *t)
{
	free(t->parts);
	*t = (struct policy_told){0};
}
