/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with this node, in sentences for its user. */
#include <stdio.h>

#include "controlplane/dns/dns_server.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/link_health.h"
#include "controlplane/node/mesh_parts.h"

static void add_sentence(json_t *list, const char *text)
{
	if (text[0])
		json_array_append_new(list, json_string(text));
}

json_t *mesh_health(const struct mesh *m)
{
	struct derp_region_info regions[DERP_MAP_REGIONS_MAX];
	json_t *list = json_array();
	size_t count = m->derp ? derp_regions_list(m->derp, regions, DERP_MAP_REGIONS_MAX) : 0;
	char text[512];

	if (m->is_expired)
		add_sentence(list, "The key of this node has expired: log in again.");
	if (m->state == MESH_RUNNING && !m->is_static && !m->is_connected) {
		snprintf(text, sizeof(text),
			 "Not connected to the coordinator%s%s; going on with %s.",
			 m->error[0] ? ": " : "", m->error,
			 m->is_from_cache ? "the picture of the last time" : "what it said last");
		add_sentence(list, text);
	}
	if (m->state == MESH_RUNNING && !dp_sync_is_ready(m->node))
		add_sentence(list, "causeway-dp does not run: no packet passes.");
	if (m->state == MESH_RUNNING && !m->is_static && dns_server_problem(m->dns))
		add_sentence(list, dns_server_problem(m->dns));
	if (m->state == MESH_RUNNING && !m->is_static && link_health(m->node))
		add_sentence(list, link_health(m->node));
	for (size_t i = 0; i < count; i++) {
		add_sentence(list, regions[i].health);
		if (!regions[i].is_home || regions[i].is_connected || !regions[i].last_error[0])
			continue;
		snprintf(text, sizeof(text), "Not connected to the home relay of region %u: %s.",
			 regions[i].region, regions[i].last_error);
		add_sentence(list, text);
	}
	return list;
}
