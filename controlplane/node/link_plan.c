/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/link_plan.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "lib/base/bug.h"

#define CMP(a, b) ((a) < (b) ? -1 : (a) > (b))

int link_plan_route_cmp(const void *pa, const void *pb)
{
	const struct netlink_route *a = pa, *b = pb;
	int c = CMP(a->dst.addr.family, b->dst.addr.family);

	if (!c)
		c = memcmp(a->dst.addr.bytes, b->dst.addr.bytes, sizeof(a->dst.addr.bytes));
	if (!c)
		c = CMP(a->dst.len, b->dst.len);
	if (!c)
		c = CMP(a->table, b->table);
	return c ? c : CMP(a->metric, b->metric);
}

bool link_plan_has(const struct link_plan *plan, const struct netlink_route *route)
{
	const struct netlink_route *r = NULL;

	if (plan->route_count)
		r = bsearch(route, plan->routes, plan->route_count, sizeof(*route),
			    link_plan_route_cmp);
	return r && r->ifindex == route->ifindex;
}

void link_plan_rules(uint8_t family, struct netlink_rule rules[LINK_RULES])
{
	const struct netlink_rule all[LINK_RULES] = {
		{.priority = LINK_RULE_OUTER,
		 .table = RT_TABLE_MAIN,
		 .fwmark = LINK_FWMARK,
		 .fwmask = LINK_FWMASK,
		 .suppress_group = LINK_GROUP},
		{.priority = LINK_RULE_OUTER_DEFAULT,
		 .table = RT_TABLE_DEFAULT,
		 .fwmark = LINK_FWMARK,
		 .fwmask = LINK_FWMASK},
		{.priority = LINK_RULE_OUTER_END,
		 .is_unreachable = true,
		 .fwmark = LINK_FWMARK,
		 .fwmask = LINK_FWMASK},
		{.priority = LINK_RULE_HOST,
		 .table = LINK_TABLE,
		 .fwmask = LINK_FWMASK,
		 .from_host = true},
		{.priority = LINK_RULE_MAIN, .table = RT_TABLE_MAIN, .suppress_all = true},
		{.priority = LINK_RULE_MESH,
		 .table = LINK_TABLE,
		 .fwmark = LINK_FWMARK,
		 .fwmask = LINK_FWMASK,
		 .invert = true},
	};

	for (unsigned i = 0; i < LINK_RULES; i++) {
		rules[i] = all[i];
		rules[i].family = family;
	}
}

bool link_plan_needs(const struct link_plan *plan, const struct netlink_rule *rule)
{
	bool has_default = rule->family == AF_INET ? plan->default_v4 : plan->default_v6;

	if (rule->priority <= LINK_RULE_OUTER_END)
		return plan->outer_shuns_tunnel;
	return has_default && (plan->shuts_lan || !rule->from_host);
}

static void mask_host_bits(struct prefix *p)
{
	unsigned total = p->addr.family == AF_INET6 ? 128 : 32;

	for (unsigned bit = p->len; bit < total; bit++)
		p->addr.bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

static void add(struct link_plan *plan, const struct prefix *dst, uint32_t ifindex, uint32_t mtu)
{
	struct netlink_route r = {.dst = *dst, .table = RT_TABLE_MAIN};

	if (dst->len == 0) {
		r.table = LINK_TABLE;
		plan->default_v4 |= dst->addr.family == AF_INET;
		plan->default_v6 |= dst->addr.family == AF_INET6;
	}
	r.metric = LINK_METRIC_UNREACHABLE;
	plan->routes[plan->route_count++] = r;
	if (!ifindex)
		return;
	r.metric = LINK_METRIC;
	r.ifindex = ifindex;
	r.mtu = mtu;
	plan->routes[plan->route_count++] = r;
}

static uint32_t tun_mtu(const struct node_config *cfg, uint32_t mtu_max)
{
	uint32_t mtu = cfg->mtu;

	for (uint32_t i = 0; i < cfg->peer_count; i++)
		if (cfg->peers[i].mtu > mtu)
			mtu = cfg->peers[i].mtu;
	return mtu_max && mtu > mtu_max ? mtu_max : mtu;
}

/* A subnet of ours may also be a peer's allowed IP; the peer's row comes first and stays. */
static void drop_duplicates(struct link_plan *plan)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < plan->route_count; i++) {
		struct netlink_route *r = &plan->routes[i];

		if (kept && link_plan_route_cmp(&plan->routes[kept - 1], r) == 0) {
			if (r->mtu)
				plan->routes[kept - 1].mtu = r->mtu;
			continue;
		}
		plan->routes[kept++] = *r;
	}
	plan->route_count = kept;
}

int link_plan_make(const struct node_config *cfg, uint32_t ifindex, uint32_t mtu_max,
		   struct link_plan *out)
{
	static const struct prefix everything[] = {{.addr.family = AF_INET},
						   {.addr.family = AF_INET6}};
	size_t room = cfg->address_count;

	*out = (struct link_plan){.tun_mtu = tun_mtu(cfg, mtu_max),
				  .shuts_lan = cfg->exit_shuts_lan,
				  .outer_shuns_tunnel = cfg->outer_shuns_tunnel};
	for (uint32_t i = 0; i < cfg->peer_count; i++)
		room += cfg->peers[i].allowed_count;
	out->routes = calloc(2 * room + ARRAY_SIZE(everything), sizeof(*out->routes));
	if (!out->routes)
		return -ENOMEM;
	for (uint32_t i = 0; i < cfg->peer_count; i++) {
		const struct config_peer *p = &cfg->peers[i];

		for (uint32_t k = 0; k < p->allowed_count; k++)
			add(out, &p->allowed[k], ifindex, p->mtu < out->tun_mtu ? p->mtu : 0);
	}
	for (uint32_t i = 0; i < cfg->address_count; i++) {
		struct prefix p = {.addr = cfg->addresses[i].addr,
				   .len = cfg->addresses[i].prefix_len};

		/* The kernel makes the connected route itself; a single address has none. */
		if (p.len == (p.addr.family == AF_INET6 ? 128 : 32) || p.len == 0)
			continue;
		mask_host_bits(&p);
		add(out, &p, 0, 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(everything) && cfg->has_exit; i++)
		add(out, &everything[i], 0, 0);
	qsort(out->routes, out->route_count, sizeof(*out->routes), link_plan_route_cmp);
	drop_duplicates(out);
	return 0;
}

void link_plan_fini(struct link_plan *plan)
{
	free(plan->routes);
	*plan = (struct link_plan){0};
}
