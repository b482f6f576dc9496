/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <sodium.h>

#include "controlplane/dns/dns_server.h"
#include "controlplane/node/mesh_config.h"
#include "controlplane/node/mesh_parts.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

static bool carries_traffic(const struct mesh *m, const struct netmap *map)
{
	return map && map->self->is_authorized && !m->is_expired && !m->view.logged_out;
}

/* A node with an identity and nobody to talk to. */
static int make_empty(struct mesh *m, struct node_config **out)
{
	char err[CONFIG_ERROR_MAX];
	int rc = config_load(NULL, m->node->opt.state_dir, out, err);

	if (rc)
		config_log_refused(err);
	return rc;
}

static int make_config(struct mesh *m, const struct netmap *map, struct node_config **out)
{
	struct mesh_input in = {.map = map,
				.prefs = &m->view,
				.node_private = mesh_control_node_key(m->control),
				.now_ns = mesh_now_ns(m)};
	uint32_t skipped = 0;
	int rc = mesh_config_make(&in, out, &skipped);

	if (skipped)
		log_warn("mesh.filter", "skipped=%u error=\"entries that do not read\"", skipped);
	return rc;
}

void mesh_apply(struct mesh *m)
{
	const struct netmap *map = mesh_map(m);
	struct node_config *cfg;
	bool carries, carried = m->is_carrying;
	int rc;

	if (m->is_static)
		return;
	m->is_expired = map && netmap_node_has_expired(map->self, (int64_t)clock_wall_ns());
	carries = carries_traffic(m, map);
	m->is_carrying = carries;
	m->is_dns_old |= carries != carried;
	rc = carries ? make_config(m, map, &cfg) : make_empty(m, &cfg);
	if (!rc) {
		rc = node_apply(m->node, cfg);
		if (rc)
			config_free(cfg);
	}
	if (rc) {
		log_error("mesh.apply", "error=\"%s\"", strerror(-rc));
		return;
	}
	/* Relays first: the ways name them. */
	mesh_relays_apply(m, carries && m->view.want_running ? map : NULL);
	if (carries) {
		struct key self;

		crypto_scalarmult_base(self.bytes, mesh_control_node_key(m->control)->bytes);
		ways_set_map(m->node, map, &self);
	}
	if (m->is_dns_old &&
	    !dns_server_set_map(m->dns, carries ? map : NULL, m->view.accept_dns, mesh_now_ns(m)))
		m->is_dns_old = false;
	mesh_expire_at(m, carries ? mesh_next_expiry(map, mesh_now_ns(m)) : INT64_MAX);
}
