/* SPDX-License-Identifier: Apache-2.0 */
/* A report as others want to read it. */
#include <string.h>

#include "controlplane/node/mesh_netcheck.h"
#include "controlplane/tailcfg/time_text.h"
#include "lib/base/clock.h"

/* true, false, or null for what is not known. */
static json_t *varies(const struct netcheck_report *r)
{
	if (r->mapping_varies_by_dest_ip == NETCHECK_UNKNOWN)
		return json_null();
	return json_boolean(r->mapping_varies_by_dest_ip == NETCHECK_YES);
}

static json_t *end_time(const struct netcheck_report *r)
{
	uint64_t age_ns = clock_now_ns() - r->ended_ns;
	char text[TIME_TEXT_MAX];

	return json_string(time_text_print((int64_t)(clock_wall_ns() - age_ns), text));
}

static uint64_t of_family(const struct netcheck_latency *l, uint8_t family)
{
	return family == AF_INET ? l->v4_ns : family == AF_INET6 ? l->v6_ns : l->any_ns;
}

/* Region -> ns; family 0: the smaller one. */
static json_t *latencies(const struct netcheck_report *r, uint8_t family)
{
	json_t *out = json_object();

	for (size_t i = 0; i < r->region_count; i++) {
		uint64_t ns = of_family(&r->region[i], family);
		char id[8];

		snprintf(id, sizeof(id), "%u", r->region[i].region);
		if (ns)
			json_object_set_new(out, id, json_integer((json_int_t)ns));
	}
	return out;
}

static json_t *endpoint_text(const struct endpoint *e)
{
	char text[ENDPOINT_STR_MAX];

	return json_string(e->addr.family ? endpoint_print(e, text) : "");
}

/* Mapped address -> how often it was seen; null if never, as a map of Go that was not made. */
static json_t *counters(const struct netcheck_report *r, uint8_t family)
{
	json_t *out = NULL;

	for (size_t i = 0; i < r->mapped_count; i++) {
		char text[ENDPOINT_STR_MAX];

		if (r->mapped[i].at.addr.family != family)
			continue;
		out = out ? out : json_object();
		json_object_set_new(out, endpoint_print(&r->mapped[i].at, text),
				    json_integer(r->mapped[i].count));
	}
	return out ? out : json_null();
}

/* ICMP, port mapping and captive portals are not looked for. */
json_t *mesh_netcheck_report_json(const struct netcheck_report *r)
{
	return json_pack("{s:o,s:b,s:b,s:b,s:b,s:b,s:b,s:b,s:o,s:n,s:n,s:n,s:i,s:o,s:o,s:o,s:o,s:o,"
			 "s:o,s:o,s:n}",
			 "Now", end_time(r), "UDP", r->udp, "IPv6", r->ipv6, "IPv4", r->ipv4,
			 "IPv6CanSend", r->can_send_v6, "IPv4CanSend", r->can_send_v4, "OSHasIPv6",
			 r->has_os_v6, "ICMPv4", 0, "MappingVariesByDestIP", varies(r), "UPnP",
			 "PMP", "PCP", "PreferredDERP", (int)r->home, "RegionLatency",
			 latencies(r, 0), "RegionV4Latency", latencies(r, AF_INET),
			 "RegionV6Latency", latencies(r, AF_INET6), "GlobalV4Counters",
			 counters(r, AF_INET), "GlobalV6Counters", counters(r, AF_INET6),
			 "GlobalV4", endpoint_text(&r->global_v4), "GlobalV6",
			 endpoint_text(&r->global_v6), "CaptivePortal");
}

static void add_latencies(json_t *out, const struct netcheck_report *r, uint8_t family)
{
	for (size_t i = 0; i < r->region_count; i++) {
		uint64_t ns = of_family(&r->region[i], family);
		char id[16];

		snprintf(id, sizeof(id), "%u-v%c", r->region[i].region,
			 family == AF_INET ? '4' : '6');
		if (ns)
			json_object_set_new(out, id, json_real((double)ns / 1e9));
	}
}

json_t *mesh_netcheck_netinfo(const struct netcheck_report *r, uint16_t home)
{
	json_t *latency = json_object(), *out;

	add_latencies(latency, r, AF_INET);
	add_latencies(latency, r, AF_INET6);
	out = json_pack("{s:b,s:b,s:b}", "WorkingIPv6", r->ipv6, "OSHasIPv6", r->has_os_v6,
			"WorkingUDP", r->udp);
	if (r->mapping_varies_by_dest_ip != NETCHECK_UNKNOWN)
		json_object_set_new(out, "MappingVariesByDestIP", varies(r));
	if (home)
		json_object_set_new(out, "PreferredDERP", json_integer(home));
	if (json_object_size(latency))
		json_object_set(out, "DERPLatency", latency);
	json_decref(latency);
	return out;
}
