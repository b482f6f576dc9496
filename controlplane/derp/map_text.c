/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/map_text.h"

#include <jansson.h>
#include <string.h>

/* An address as host name is to be dialled as it is, and in its own family alone. */
static void add_addresses(json_t *node, const char *host)
{
	struct ip_addr addr;

	if (addr_parse(host, &addr))
		return;
	json_object_set_new(node, addr.family == AF_INET ? "IPv4" : "IPv6", json_string(host));
	json_object_set_new(node, addr.family == AF_INET ? "IPv6" : "IPv4", json_string("none"));
}

char *map_text(const struct options *o, const char *pin, const char **why)
{
	char name[80], *text = NULL;
	json_t *node, *map;

	*why = "no memory";
	if (!o->hostname) {
		*why = "--map needs --hostname: how do clients find the relay?";
		return NULL;
	}
	if (!o->tls_cert && !o->self_signed) {
		*why = "--map needs a certificate: nodes talk to a relay over TLS alone";
		return NULL;
	}
	node = json_pack("{s:s, s:i, s:s, s:i, s:i}", "Name", "900a", "RegionID", MAP_TEXT_REGION,
			 "HostName", o->hostname, "DERPPort", o->listen[0].port, "STUNPort",
			 o->stun_count ? o->stun[0].port : -1);
	if (node && o->self_signed && pin && pin[0]) {
		snprintf(name, sizeof(name), "sha256-raw:%s", pin);
		json_object_set_new(node, "CertName", json_string(name));
	}
	if (node)
		add_addresses(node, o->hostname);
	map = node ? json_pack("{s:{s:{s:i, s:s, s:s, s:[o]}}}", "Regions", "900", "RegionID",
			       MAP_TEXT_REGION, "RegionCode", "own", "RegionName", o->hostname,
			       "Nodes", node)
		   : NULL;
	if (map)
		text = json_dumps(map, JSON_INDENT(2));
	json_decref(map);
	return text;
}
