/* SPDX-License-Identifier: Apache-2.0 */
/* Of the tailnet's rules what concerns one node, as tailcfg FilterRules. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_filter_making.h"
#include "controlplane/policy/policy_internet.h"

void filter_put_texts(struct json_out *j, char *const *texts, uint32_t count)
{
	json_out_array(j, "SrcIPs");
	for (uint32_t i = 0; i < count; i++)
		json_out_string(j, NULL, texts[i]);
	json_out_end(j);
}

/*
 * A rule is begun with its first destination, so that one without any never is. json: the
 * same as texts, NULL: not at hand.
 */
static void begin_rule_of(struct making *k, char *const *texts, uint32_t count, const char *json)
{
	if (k->is_open)
		return;
	k->is_open = true;
	json_out_object(k->j, NULL);
	if (json)
		json_out_raw(k->j, "SrcIPs", json);
	else
		filter_put_texts(k->j, texts, count);
	json_out_array(k->j, "DstPorts");
}

static void begin_rule(struct making *k, const struct resolved_grant *g)
{
	begin_rule_of(k, g->src_texts, g->src_text_count, g->src_json);
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

bool filter_routes_in(const struct policy_node *n, const struct prefix *p)
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
			if (!filter_routes_in(k->n, &p) &&
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

bool filter_own_texts(const struct making *k, const struct resolved_grant *g, bool only_sources,
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

static void put_self(struct making *k, const struct entry *e)
{
	char **texts = NULL, buf[ADDR_STR_MAX];
	uint32_t count = 0;

	if (k->n->user < 0)
		return;
	if (!filter_own_texts(k, e->parts[0].grant, true, &texts, &count))
		k->j->error = -ENOMEM;
	for (uint32_t i = 0; count && i < e->part_count; i++) {
		begin_rule_of(k, texts, count, NULL);
		if (k->n->v4.family)
			put_ports(k->j, addr_print(&k->n->v4, buf), e->parts[i].ports);
		if (k->n->v6.family)
			put_ports(k->j, addr_print(&k->n->v6, buf), e->parts[i].ports);
	}
	end_rule(k, e->proto);
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
		filter_put_app(k, e->parts[0].grant);
		break;
	case ENTRY_APP_SELF:
		filter_put_app_self(k, e->parts[0].grant);
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
