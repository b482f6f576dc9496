/* SPDX-License-Identifier: Apache-2.0 */
/* Of the tailnet's rules what concerns one node, as tailcfg FilterRules. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_internet.h"
#include "controlplane/policy/policy_resolved.h"

#define DRIVE_COMPANION "tailscale.com/cap/drive-sharer"
#define RELAY_COMPANION "tailscale.com/cap/relay-target"

struct making {
	const struct policy_view *v;
	const struct policy_node *n;
	uint32_t node;
	struct json_out *j;
	bool is_open; /* a rule is, and its DstPorts */
};

static void put_texts(struct json_out *j, char *const *texts, uint32_t count)
{
	json_out_array(j, "SrcIPs");
	for (uint32_t i = 0; i < count; i++)
		json_out_string(j, NULL, texts[i]);
	json_out_end(j);
}

static void put_sources(struct json_out *j, const struct resolved_grant *g)
{
	if (g->src_json)
		json_out_raw(j, "SrcIPs", g->src_json);
	else
		put_texts(j, g->src_texts, g->src_text_count);
}

/* A rule is begun with its first destination, so that one without any never is. */
static void begin_rule(struct making *k, const struct resolved_grant *g)
{
	if (k->is_open)
		return;
	k->is_open = true;
	json_out_object(k->j, NULL);
	put_sources(k->j, g);
	json_out_array(k->j, "DstPorts");
}

static void end_rule(struct making *k, int proto)
{
	if (!k->is_open)
		return;
	k->is_open = false;
	json_out_end(k->j);
	if (proto >= 0) {
		json_out_array(k->j, "IPProto");
		json_out_i64(k->j, NULL, proto);
		json_out_end(k->j);
	}
	json_out_end(k->j);
}

static void put_ports(struct json_out *j, const char *ip, const struct ports *ports)
{
	for (uint32_t i = 0; i < ports->count; i++) {
		json_out_object(j, NULL);
		json_out_string(j, "IP", ip);
		json_out_object(j, "Ports");
		json_out_u64(j, "First", ports->ranges[i].first);
		json_out_u64(j, "Last", ports->ranges[i].last);
		json_out_end(j);
		json_out_end(j);
	}
}

static bool has_routes_in(const struct policy_node *n, const struct prefix *p)
{
	struct ip_range range = ip_range_of(p);
	struct ip_set one = {.ranges = &range, .count = 1};

	return set_meets_routes(&one, n);
}

static bool is_node_in(const struct policy_node *n, const struct prefix *p)
{
	return (n->v4.family && prefix_contains(p, &n->v4)) ||
	       (n->v6.family && prefix_contains(p, &n->v6));
}

static const char *prefix_text(const struct prefix *p, char buf[PREFIX_STR_MAX])
{
	if (p->len == (p->addr.family == AF_INET6 ? 128 : 32))
		return addr_print(&p->addr, buf);
	return prefix_print(p, buf);
}

/*
 * Of a set of nodes its own addresses alone: a filter that named neighbours in the set
 * as well would change with each of them.
 */
static void put_own(struct making *k, const struct entry_part *part, const struct resolved_dst *d)
{
	const struct ip_addr *own[] = {&k->n->v4, &k->n->v6};
	char buf[ADDR_STR_MAX];

	for (uint32_t i = 0; bit_get(d->members, k->node) && i < 2; i++) {
		if (!own[i]->family)
			continue;
		begin_rule(k, part->grant);
		put_ports(k->j, addr_print(own[i], buf), part->ports);
	}
}

/* The prefixes of a destination that concern the node, as the policy wrote them. */
static void put_set(struct making *k, const struct entry_part *part, const struct resolved_dst *d)
{
	const struct grant *g = part->grant->grant;

	if (d->members && !g->via.count)
		put_own(k, part, d);
	/* Of a set of nodes the rest concerns only who has routes to them. */
	if (d->members && !k->n->route_count)
		return;
	for (uint32_t i = 0; i < d->set.count; i++) {
		struct ip_range r = d->set.ranges[i];
		char buf[PREFIX_STR_MAX];
		struct prefix p;

		while (ip_range_next_prefix(&r, &p)) {
			if (!has_routes_in(k->n, &p) &&
			    (d->members || g->via.count || !is_node_in(k->n, &p)))
				continue;
			begin_rule(k, part->grant);
			put_ports(k->j, prefix_text(&p, buf), part->ports);
		}
	}
}

static void put_dst(struct making *k, const struct entry_part *part, const struct resolved_dst *d)
{
	const struct grant *g = part->grant->grant;
	const struct selector *s = d->selector;

	if (selector_is_auto(s, AUTO_SELF) || (g->via.count && !node_has_tag_of(k->n, &g->via)))
		return;
	if (s->kind == SELECT_ALL && !g->via.count) {
		begin_rule(k, part->grant);
		put_ports(k->j, "*", part->ports);
	} else if (selector_is_auto(s, AUTO_INTERNET) && k->n->is_exit) {
		begin_rule(k, part->grant);
		for (const char *const *t = policy_internet_text; *t; t++)
			put_ports(k->j, *t, part->ports);
	} else {
		put_set(k, part, d);
	}
}

/* Addresses of the untagged nodes of this node's user; only those that are sources. */
static void own_devices(const struct making *k, const struct resolved_grant *g, bool only_sources,
			struct ip_set *out)
{
	for (uint32_t i = 0; i < k->v->world->node_count; i++) {
		const struct policy_node *n = &k->v->world->nodes[i];

		if (!nodes_are_of_one_user(n, k->n) ||
		    (only_sources && !g->is_src_any && !set_meets_node(&g->src, n)))
			continue;
		ip_set_add_addr(out, &n->v4);
		ip_set_add_addr(out, &n->v6);
	}
	ip_set_close(out);
}

static bool own_texts(const struct making *k, const struct resolved_grant *g, bool only_sources,
		      char ***texts, uint32_t *count)
{
	struct ip_set set = {0};
	bool ok;

	own_devices(k, g, only_sources, &set);
	ok = !set.no_memory && texts_of_set(&set, texts, count);
	texts_close(*texts, count);
	ip_set_fini(&set);
	return ok;
}

static void begin_own_rule(struct making *k, char *const *texts, uint32_t count)
{
	if (k->is_open)
		return;
	k->is_open = true;
	json_out_object(k->j, NULL);
	put_texts(k->j, texts, count);
	json_out_array(k->j, "DstPorts");
}

static void put_self(struct making *k, const struct entry *e)
{
	char **texts = NULL, buf[ADDR_STR_MAX];
	uint32_t count = 0;

	if (k->n->user < 0)
		return;
	if (!own_texts(k, e->parts[0].grant, true, &texts, &count))
		k->j->error = -ENOMEM;
	for (uint32_t i = 0; count && i < e->part_count; i++) {
		begin_own_rule(k, texts, count);
		if (k->n->v4.family)
			put_ports(k->j, addr_print(&k->n->v4, buf), e->parts[i].ports);
		if (k->n->v6.family)
			put_ports(k->j, addr_print(&k->n->v6, buf), e->parts[i].ports);
	}
	end_rule(k, e->proto);
	texts_fini(texts, count);
}

/* ---- capabilities ---- */

static void put_host(struct json_out *j, const struct ip_addr *a)
{
	struct prefix p = {.addr = *a, .len = a->family == AF_INET6 ? 128 : 32};
	char buf[PREFIX_STR_MAX];

	if (a->family)
		json_out_string(j, NULL, prefix_print(&p, buf));
}

static void begin_caps(struct making *k, char *const *texts, uint32_t count)
{
	if (k->is_open)
		return;
	k->is_open = true;
	json_out_object(k->j, NULL);
	put_texts(k->j, texts, count);
	json_out_array(k->j, "CapGrant");
}

static void end_caps(struct making *k)
{
	if (!k->is_open)
		return;
	k->is_open = false;
	json_out_end(k->j);
	json_out_end(k->j);
}

/* The prefixes of a set that meet the node's routes, behind its own addresses in it. */
static void put_dsts(struct making *k, const struct resolved_dst *d)
{
	bool is_all = d->selector->kind == SELECT_ALL;
	char buf[PREFIX_STR_MAX];

	json_out_array(k->j, "Dsts");
	for (uint32_t f = 0; f < 2; f++) {
		const struct ip_addr *own = f ? &k->n->v6 : &k->n->v4;

		if (own->family && (is_all || ip_set_has(&d->set, own)))
			put_host(k->j, own);
	}
	for (uint32_t i = 0; i < d->set.count; i++) {
		struct ip_range r = d->set.ranges[i];
		struct prefix p;

		while (ip_range_next_prefix(&r, &p))
			if (has_routes_in(k->n, &p))
				json_out_string(k->j, NULL, prefix_print(&p, buf));
	}
	json_out_end(k->j);
}

static void put_cap_rule(struct making *k, const struct resolved_grant *g)
{
	for (uint32_t i = 0; i < g->dst_count; i++) {
		const struct resolved_dst *d = &g->dst[i];

		if (selector_is_auto(d->selector, AUTO_SELF) ||
		    selector_is_auto(d->selector, AUTO_INTERNET) || !bit_get(d->nodes, k->node))
			continue;
		begin_caps(k, g->src_texts, g->src_text_count);
		json_out_object(k->j, NULL);
		put_dsts(k, d);
		json_out_raw(k->j, "CapMap", g->grant->app);
		json_out_end(k->j);
	}
	end_caps(k);
}

/* One entry with the node's own addresses that are in the set (NULL: all). */
static void put_companion(struct making *k, const char *cap, char *const *texts, uint32_t count,
			  const struct resolved_grant *g)
{
	json_out_object(k->j, NULL);
	put_texts(k->j, texts, count);
	json_out_array(k->j, "CapGrant");
	json_out_object(k->j, NULL);
	json_out_array(k->j, "Dsts");
	for (uint32_t f = 0; f < 2; f++) {
		const struct ip_addr *own = f ? &k->n->v6 : &k->n->v4;

		if (own->family && (!g || g->is_src_any || ip_set_has(&g->src, own)))
			put_host(k->j, own);
	}
	json_out_end(k->j);
	json_out_object(k->j, "CapMap");
	json_out_null(k->j, cap);
	json_out_end(k->j);
	json_out_end(k->j);
	json_out_end(k->j);
	json_out_end(k->j);
}

/* Addresses of all destinations, as sources. */
static bool reversed_texts(const struct making *k, const struct resolved_grant *g, char ***texts,
			   uint32_t *count)
{
	struct ip_set set = {0};
	bool is_all = false, ok;

	for (uint32_t i = 0; i < g->dst_count; i++) {
		is_all |= g->dst[i].selector->kind == SELECT_ALL;
		ip_set_add_all(&set, &g->dst[i].set);
	}
	ip_set_close(&set);
	ok = !set.no_memory && texts_of_set(&set, texts, count) &&
	     (!is_all || texts_of_everybody(k->v->world, texts, count));
	texts_close(*texts, count);
	ip_set_fini(&set);
	return ok;
}

static bool has_plain_dst(const struct resolved_grant *g)
{
	for (uint32_t i = 0; i < g->dst_count; i++)
		if (!selector_is_auto(g->dst[i].selector, AUTO_SELF))
			return true;
	return false;
}

/* The other side of drive and relay: who is served, told to those who are served. */
static void put_companions(struct making *k, const struct resolved_grant *g, bool is_self)
{
	char **texts = NULL;
	uint32_t count = 0;
	bool ok;

	if (!g->grant->has_drive && !g->grant->has_relay)
		return;
	if (!g->is_src_any && !set_meets_node(&g->src, k->n))
		return;
	ok = is_self ? own_texts(k, g, false, &texts, &count)
		     : reversed_texts(k, g, &texts, &count);
	if (!ok)
		k->j->error = -ENOMEM;
	if (g->grant->has_drive)
		put_companion(k, DRIVE_COMPANION, texts, count, is_self ? NULL : g);
	if (g->grant->has_relay)
		put_companion(k, RELAY_COMPANION, texts, count, is_self ? NULL : g);
	texts_fini(texts, count);
}

static void put_app(struct making *k, const struct resolved_grant *g)
{
	put_cap_rule(k, g);
	if (has_plain_dst(g))
		put_companions(k, g, false);
}

static void put_app_self(struct making *k, const struct resolved_grant *g)
{
	char **texts = NULL;
	uint32_t count = 0;

	if (k->n->user < 0)
		return;
	if (!own_texts(k, g, true, &texts, &count))
		k->j->error = -ENOMEM;
	if (count) {
		begin_caps(k, texts, count);
		json_out_object(k->j, NULL);
		json_out_array(k->j, "Dsts");
		put_host(k->j, &k->n->v4);
		put_host(k->j, &k->n->v6);
		json_out_end(k->j);
		json_out_raw(k->j, "CapMap", g->grant->app);
		json_out_end(k->j);
		end_caps(k);
		put_companions(k, g, true);
	}
	texts_fini(texts, count);
}

static void put_entry(struct making *k, const struct entry *e)
{
	switch (e->kind) {
	case ENTRY_NETWORK:
		/* From nobody: no rule. */
		if (!e->parts[0].grant->src_text_count)
			break;
		for (uint32_t i = 0; i < e->part_count; i++)
			for (uint32_t d = 0; d < e->parts[i].grant->dst_count; d++)
				put_dst(k, &e->parts[i], &e->parts[i].grant->dst[d]);
		end_rule(k, e->proto);
		break;
	case ENTRY_SELF:
		put_self(k, e);
		break;
	case ENTRY_APP:
		put_app(k, e->parts[0].grant);
		break;
	case ENTRY_APP_SELF:
		put_app_self(k, e->parts[0].grant);
		break;
	}
}

void policy_filter(const struct policy_view *v, uint32_t node, struct json_out *out,
		   const char *key)
{
	struct making k = {.v = v, .n = &v->world->nodes[node], .node = node, .j = out};

	json_out_array(out, key);
	for (uint32_t i = 0; i < v->entry_count; i++)
		put_entry(&k, &v->entries[i]);
	json_out_end(out);
}

void policy_filter_part(const struct policy_view *v, const uint32_t *entries, uint32_t count,
			uint32_t node, struct json_out *out, const char *key)
{
	struct making k = {.v = v, .n = &v->world->nodes[node], .node = node, .j = out};

	json_out_array(out, key);
	for (uint32_t i = 0; i < count; i++)
		put_entry(&k, &v->entries[entries[i]]);
	json_out_end(out);
}
