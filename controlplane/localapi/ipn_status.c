/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"

const char *ipn_region_code(const struct netmap *m, uint32_t region)
{
	char id[16];
	const char *code;

	if (!m || !region)
		return "";
	snprintf(id, sizeof(id), "%u", region);
	code = json_string_value(
		json_in_get(json_object_get(json_in_get(m->derp, "Regions"), id), "RegionCode"));
	return code ? code : "";
}

void ipn_dns_suffix(const struct netmap_node *n, char *out, size_t out_len)
{
	const char *dot = strchr(n->name, '.');
	size_t len;

	snprintf(out, out_len, "%s", dot ? dot + 1 : "");
	len = strlen(out);
	if (len && out[len - 1] == '.')
		out[len - 1] = 0;
}

bool ipn_is_exit_node(const json_t *prefs, const struct netmap_node *n)
{
	const char *id = json_string_value(json_object_get(prefs, "ExitNodeID"));
	const char *text = json_string_value(json_object_get(prefs, "ExitNodeIP"));
	struct ip_addr ip;

	if (id && id[0])
		return strcmp(id, n->stable_id) == 0;
	if (!text || !text[0] || addr_parse(text, &ip))
		return false;
	for (uint32_t i = 0; i < n->address_count; i++)
		if (addr_equal(&n->addresses[i].addr, &ip))
			return true;
	return false;
}

bool ipn_leaves_routes(const struct netmap *m, const json_t *prefs)
{
	if (!m || json_is_true(json_object_get(prefs, "RouteAll")))
		return false;
	for (uint32_t i = 0; i < m->peer_count; i++)
		if (m->peers[i]->primary_count)
			return true;
	return false;
}

static void put_self(json_t *to, const struct ipn_status *s)
{
	const struct netmap_node *n = s->map ? s->map->self : NULL;
	struct ipn_peer p = {
		.node = n,
		.host_name = s->host_name,
		.relay = ipn_region_code(s->map, s->home_region),
		.addrs = s->addrs,
		.is_online = s->is_connected,
		.is_expired = n && netmap_node_has_expired(n, s->now_ns),
	};

	json_object_set_new(to, "TailscaleIPs", n ? ipn_peer_addresses(n, false) : json_null());
	json_object_set_new(to, "Self", ipn_peer_status(&p));
}

static void put_exit_node(json_t *to, const struct ipn_status *s)
{
	for (uint32_t i = 0; s->map && i < s->map->peer_count; i++) {
		const struct netmap_node *n = s->map->peers[i];

		if (!ipn_is_exit_node(s->prefs, n))
			continue;
		json_object_set_new(to, "ExitNodeStatus",
				    json_pack("{s:s, s:b, s:o}", "ID", n->stable_id, "Online",
					      n->online == JSON_YES, "TailscaleIPs",
					      ipn_peer_addresses(n, true)));
		return;
	}
}

static void put_health(json_t *to, const struct ipn_status *s)
{
	json_t *list = s->health ? json_copy((json_t *)s->health) : json_array();

	if (ipn_leaves_routes(s->map, s->prefs))
		json_array_append_new(list, json_string("Some peers are advertising routes but "
							"--accept-routes is false"));
	json_object_set_new(to, "Health", list);
}

static void put_tailnet(json_t *to, const struct ipn_status *s)
{
	const json_t *dns = s->map ? netmap_value(s->map, "DNSConfig") : NULL;
	const char *domain = s->map ? json_string_value(netmap_value(s->map, "Domain")) : NULL;
	json_t *records = json_in_get(dns, "ExtraRecords");
	json_t *certs = json_in_get(dns, "CertDomains");
	char suffix[256] = "";

	if (s->map)
		ipn_dns_suffix(s->map->self, suffix, sizeof(suffix));
	json_object_set_new(to, "MagicDNSSuffix", json_string(suffix));
	json_object_set_new(to, "CurrentTailnet",
			    s->map ? json_pack("{s:s, s:s, s:b}", "Name", domain ? domain : "",
					       "MagicDNSSuffix", suffix, "MagicDNSEnabled",
					       json_is_true(json_in_get(dns, "Proxied")))
				   : json_null());
	json_object_set(to, "CertDomains", certs ? certs : json_null());
	json_object_set(to, "ExtraRecords", records ? records : json_null());
}

static json_t *peer(const struct ipn_status *s, const struct netmap_node *n)
{
	struct ipn_live live = {0};
	struct ipn_peer p = {
		.node = n,
		.live = &live,
		.host_name = "",
		.relay = ipn_region_code(s->map, n->home_derp),
		.is_online = n->online == JSON_YES,
		.is_exit_node = ipn_is_exit_node(s->prefs, n),
		.is_expired = netmap_node_has_expired(n, s->now_ns),
	};

	s->live(s->arg, n, &live);
	return ipn_peer_status(&p);
}

static int by_key(const void *a, const void *b)
{
	const struct netmap_node *const *x = a, *const *y = b;

	return memcmp((*x)->key.bytes, (*y)->key.bytes, KEY_BYTES);
}

static void put_peers(json_t *to, const struct ipn_status *s)
{
	const struct netmap *m = s->map;
	const struct netmap_node **sorted;
	char text[KEY_TEXT_MAX];
	json_t *peers;

	if (!s->with_peers || !m || !m->peer_count) {
		json_object_set_new(to, "Peer", json_null());
		return;
	}
	peers = json_object();
	sorted = malloc(m->peer_count * sizeof(*sorted));
	for (uint32_t i = 0; sorted && i < m->peer_count; i++)
		sorted[i] = m->peers[i];
	if (sorted)
		qsort(sorted, m->peer_count, sizeof(*sorted), by_key);
	for (uint32_t i = 0; sorted && i < m->peer_count; i++)
		json_object_set_new(peers, key_text_print(&sorted[i]->key, KEY_TEXT_NODE, text),
				    peer(s, sorted[i]));
	free(sorted);
	json_object_set_new(to, "Peer", peers);
}

static void put_user(json_t *users, const struct netmap *m, int64_t id)
{
	json_t *profile = netmap_user(m, id);
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)id);
	if (profile)
		json_object_set(users, text, profile);
}

static void put_users(json_t *to, const struct ipn_status *s)
{
	const struct netmap *m = s->map;
	json_t *users;

	if (!m) {
		json_object_set_new(to, "User", json_null());
		return;
	}
	users = json_object();
	put_user(users, m, m->self->user);
	for (uint32_t i = 0; s->with_peers && i < m->peer_count; i++)
		put_user(users, m, m->peers[i]->user);
	json_object_set_new(to, "User", users);
}

json_t *ipn_status(const struct ipn_status *s)
{
	json_t *to = json_object(), *version;

	if (!to)
		return NULL;
	json_object_set_new(to, "Version", json_string(s->version));
	json_object_set_new(to, "TUN", json_true());
	json_object_set_new(to, "BackendState", json_string(s->state));
	if (s->has_node_key)
		json_object_set_new(to, "HaveNodeKey", json_true());
	json_object_set_new(to, "AuthURL", json_string(s->auth_url));
	put_self(to, s);
	put_exit_node(to, s);
	put_health(to, s);
	put_tailnet(to, s);
	put_peers(to, s);
	put_users(to, s);
	version = s->map ? netmap_value(s->map, "ClientVersion") : NULL;
	json_object_set(to, "ClientVersion", version ? version : json_null());
	return to;
}
