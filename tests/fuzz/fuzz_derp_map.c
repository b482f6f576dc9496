/* SPDX-License-Identifier: Apache-2.0 */
/* DERP maps of any JSON: what is read can be used, what is not says why. */
#include <errno.h>

#include "controlplane/derp_client/derp_map.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(const struct derp_map_node *n)
{
	BUG_ON(!n->host_name[0] || !n->name || !n->cert_name || !n->derp_port);
	BUG_ON(n->stun_port != DERP_MAP_STUN_OFF && (n->stun_port < 1 || n->stun_port > 65535));
	BUG_ON((n->ipv4.use == DERP_MAP_GIVEN) != (n->ipv4.addr.family == AF_INET));
	BUG_ON((n->ipv6.use == DERP_MAP_GIVEN) != (n->ipv6.addr.family == AF_INET6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct derp_map *map;
	struct json_in in;
	json_t *json = json_in_parse(&in, (const char *)data, size);
	int rc;

	if (!json)
		return 0;
	rc = derp_map_parse(json, &map, &in);
	json_decref(json);
	BUG_ON(rc == -EBADMSG && !in.error[0]);
	if (rc)
		return 0;
	BUG_ON(map->region_count > DERP_MAP_REGIONS_MAX);
	for (size_t i = 0; i < map->region_count; i++) {
		const struct derp_map_region *r = &map->region[i];

		BUG_ON(!r->id || !(r->score > 0) || derp_map_region(map, r->id) != r);
		BUG_ON(r->node_count > DERP_MAP_NODES_MAX);
		for (size_t k = 0; k < r->node_count; k++)
			check_node(&r->node[k]);
		derp_map_relays(r);
	}
	derp_map_free(map);
	return 0;
}
