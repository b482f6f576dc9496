/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tailnet's rules, in order: network rules with the same sources and protocol are
 * one, where the first of them stood.
 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_resolved.h"

static bool same_sources(const struct resolved_grant *a, const struct resolved_grant *b)
{
	if (a->source || b->source)
		return a->source == b->source;
	if (a->src_text_count != b->src_text_count)
		return false;
	for (uint32_t i = 0; i < a->src_text_count; i++)
		if (strcmp(a->src_texts[i], b->src_texts[i]) != 0)
			return false;
	return true;
}

static void add_part(struct policy_view *v, struct entry *e, const struct resolved_grant *g,
		     const struct ports *ports)
{
	struct entry_part *p = realloc(e->parts, (e->part_count + 1) * sizeof(*p));

	if (!p) {
		v->no_memory = true;
		return;
	}
	e->parts = p;
	p[e->part_count++] = (struct entry_part){.grant = g, .ports = ports};
}

static void add_entry(struct policy_view *v, enum entry_kind kind, const struct resolved_grant *g,
		      const struct ports *ports)
{
	struct entry *e;

	for (uint32_t i = 0; ports && i < v->entry_count; i++) {
		e = &v->entries[i];
		if (e->kind != kind || e->proto != ports->proto ||
		    !same_sources(e->parts[0].grant, g))
			continue;
		add_part(v, e, g, ports);
		return;
	}
	e = realloc(v->entries, (v->entry_count + 1) * sizeof(*e));
	if (!e) {
		v->no_memory = true;
		return;
	}
	v->entries = e;
	e = &v->entries[v->entry_count++];
	*e = (struct entry){.kind = kind, .proto = ports ? ports->proto : -1};
	add_part(v, e, g, ports);
}

static bool has_self(const struct resolved_grant *g)
{
	for (uint32_t i = 0; i < g->dst_count; i++)
		if (selector_is_auto(g->dst[i].selector, AUTO_SELF))
			return true;
	return false;
}

void policy_make_entries(struct policy_view *v)
{
	for (uint32_t i = 0; i < v->grant_count && !v->no_memory; i++) {
		const struct resolved_grant *g = &v->grants[i];
		const struct grant *from = g->grant;

		for (uint32_t k = 0; k < from->port_count; k++)
			add_entry(v, ENTRY_NETWORK, g, &from->ports[k]);
		for (uint32_t k = 0; has_self(g) && k < from->port_count; k++)
			add_entry(v, ENTRY_SELF, g, &from->ports[k]);
		if (!from->app || from->via.count)
			continue;
		add_entry(v, ENTRY_APP, g, NULL);
		if (has_self(g))
			add_entry(v, ENTRY_APP_SELF, g, NULL);
	}
}
