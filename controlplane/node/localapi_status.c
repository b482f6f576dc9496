/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/localapi_status.h"

#include <stdio.h>
#include <unistd.h>

#include "controlplane/localapi/ipn_status.h"
#include "controlplane/node/mesh.h"
#include "lib/base/clock.h"

bool localapi_is_static(const struct mesh *m)
{
	return !m || !mesh_is_active(m);
}

/* Boot time -> ns since 1970. */
static int64_t wall(uint64_t boot_ns)
{
	uint64_t now = clock_now_ns();

	if (!boot_ns)
		return 0;
	return (int64_t)(clock_wall_ns() - (now > boot_ns ? now - boot_ns : 0));
}

static void live_of(void *arg, const struct netmap_node *peer, struct ipn_live *out)
{
	struct mesh_way way = {0};

	mesh_way(arg, peer, &way);
	*out = (struct ipn_live){
		.direct = way.direct,
		.rx_bytes = way.rx_bytes,
		.tx_bytes = way.tx_bytes,
		.last_write_ns = wall(way.last_tx_ns),
		.last_handshake_ns = wall(way.last_handshake_ns),
		.is_active = way.is_active,
		.is_in_paths = mesh_path_peer(arg, &peer->key) != NULL,
		.is_in_engine = way.is_in_engine,
	};
}

json_t *localapi_status(const struct mesh *m, bool with_peers)
{
	const struct netmap *map = mesh_map(m);
	json_t *health = mesh_health(m), *status;
	char host[256] = "";
	struct ipn_status s = {
		.version = CAUSEWAY_VERSION,
		.state = mesh_state_name(mesh_state(m)),
		.auth_url = mesh_auth_url(m),
		.host_name = host,
		.map = map,
		.prefs = mesh_prefs(m),
		.health = health,
		.addrs = map ? json_in_get(map->self->raw, "Endpoints") : NULL,
		.now_ns = mesh_now_ns(m),
		.home_region = map ? (uint16_t)map->self->home_derp : 0,
		.has_node_key = map != NULL,
		.is_connected = mesh_is_connected(m),
		.with_peers = with_peers,
		.live = live_of,
		.arg = (void *)m,
	};

	gethostname(host, sizeof(host) - 1);
	status = ipn_status(&s);
	json_decref(health);
	return status;
}

static void gauge(FILE *f, const char *name, const char *labels, const char *help,
		  unsigned long value)
{
	fprintf(f, "# TYPE tailscaled_%s gauge\n# HELP tailscaled_%s %s\ntailscaled_%s%s %lu\n",
		name, name, help, name, labels, value);
}

char *localapi_user_metrics(const struct mesh *m, size_t *len)
{
	const struct netmap *map = mesh_map(m);
	json_t *health = mesh_health(m);
	struct prefs_view view;
	struct json_in in = {0};
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f || !prefs_view(mesh_prefs(m), &view, &in)) {
		json_decref(health);
		if (f)
			fclose(f);
		return text;
	}
	gauge(f, "advertised_routes", "", "Routes that this node offers to the mesh.",
	      view.route_count);
	gauge(f, "approved_routes", "", "Routes of this node that the coordinator uses.",
	      map ? map->self->primary_count : 0);
	gauge(f, "health_messages", "{type=\"warning\"}", "Sentences of Health in the status.",
	      json_array_size(health));
	gauge(f, "home_derp_region_id", "", "The region of this node's relay.",
	      map ? map->self->home_derp : 0);
	prefs_view_fini(&view);
	json_decref(health);
	fclose(f);
	return text;
}
