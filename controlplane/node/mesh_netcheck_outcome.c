/* SPDX-License-Identifier: Apache-2.0 */
/* What follows from a report: endpoints, home region, NetInfo. */
#include <string.h>

#include "controlplane/node/mesh_netcheck_state.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* The first answers of both families, then what stood in several. */
static size_t stun_answers(const struct netcheck_report *r, struct endpoint *out)
{
	size_t count = 0;

	if (r->global_v4.addr.family)
		out[count++] = r->global_v4;
	if (r->global_v6.addr.family)
		out[count++] = r->global_v6;
	for (size_t i = 0; i < r->mapped_count; i++) {
		const struct netcheck_mapped *mapped = &r->mapped[i];

		if (mapped->count > 1 && !endpoint_equal(&mapped->at, &r->global_v4) &&
		    !endpoint_equal(&mapped->at, &r->global_v6))
			out[count++] = mapped->at;
	}
	return count;
}

void mesh_netcheck_update_endpoints(struct mesh_netcheck *m, const struct netcheck_report *r)
{
	struct endpoint answers[NETCHECK_MAPPED_MAX + 2];
	struct endpoint_sources s = {
		.stun = answers,
		.stun_count = r ? stun_answers(r, answers) : 0,
		.is_mapping_varying = r && r->mapping_varies_by_dest_ip == NETCHECK_YES,
		.is_port_fixed = m->is_port_fixed,
		.port4 = m->port4,
		.port6 = m->port6,
		.configured = m->configured,
		.configured_count = m->configured_count,
		.interfaces = m->interfaces.at,
		.interface_count = m->interfaces.count,
	};

	m->is_list_due = false;
	if (endpoint_list_update(&m->endpoints, &s, clock_now_ns()))
		m->ev.on_endpoints(m->arg, &m->endpoints);
}

static double score(void *ctx, uint16_t region)
{
	const struct mesh_netcheck *m = ctx;
	const struct derp_map_region *r = derp_map_region(m->map, region);

	return r ? r->score : 1;
}

static uint64_t last_frame_ns(void *ctx, uint16_t region)
{
	const struct mesh_netcheck *m = ctx;

	return m->env.last_frame_ns(m->env.ctx, region);
}

static bool may_be_home(const struct derp_map_region *r)
{
	return r && !r->is_no_home && derp_map_relays(r);
}

/* The regions that may be home; returns how many. */
static size_t able_regions(const struct mesh_netcheck *m, uint16_t able[DERP_MAP_REGIONS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < m->map->region_count; i++) {
		if (may_be_home(&m->map->region[i]))
			able[count++] = m->map->region[i].id;
	}
	return count;
}

/* Any relay is better than none: peers have to find us somewhere. */
static uint16_t some_region(const struct mesh_netcheck *m)
{
	uint16_t able[DERP_MAP_REGIONS_MAX];
	size_t count = able_regions(m, able);
	uint32_t draw;

	m->env.random->fill(m->env.random->ctx, &draw, sizeof(draw));
	return count ? able[draw % count] : 0;
}

/* Takes the report in; returns the home before it. */
static uint16_t choose_home(struct mesh_netcheck *m, struct netcheck_report *r)
{
	const struct home_env env = {m, score, last_frame_ns};
	uint16_t old = m->home.home;
	struct home_report latencies;

	netcheck_home_report(r, &latencies);
	r->home = home_region_choose(&m->home, &latencies, &env);
	if (!may_be_home(derp_map_region(m->map, old)))
		m->home.home = r->home;
	/* Peers could not learn of another one. */
	else if (!r->home || !m->env.is_heard(m->env.ctx))
		m->home.home = old;
	if (!m->home.home)
		m->home.home = some_region(m);
	return old;
}

/* Do they differ in more than latencies? */
static bool is_news(const json_t *old, const json_t *now)
{
	json_t *a = json_copy((json_t *)old), *b = json_copy((json_t *)now);
	bool differ;

	json_object_del(a, "DERPLatency");
	json_object_del(b, "DERPLatency");
	differ = !json_equal(a, b);
	json_decref(a);
	json_decref(b);
	return differ;
}

/* Takes the reference. */
static void tell_netinfo(struct mesh_netcheck *m, json_t *netinfo)
{
	if (!netinfo || !is_news(m->netinfo, netinfo)) {
		json_decref(netinfo);
		return;
	}
	json_decref(m->netinfo);
	m->netinfo = netinfo;
	m->ev.on_netinfo(m->arg, netinfo);
}

static void tell_home(struct mesh_netcheck *m, uint16_t old)
{
	if (m->home.home == old)
		return;
	log_info("netcheck.home", "region=%u before=%u", m->home.home, old);
	m->ev.on_home(m->arg, m->home.home);
}

/* Where UDP is blocked it takes seconds to measure, and the result would be the same. */
void mesh_netcheck_take_only_home(struct mesh_netcheck *m)
{
	uint16_t able[DERP_MAP_REGIONS_MAX];

	if (m->home.home || able_regions(m, able) != 1)
		return;
	m->home.home = able[0];
	tell_home(m, 0);
	tell_netinfo(m, json_pack("{s:i}", "PreferredDERP", (int)able[0]));
}

static void log_report(const struct mesh_netcheck *m)
{
	const struct netcheck_report *r = &m->report;
	char v4[ENDPOINT_STR_MAX] = "none", v6[ENDPOINT_STR_MAX] = "none";

	if (r->global_v4.addr.family)
		endpoint_print(&r->global_v4, v4);
	if (r->global_v6.addr.family)
		endpoint_print(&r->global_v6, v6);
	log_debug("netcheck.report", "full=%d udp=%d v4=%s v6=%s nat=\"%s\" home=%u ms=%llu",
		  m->engine.is_full, r->udp, v4, v6,
		  netcheck_nat_type(r, m->interfaces.at, m->interfaces.count), m->home.home,
		  (unsigned long long)((r->ended_ns - r->begun_ns) / NS_PER_MS));
}

void mesh_netcheck_finish(struct mesh_netcheck *m)
{
	struct netcheck_report *r = &m->engine.report;
	uint16_t old;

	r->can_send_v4 = m->can_send_v4;
	r->can_send_v6 = m->can_send_v6;
	old = choose_home(m, r);
	m->report = *r;
	m->has_report = true;
	log_report(m);
	mesh_netcheck_update_endpoints(m, &m->report);
	tell_home(m, old);
	tell_netinfo(m, mesh_netcheck_netinfo(&m->report, m->home.home));
	m->ev.on_report(m->arg, &m->report);
}
