/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"

static void put_text(json_t *to, const char *key, const char *text)
{
	json_object_set_new(to, key, json_string(text ? text : ""));
}

static void put_time(json_t *to, const char *key, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	put_text(to, key, time_text_print(ns, text));
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_in_get(object, key));

	return text ? text : "";
}

static bool is_single(const struct prefix *p)
{
	return p->len == (p->addr.family == AF_INET6 ? 128 : 32);
}

json_t *ipn_peer_addresses(const struct netmap_node *n, bool as_prefixes)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	json_t *list = json_array();
	char text[PREFIX_STR_MAX];

	for (unsigned f = 0; f < 2; f++)
		for (uint32_t i = 0; i < n->address_count; i++) {
			const struct prefix *p = &n->addresses[i];

			if (p->addr.family != families[f] || !is_single(p))
				continue;
			json_array_append_new(
				list, json_string(as_prefixes ? prefix_print(p, text)
							      : addr_print(&p->addr, text)));
		}
	return list;
}

bool ipn_peer_offers_exit(const struct netmap_node *n)
{
	bool v4 = false, v6 = false;

	for (uint32_t i = 0; i < n->allowed_count; i++)
		if (n->allowed[i].len == 0) {
			v4 |= n->allowed[i].addr.family == AF_INET;
			v6 |= n->allowed[i].addr.family == AF_INET6;
		}
	return v4 && v6;
}

static void put_prefixes(json_t *to, const char *key, const struct prefix *p, uint32_t count)
{
	json_t *list;
	char text[PREFIX_STR_MAX];

	if (!count)
		return;
	list = json_array();
	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(prefix_print(&p[i], text)));
	json_object_set_new(to, key, list);
}

static void add_api_url(json_t *list, const struct netmap_node *n, uint8_t family, json_int_t port)
{
	char addr[ADDR_STR_MAX], url[ADDR_STR_MAX + 32];

	for (uint32_t i = 0; i < n->address_count; i++) {
		if (n->addresses[i].addr.family != family || !is_single(&n->addresses[i]))
			continue;
		snprintf(url, sizeof(url), family == AF_INET ? "http://%s:%d" : "http://[%s]:%d",
			 addr_print(&n->addresses[i].addr, addr), (int)port);
		json_array_append_new(list, json_string(url));
		return;
	}
}

json_t *ipn_peer_api_urls(const struct netmap_node *n)
{
	const json_t *services = json_in_get(json_in_get(n->raw, "Hostinfo"), "Services"), *service;
	json_int_t ports[2] = {0, 0};
	json_t *list;
	size_t i;

	json_array_foreach(services, i, service)
	{
		const char *proto = text_of(service, "Proto");
		json_int_t port = json_integer_value(json_in_get(service, "Port"));

		if (port < 1 || port > 65535)
			continue;
		if (strcmp(proto, "peerapi4") == 0)
			ports[0] = port;
		else if (strcmp(proto, "peerapi6") == 0)
			ports[1] = port;
	}
	if (!ports[0] && !ports[1])
		return json_null();
	list = json_array();
	if (ports[0])
		add_api_url(list, n, AF_INET, ports[0]);
	if (ports[1])
		add_api_url(list, n, AF_INET6, ports[1]);
	return list;
}

/* Members that Go leaves out when they are empty. */
static void put_unless_empty(json_t *to, const char *key, json_t *value)
{
	if (json_array_size(value) || json_object_size(value))
		json_object_set(to, key, value);
}

static void put_identity(json_t *to, const struct ipn_peer *p)
{
	const struct netmap_node *n = p->node;
	const json_t *host = n ? json_in_get(n->raw, "Hostinfo") : NULL;
	const char *name = host ? text_of(host, "Hostname") : "";
	const char *os = host ? text_of(host, "OS") : "";
	static const struct key none;
	char text[KEY_TEXT_MAX];

	put_text(to, "ID", n ? n->stable_id : "");
	json_object_set_new(to, "NodeID", json_integer(n ? n->id : 0));
	put_text(to, "PublicKey", key_text_print(n ? &n->key : &none, KEY_TEXT_NODE, text));
	put_text(to, "HostName", name[0] ? name : p->host_name);
	put_text(to, "DNSName", n ? n->name : "");
	put_text(to, "OS", !p->live ? "linux" : os);
	json_object_set_new(to, "UserID", json_integer(n ? n->user : 0));
	json_object_set_new(to, "TailscaleIPs", n ? ipn_peer_addresses(n, false) : json_null());
	if (!n)
		return;
	put_prefixes(to, "AllowedIPs", n->allowed, n->allowed_count);
	put_unless_empty(to, "Tags", json_in_get(n->raw, "Tags"));
	put_prefixes(to, "PrimaryRoutes", n->primary, n->primary_count);
}

static void put_way(json_t *to, const struct ipn_peer *p)
{
	static const struct ipn_live nothing;
	const struct ipn_live *live = p->live ? p->live : &nothing;
	char text[ENDPOINT_STR_MAX];
	int64_t created_ns = 0;
	struct json_in in = {0};

	if (p->live)
		json_object_set_new(to, "Addrs", json_null());
	else
		json_object_set_new(to, "Addrs",
				    p->addrs ? json_copy((json_t *)p->addrs) : json_array());
	put_text(to, "CurAddr",
		 live->direct.addr.family ? endpoint_print(&live->direct, text) : "");
	put_text(to, "Relay", p->relay);
	put_text(to, "PeerRelay", "");
	json_object_set_new(to, "RxBytes", json_integer((json_int_t)live->rx_bytes));
	json_object_set_new(to, "TxBytes", json_integer((json_int_t)live->tx_bytes));
	if (p->node)
		json_in_time(&in, p->node->raw, "Created", &created_ns);
	put_time(to, "Created", created_ns);
	put_time(to, "LastWrite", live->last_write_ns);
	put_time(to, "LastSeen", p->live && !p->is_online ? p->node->last_seen_ns : 0);
	put_time(to, "LastHandshake", live->last_handshake_ns);
	json_object_set_new(to, "Online", json_boolean(p->is_online));
	json_object_set_new(to, "ExitNode", json_boolean(p->is_exit_node));
	json_object_set_new(to, "ExitNodeOption",
			    json_boolean(p->live && ipn_peer_offers_exit(p->node)));
	json_object_set_new(to, "Active", json_boolean(live->is_active));
}

/* Our own are the names of the map, in its order; a peer's are as they came. */
static void put_capabilities(json_t *to, const struct ipn_peer *p)
{
	json_t *map = json_in_get(p->node->raw, "CapMap"), *value, *names;
	const char *name;

	if (p->live) {
		put_unless_empty(to, "Capabilities", json_in_get(p->node->raw, "Capabilities"));
	} else if (json_object_size(map)) {
		names = json_array();
		json_object_foreach(map, name, value)
			json_array_append_new(names, json_string(name));
		json_object_set_new(to, "Capabilities", names);
	}
	put_unless_empty(to, "CapMap", map);
}

static void put_rest(json_t *to, const struct ipn_peer *p)
{
	const struct netmap_node *n = p->node;
	json_t *host = n ? json_in_get(n->raw, "Hostinfo") : NULL;

	/* Our own: while there is somebody to ask. */
	json_object_set_new(to, "PeerAPIURL",
			    n && (p->live || p->is_online) ? ipn_peer_api_urls(n) : json_null());
	json_object_set_new(to, "TaildropTarget", json_integer(0));
	put_text(to, "NoFileSharingReason", "");
	if (n)
		put_capabilities(to, p);
	put_unless_empty(to, "sshHostKeys", json_in_get(host, "sshHostKeys"));
	if (json_is_true(json_in_get(host, "ShareeNode")))
		json_object_set_new(to, "ShareeNode", json_true());
	json_object_set_new(to, "InNetworkMap", json_boolean(n != NULL));
	json_object_set_new(to, "InMagicSock", json_boolean(p->live && p->live->is_in_paths));
	json_object_set_new(to, "InEngine", json_boolean(p->live && p->live->is_in_engine));
	if (p->is_expired)
		json_object_set_new(to, "Expired", json_true());
	/* In whole seconds, as it is. */
	if (n && n->key_expiry_ns)
		put_time(to, "KeyExpiry", n->key_expiry_ns - n->key_expiry_ns % 1000000000);
	put_unless_empty(to, "Location", json_in_get(host, "Location"));
}

json_t *ipn_peer_status(const struct ipn_peer *p)
{
	json_t *to = json_object();

	if (!to)
		return NULL;
	put_identity(to, p);
	put_way(to, p);
	put_rest(to, p);
	return to;
}
