/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_ping.h"

#include <string.h>

json_t *ipn_ping_result(const struct ipn_ping *p)
{
	char ip[ADDR_STR_MAX], at[ENDPOINT_STR_MAX] = "", node_ip[ADDR_STR_MAX] = "";
	const char *name = p->node ? p->node->name : "";
	json_t *to;

	addr_print(&p->ip, ip);
	if (p->node && p->node->address_count)
		addr_print(&p->node->addresses[0].addr, node_ip);
	if (p->endpoint.addr.family)
		endpoint_print(&p->endpoint, at);
	to = json_pack("{s:s, s:s, s:s%, s:s, s:f, s:s, s:s, s:i, s:s}", "IP", ip, "NodeIP",
		       node_ip, "NodeName", name, strcspn(name, "."), "Err",
		       p->error ? p->error : "", "LatencySeconds", (double)p->latency_ns / 1e9,
		       "Endpoint", at, "PeerRelay", "", "DERPRegionID", (int)p->region,
		       "DERPRegionCode", p->region ? p->region_code : "");
	if (to && p->is_local)
		json_object_set_new(to, "IsLocalIP", json_true());
	return to;
}
