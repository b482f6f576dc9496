/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that give capabilities: CapGrant, and the other side of drive and relay. */
#include <errno.h>

#include "controlplane/policy/policy_filter_making.h"

#define DRIVE_COMPANION "tailscale.com/cap/drive-sharer"
#define RELAY_COMPANION "tailscale.com/cap/relay-target"

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
	filter_put_texts(k->j, texts, count);
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
			if (filter_routes_in(k->n, &p))
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
	filter_put_texts(k->j, texts, count);
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
	ok = is_self ? filter_own_texts(k, g, false, &texts, &count)
		     : reversed_texts(k, g, &texts, &count);
	if (!ok)
		k->j->error = -ENOMEM;
	if (g->grant->has_drive)
		put_companion(k, DRIVE_COMPANION, texts, count, is_self ? NULL : g);
	if (g->grant->has_relay)
		put_companion(k, RELAY_COMPANION, texts, count, is_self ? NULL : g);
	texts_fini(texts, count);
}

void filter_put_app(struct making *k, const struct resolved_grant *g)
{
	put_cap_rule(k, g);
	if (has_plain_dst(g))
		put_companions(k, g, false);
}

void filter_put_app_self(struct making *k, const struct resolved_grant *g)
{
	char **texts = NULL;
	uint32_t count = 0;

	if (k->n->user < 0)
		return;
	if (!filter_own_texts(k, g, true, &texts, &count))
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
