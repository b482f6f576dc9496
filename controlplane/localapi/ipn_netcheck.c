/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_netcheck.h"

#include <stdio.h>

#include "controlplane/tailcfg/time_text.h"

enum which { ANY, V4, V6 };

static json_t *latencies(const struct netcheck_report *r, enum which which)
{
	json_t *to = json_object();
	char id[8];

	for (size_t i = 0; i < r->region_count; i++) {
		const struct netcheck_latency *l = &r->region[i];
		uint64_t ns = which == ANY ? l->any_ns : which == V4 ? l->v4_ns : l->v6_ns;

		snprintf(id, sizeof(id), "%u", l->region);
		if (ns)
			json_object_set_new(to, id, json_integer((json_int_t)ns));
	}
	return to;
}

static json_t *counters(const struct netcheck_report *r, uint8_t family)
{
	json_t *to = NULL;
	char text[ENDPOINT_STR_MAX];

	for (size_t i = 0; i < r->mapped_count; i++) {
		if (r->mapped[i].at.addr.family != family)
			continue;
		if (!to)
			to = json_object();
		json_object_set_new(to, endpoint_print(&r->mapped[i].at, text),
				    json_integer(r->mapped[i].count));
	}
	return to ? to : json_null();
}

static json_t *endpoint(const struct endpoint *e)
{
	char text[ENDPOINT_STR_MAX];

	return json_string(e->addr.family ? endpoint_print(e, text) : "");
}

json_t *ipn_netcheck(const struct netcheck_report *r, int64_t at_ns, uint16_t home, bool os_has_v6)
{
	json_t *varies = r->mapping_varies_by_dest_ip == NETCHECK_UNKNOWN ? json_null()
			 : r->mapping_varies_by_dest_ip == NETCHECK_YES	  ? json_true()
									  : json_false();
	char now[TIME_TEXT_MAX];

	/* No port mapping protocol is spoken: null is what stock says of what it did not ask. */
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:o, s:n, s:n, s:n, s:i,"
			 " s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:n}",
			 "Now", time_text_print(at_ns, now), "UDP", r->udp, "IPv6", r->ipv6, "IPv4",
			 r->ipv4, "IPv6CanSend", r->ipv6, "IPv4CanSend", r->ipv4, "OSHasIPv6",
			 r->ipv6, "ICMPv4", 0, "MappingVariesByDestIP", varies, "UPnP", "PMP",
			 "PCP", "PreferredDERP", (int)home, "RegionLatency", latencies(r, ANY),
			 "RegionV4Latency", latencies(r, V4), "RegionV6Latency", latencies(r, V6),
			 "GlobalV4Counters", counters(r, AF_INET), "GlobalV6Counters",
			 counters(r, AF_INET6), "GlobalV4", endpoint(&r->global_v4), "GlobalV6",
			 endpoint(&r->global_v6), "CaptivePortal");
}
