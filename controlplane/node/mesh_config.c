/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/mesh_config.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/dns/dns_names.h"
#include "controlplane/netmap/netmap_filter.h"
#include "lib/base/bug.h"
#include "lib/wire/lane.h"

static bool is_default_route(const struct prefix *p)
{
	return p->len == 0;
}

static bool is_own_address(const struct netmap_node *n, const struct prefix *p)
{
	for (uint32_t i = 0; i < n->address_count; i++)
		if (prefix_equal(&n->addresses[i], p))
			return true;
	return false;
}

static bool has_address(const struct netmap_node *n, const struct ip_addr *a)
{
	for (uint32_t i = 0; i < n->address_count; i++)
		if (addr_equal(&n->addresses[i].addr, a))
			return true;
	return false;
}

static bool is_exit_node(const struct mesh_input *in, const struct netmap_node *n)
{
	const struct prefs_view *p = in->prefs;

	if (p->exit_node_id[0])
		return strcmp(p->exit_node_id, n->stable_id) == 0;
	return p->exit_node_ip.family && has_address(n, &p->exit_node_ip);
}

static bool is_routed(const struct mesh_input *in, const struct netmap_node *n,
		      const struct prefix *p)
{
	if (is_own_address(n, p))
		return true;
	if (is_default_route(p))
		return is_exit_node(in, n);
	return in->prefs->accept_routes;
}

/* The name's first label; a node without one goes by its stable id. */
static void name_of(const struct netmap_node *n, char out[CONFIG_NAME_MAX])
{
	size_t len = strcspn(n->name, ".");

	if (len)
		snprintf(out, CONFIG_NAME_MAX, "%.*s", (int)len, n->name);
	else
		snprintf(out, CONFIG_NAME_MAX, "%s", n->stable_id);
}

static bool is_usable(const struct netmap_node *n, int64_t now_ns)
{
	return !key_is_zero(&n->key) && !key_is_low_order(&n->key) &&
	       !netmap_node_has_expired(n, now_ns);
}

/* Only a peer that speaks no disco is at a fixed place. */
static void static_endpoint(const struct netmap_node *n, struct config_peer *peer)
{
	for (uint32_t i = 0; n->is_wireguard_only && i < n->endpoint_count; i++)
		if (n->endpoints[i].addr.family) {
			peer->endpoint = n->endpoints[i];
			return;
		}
}

static int add_peer(const struct mesh_input *in, const struct netmap_node *n,
		    struct node_config *cfg)
{
	struct config_peer *peer = &cfg->peers[cfg->peer_count];

	peer->allowed = calloc(n->allowed_count + 1, sizeof(*peer->allowed));
	if (!peer->allowed)
		return -ENOMEM;
	name_of(n, peer->name);
	peer->public_key = n->key;
	peer->is_jailed = n->is_jailed;
	peer->mtu = MESH_MTU;
	static_endpoint(n, peer);
	for (uint32_t i = 0; i < n->allowed_count; i++)
		if (is_routed(in, n, &n->allowed[i]))
			peer->allowed[peer->allowed_count++] = n->allowed[i];
	cfg->peer_count++;
	return 0;
}

static int add_addresses(const struct netmap_node *self, struct node_config *cfg)
{
	static const char *const services[] = {DNS_SERVICE_IP4, DNS_SERVICE_IP6};

	cfg->addresses =
		calloc(self->address_count + ARRAY_SIZE(services), sizeof(*cfg->addresses));
	if (!cfg->addresses)
		return -ENOMEM;
	for (uint32_t i = 0; i < self->address_count; i++)
		cfg->addresses[cfg->address_count++] = (struct config_address){
			.addr = self->addresses[i].addr, .prefix_len = self->addresses[i].len};
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		struct config_address *a = &cfg->addresses[cfg->address_count++];

		a->is_service = true;
		addr_parse(services[i], &a->addr);
		a->prefix_len = a->addr.family == AF_INET ? 32 : 128;
	}
	return 0;
}

static bool is_advertised(const struct prefs_view *prefs, const struct prefix *p)
{
	for (uint32_t i = 0; i < prefs->route_count; i++)
		if (prefix_equal(&prefs->routes[i], p))
			return true;
	return false;
}

/* Own addresses, and the routes on which the user and the coordinator agree. */
static int add_local(const struct mesh_input *in, struct node_config *cfg)
{
	const struct netmap_node *self = in->map->self;

	cfg->local = calloc(self->address_count + self->allowed_count + 1, sizeof(*cfg->local));
	if (!cfg->local)
		return -ENOMEM;
	for (uint32_t i = 0; i < self->address_count; i++)
		cfg->local[cfg->local_count++] = self->addresses[i];
	for (uint32_t i = 0; i < self->allowed_count; i++)
		if (!is_own_address(self, &self->allowed[i]) &&
		    is_advertised(in->prefs, &self->allowed[i]))
			cfg->local[cfg->local_count++] = self->allowed[i];
	qsort(cfg->local, cfg->local_count, sizeof(*cfg->local), config_local_cmp);
	return 0;
}

static bool has_exit(const struct prefs_view *prefs)
{
	return prefs->exit_node_id[0] || prefs->exit_node_ip.family;
}

/*
 * What we route for others, and by whom our own traffic goes. An exit node that was
 * chosen and is not there closes the way out: nothing may leave beside it.
 */
static int add_forwarding(const struct mesh_input *in, struct node_config *cfg)
{
	const struct netmap_node *self = in->map->self;

	cfg->has_exit = has_exit(in->prefs);
	cfg->outer_shuns_tunnel = true;
	cfg->exit_shuts_lan = cfg->has_exit && !in->prefs->allow_lan;
	cfg->leaves_netfilter = !in->prefs->netfilter;
	cfg->masquerade = calloc(cfg->local_count + 1, sizeof(*cfg->masquerade));
	if (!cfg->masquerade)
		return -ENOMEM;
	for (uint32_t i = 0; i < cfg->local_count; i++) {
		const struct prefix *p = &cfg->local[i];

		if (is_own_address(self, p))
			continue;
		cfg->forwards4 |= p->addr.family == AF_INET;
		cfg->forwards6 |= p->addr.family == AF_INET6;
		if (in->prefs->snat_subnet_routes)
			cfg->masquerade[cfg->masquerade_count++] = *p;
	}
	return 0;
}

static int add_filter(const struct mesh_input *in, struct node_config *cfg, uint32_t *skipped)
{
	*skipped = 0;
	if (in->prefs->shields_up) {
		cfg->filter.mode = DPAPI_FILTER_RULES;
		return 0;
	}
	return netmap_filter_make(in->map, &cfg->filter, skipped);
}

int mesh_config_make(const struct mesh_input *in, struct node_config **out, uint32_t *skipped)
{
	struct node_config *cfg = calloc(1, sizeof(*cfg));
	int rc;

	if (!cfg)
		return -ENOMEM;
	snprintf(cfg->source, sizeof(cfg->source), "the coordinator");
	cfg->private_key = *in->node_private;
	crypto_scalarmult_base(cfg->public_key.bytes, cfg->private_key.bytes);
	cfg->mtu = MESH_MTU;
	cfg->lanes = LANE_MAX;
	cfg->peers = calloc(in->map->peer_count + 1, sizeof(*cfg->peers));
	rc = cfg->peers ? add_addresses(in->map->self, cfg) : -ENOMEM;
	if (!rc)
		rc = add_local(in, cfg);
	if (!rc)
		rc = add_forwarding(in, cfg);
	if (!rc)
		rc = add_filter(in, cfg, skipped);
	for (uint32_t i = 0; i < in->map->peer_count && !rc; i++)
		if (is_usable(in->map->peers[i], in->now_ns))
			rc = add_peer(in, in->map->peers[i], cfg);
	if (rc) {
		config_free(cfg);
		return rc;
	}
	*out = cfg;
	return 0;
}

int64_t mesh_next_expiry(const struct netmap *m, int64_t now_ns)
{
	int64_t next = INT64_MAX;

	for (uint32_t i = 0; i <= m->peer_count; i++) {
		const struct netmap_node *n = i < m->peer_count ? m->peers[i] : m->self;

		if (n->key_expiry_ns > now_ns && n->key_expiry_ns < next)
			next = n->key_expiry_ns;
	}
	return next;
}
