/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "controlplane/node/mesh_parts.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"

#define ACTIVE_NS (120 * NS_PER_SEC)

bool mesh_is_active(const struct mesh *m)
{
	return !m->is_static;
}

const char *mesh_auth_url(const struct mesh *m)
{
	return m->url;
}

const char *mesh_error(const struct mesh *m)
{
	return m->error;
}

const struct netmap *mesh_map(const struct mesh *m)
{
	return m->control ? mesh_control_map(m->control) : NULL;
}

bool mesh_is_from_cache(const struct mesh *m)
{
	return m->is_from_cache;
}

bool mesh_is_connected(const struct mesh *m)
{
	return m->is_connected;
}

const struct key *mesh_disco_key(const struct mesh *m)
{
	return m->node->ways ? ways_disco(m->node->ways) : NULL;
}

int64_t mesh_now_ns(const struct mesh *m)
{
	return m->control ? mesh_control_now_ns(m->control) : (int64_t)clock_wall_ns();
}

void mesh_way(const struct mesh *m, const struct netmap_node *peer, struct mesh_way *out)
{
	const struct node_peer *p = node_peer_by_key(m->node, peer->key.bytes);
	uint64_t now_ns = clock_now_ns();

	*out = (struct mesh_way){.region = (uint16_t)peer->home_derp};
	if (!p)
		return;
	out->is_in_engine = true;
	out->rx_bytes = p->rx_bytes;
	out->tx_bytes = p->tx_bytes;
	out->last_handshake_ns = peer_last_handshake_ns(p);
	out->last_tx_ns = p->last_tx_ns;
	out->is_active = (p->last_tx_ns && now_ns - p->last_tx_ns < ACTIVE_NS) ||
			 (p->last_rx_ns && now_ns - p->last_rx_ns < ACTIVE_NS);
	if (p->path.kind == DPAPI_PATH_UDP) {
		out->direct.addr.family = (uint8_t)p->path.remote.family;
		out->direct.port = p->path.remote.port;
		memcpy(out->direct.addr.bytes, p->path.remote.bytes,
		       sizeof(out->direct.addr.bytes));
	} else if (p->path.kind == DPAPI_PATH_CHANNEL) {
		out->region = p->path.remote.port;
	}
}

const char *mesh_region_code(const struct mesh *m, uint16_t region)
{
	const struct derp_map_region *r = derp_map_region(m->derp_map, region);

	return r ? r->code : "";
}

const struct path_peer *mesh_path_peer(const struct mesh *m, const struct key *node)
{
	const struct node_peer *p = node_peer_by_key(m->node, node->bytes);

	return p ? peer_ways_engine(p) : NULL;
}

static unsigned match_len(const struct netmap_node *n, const struct ip_addr *a)
{
	unsigned best = 0;

	for (uint32_t i = 0; i < n->allowed_count; i++)
		if (prefix_contains(&n->allowed[i], a) && n->allowed[i].len + 1u > best)
			best = n->allowed[i].len + 1u;
	for (uint32_t i = 0; i < n->address_count; i++)
		if (addr_equal(&n->addresses[i].addr, a))
			best = 129;
	return best;
}

const struct netmap_node *mesh_whois(const struct mesh *m, const struct ip_addr *a)
{
	const struct netmap *map = mesh_map(m);
	const struct netmap_node *best = NULL;
	unsigned best_len = 1; /* a default route makes nobody the owner */

	for (uint32_t i = 0; map && i <= map->peer_count; i++) {
		const struct netmap_node *n = i < map->peer_count ? map->peers[i] : map->self;
		unsigned len = match_len(n, a);

		if (len <= best_len)
			continue;
		best = n;
		best_len = len;
	}
	return best;
}

int mesh_ping(struct mesh *m, const struct key *node, mesh_pong_fn *cb, void *arg)
{
	return m->node->ways ? ways_ping(m->node, node, cb, arg) : -EOPNOTSUPP;
}

void mesh_ping_cancel(struct mesh *m, void *arg)
{
	ways_ping_cancel(m->node, arg);
}
