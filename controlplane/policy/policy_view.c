/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is a source and who a destination of each grant, as bit sets of nodes; from
 * them who sees whom, and which routes go with it.
 */
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_resolved.h"

bool node_has_tag_of(const struct policy_node *n, const struct selectors *tags)
{
	for (uint32_t i = 0; i < tags->count; i++)
		for (uint32_t k = 0; k < n->tag_count; k++)
			if (strcmp(tags->list[i].text, n->tags[k]) == 0)
				return true;
	return false;
}

bool set_meets_node(const struct ip_set *s, const struct policy_node *n)
{
	return (n->v4.family && ip_set_has(s, &n->v4)) || (n->v6.family && ip_set_has(s, &n->v6));
}

bool set_meets_routes(const struct ip_set *s, const struct policy_node *n)
{
	for (uint32_t i = 0; i < n->route_count; i++)
		if (ip_set_meets(s, &n->routes[i]))
			return true;
	return false;
}

bool nodes_are_of_one_user(const struct policy_node *a, const struct policy_node *b)
{
	return a->user >= 0 && a->user == b->user;
}

static uint64_t *new_bits(struct policy_view *v)
{
	uint64_t *bits = calloc(v->words + 1, sizeof(*bits));

	v->no_memory |= !bits;
	return bits;
}

static void resolve_src(struct policy_view *v, struct resolved_grant *g)
{
	struct ip_set others = {0};
	bool is_all = false;

	for (uint32_t i = 0; i < g->grant->src.count; i++) {
		const struct selector *s = &g->grant->src.list[i];

		if (s->kind == SELECT_ALL)
			is_all = true;
		else if (selector_is_auto(s, AUTO_DANGER_ALL))
			g->is_src_any = true;
		else
			selector_addresses(v->policy, v->world, s, &others);
	}
	ip_set_close(&others);
	if (g->is_src_any) {
		v->no_memory |= !texts_add(&g->src_texts, &g->src_text_count, "*");
	} else {
		v->no_memory |= !texts_of_set(&others, &g->src_texts, &g->src_text_count);
		if (is_all)
			v->no_memory |=
				!texts_of_everybody(v->world, &g->src_texts, &g->src_text_count);
	}
	texts_close(g->src_texts, &g->src_text_count);
	ip_set_add_all(&g->src, &others);
	if (is_all)
		set_of_everybody(v->world, &g->src);
	ip_set_close(&g->src);
	v->no_memory |= others.no_memory || g->src.no_memory;
	ip_set_fini(&others);
	g->src_nodes = new_bits(v);
	for (uint32_t i = 0; g->src_nodes && i < v->world->node_count; i++) {
		const struct policy_node *n = &v->world->nodes[i];

		if (g->is_src_any || set_meets_node(&g->src, n) || set_meets_routes(&g->src, n))
			g->src_nodes[i / 64] |= 1ull << (i % 64);
	}
}

/* Does the destination count as reaching the node? (docs/protocol/policy.md, "Peers") */
static bool reaches(const struct grant *g, const struct resolved_dst *d,
		    const struct policy_node *n)
{
	const struct selector *s = d->selector;
	bool is_via = g->via.count > 0;

	if (is_via && !node_has_tag_of(n, &g->via))
		return false;
	if (s->kind == SELECT_ALL)
		return !is_via;
	if (selector_is_auto(s, AUTO_SELF))
		return false;
	if (selector_is_auto(s, AUTO_INTERNET))
		return n->is_exit;
	if (is_via)
		return set_meets_routes(&d->set, n);
	return set_meets_node(&d->set, n) || set_meets_routes(&d->set, n);
}

static void resolve_dst(struct policy_view *v, const struct grant *g, const struct selector *s,
			struct resolved_dst *d)
{
	d->selector = s;
	if (s->kind != SELECT_ALL && !selector_is_auto(s, AUTO_SELF) &&
	    !selector_is_auto(s, AUTO_INTERNET))
		selector_addresses(v->policy, v->world, s, &d->set);
	ip_set_close(&d->set);
	v->no_memory |= d->set.no_memory;
	d->nodes = new_bits(v);
	for (uint32_t i = 0; d->nodes && i < v->world->node_count; i++)
		if (reaches(g, d, &v->world->nodes[i]))
			d->nodes[i / 64] |= 1ull << (i % 64);
}

static void resolve(struct policy_view *v, const struct grant *g, struct resolved_grant *out)
{
	out->grant = g;
	resolve_src(v, out);
	out->dst = calloc(g->dst.count + 1, sizeof(*out->dst));
	v->no_memory |= !out->dst;
	for (uint32_t i = 0; out->dst && i < g->dst.count; i++)
		resolve_dst(v, g, &g->dst.list[i], &out->dst[out->dst_count++]);
}

static struct policy *everything(void)
{
	struct policy_report report;
	struct policy *p;
	int rc = policy_parse(POLICY_EVERYTHING, strlen(POLICY_EVERYTHING), &p, &report);

	policy_report_fini(&report);
	return rc ? NULL : p;
}

struct policy_view *policy_view_new(const struct policy *policy, const struct policy_world *world)
{
	struct policy_view *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->policy = policy;
	v->world = world;
	v->words = (world->node_count + 63) / 64;
	if (!policy || !policy->has_rules) {
		v->implied = everything();
		v->policy = v->implied;
		if (!v->implied) {
			policy_view_free(v);
			return NULL;
		}
	}
	v->grants = calloc(v->policy->grant_count + 1, sizeof(*v->grants));
	v->no_memory |= !v->grants;
	for (uint32_t i = 0; v->grants && i < v->policy->grant_count; i++)
		resolve(v, &v->policy->grants[i], &v->grants[v->grant_count++]);
	policy_make_entries(v);
	if (v->no_memory) {
		policy_view_free(v);
		return NULL;
	}
	return v;
}

void policy_view_free(struct policy_view *v)
{
	if (!v)
		return;
	for (uint32_t i = 0; i < v->grant_count; i++) {
		struct resolved_grant *g = &v->grants[i];

		ip_set_fini(&g->src);
		texts_fini(g->src_texts, g->src_text_count);
		free(g->src_nodes);
		for (uint32_t k = 0; k < g->dst_count; k++) {
			ip_set_fini(&g->dst[k].set);
			free(g->dst[k].nodes);
		}
		free(g->dst);
	}
	for (uint32_t i = 0; i < v->entry_count; i++)
		free(v->entries[i].parts);
	free(v->entries);
	free(v->grants);
	policy_free(v->implied);
	free(v);
}

/* ---- who sees whom ---- */

/* By this grant a may reach b. */
static bool may_reach(const struct policy_view *v, const struct resolved_grant *g, uint32_t a,
		      uint32_t b)
{
	const struct policy_node *nodes = v->world->nodes;

	if (!bit_get(g->src_nodes, a) || !grant_has_effect(g->grant))
		return false;
	for (uint32_t i = 0; i < g->dst_count; i++) {
		if (bit_get(g->dst[i].nodes, b))
			return true;
		if (selector_is_auto(g->dst[i].selector, AUTO_SELF) &&
		    nodes_are_of_one_user(&nodes[a], &nodes[b]))
			return true;
	}
	return false;
}

bool policy_is_peer(const struct policy_view *v, uint32_t a, uint32_t b)
{
	if (a == b)
		return false;
	for (uint32_t i = 0; i < v->grant_count; i++)
		if (may_reach(v, &v->grants[i], a, b) || may_reach(v, &v->grants[i], b, a))
			return true;
	return false;
}

/* ---- routes ---- */

/* The grant's destinations hold some of the route. */
static bool dst_meets(const struct resolved_grant *g, const struct prefix *route)
{
	for (uint32_t i = 0; i < g->dst_count; i++) {
		const struct selector *s = g->dst[i].selector;

		if (s->kind == SELECT_ALL ? !g->grant->via.count
					  : ip_set_meets(&g->dst[i].set, route))
			return true;
	}
	return false;
}

/* A rule without via lets a reach the route, or the route reach a. */
static bool is_plain_reach(const struct policy_view *v, uint32_t a, const struct prefix *route)
{
	for (uint32_t i = 0; i < v->grant_count; i++) {
		const struct resolved_grant *g = &v->grants[i];

		if (g->grant->via.count || !grant_has_effect(g->grant))
			continue;
		if (bit_get(g->src_nodes, a) && dst_meets(g, route))
			return true;
		if (!g->is_src_any && !ip_set_meets(&g->src, route))
			continue;
		for (uint32_t k = 0; k < g->dst_count; k++)
			if (bit_get(g->dst[k].nodes, a))
				return true;
	}
	return false;
}

static bool has_prefix(const struct prefix *list, uint32_t count, const struct prefix *p)
{
	for (uint32_t i = 0; i < count; i++)
		if (prefix_equal(&list[i], p))
			return true;
	return false;
}

/*
 * Of the routers of a prefix that carry the grant's tag: the primary, else the oldest.
 * One and the same for all.
 */
static bool is_elected(const struct policy_view *v, const struct resolved_grant *g, uint32_t b,
		       const struct prefix *route)
{
	const struct policy_world *w = v->world;
	int64_t best = -1;
	uint32_t chosen = 0;

	for (uint32_t i = 0; i < w->node_count; i++) {
		const struct policy_node *n = &w->nodes[i];

		if (!has_prefix(n->routes, n->route_count, route) ||
		    !node_has_tag_of(n, &g->grant->via))
			continue;
		if (has_prefix(n->primary, n->primary_count, route))
			return i == b;
		if (best < 0 || n->id < best) {
			best = n->id;
			chosen = i;
		}
	}
	return best >= 0 && chosen == b;
}

static bool is_via_route(const struct policy_view *v, uint32_t a, uint32_t b,
			 const struct prefix *route)
{
	for (uint32_t i = 0; i < v->grant_count; i++) {
		const struct resolved_grant *g = &v->grants[i];

		if (g->grant->via.count && grant_has_effect(g->grant) && bit_get(g->src_nodes, a) &&
		    dst_meets(g, route) && is_elected(v, g, b, route))
			return true;
	}
	return false;
}

static bool gets_route(const struct policy_view *v, uint32_t a, uint32_t b,
		       const struct prefix *route)
{
	const struct policy_node *na = &v->world->nodes[a], *nb = &v->world->nodes[b];
	bool is_plain = is_plain_reach(v, a, route);

	if (has_prefix(nb->primary, nb->primary_count, route) &&
	    (is_plain || has_prefix(na->routes, na->route_count, route)))
		return true;
	return !is_plain && is_via_route(v, a, b, route);
}

/* A rule lets a reach the internet, by way of b. */
static bool gets_exit(const struct policy_view *v, uint32_t a, uint32_t b)
{
	const struct policy_node *nb = &v->world->nodes[b];

	for (uint32_t i = 0; nb->is_exit && i < v->grant_count; i++) {
		const struct resolved_grant *g = &v->grants[i];

		if (!bit_get(g->src_nodes, a) || !grant_has_effect(g->grant))
			continue;
		for (uint32_t k = 0; k < g->dst_count; k++) {
			const struct selector *s = g->dst[k].selector;

			if ((s->kind == SELECT_ALL && !g->grant->via.count) ||
			    (selector_is_auto(s, AUTO_INTERNET) &&
			     (!g->grant->via.count || node_has_tag_of(nb, &g->grant->via))))
				return true;
		}
	}
	return false;
}

uint32_t policy_routes(const struct policy_view *v, uint32_t a, uint32_t b, struct prefix *out,
		       uint32_t room)
{
	static const struct prefix exits[] = {{.addr.family = AF_INET}, {.addr.family = AF_INET6}};
	const struct policy_node *nb = &v->world->nodes[b];
	uint32_t n = 0;

	for (uint32_t i = 0; i < nb->route_count; i++) {
		if (!gets_route(v, a, b, &nb->routes[i]))
			continue;
		if (n < room)
			out[n] = nb->routes[i];
		n++;
	}
	for (uint32_t i = 0; i < 2 && gets_exit(v, a, b); i++, n++)
		if (n < room)
			out[n] = exits[i];
	return n;
}
