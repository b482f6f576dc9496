/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_node.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"

/* Of a node's Hostinfo, what concerns its peers. */
static const char *const shown_to_peers[] = {
	"OS",	     "Hostname", "Services",	 "sshHostKeys",
	"PeerRelay", "Location", "AppConnector", "ShareeNode",
};

static void put_key(struct json_out *j, const char *name, const struct key *k, const char *prefix)
{
	char text[KEY_TEXT_MAX];

	if (!key_is_zero(k))
		json_out_string(j, name, key_text_print(k, prefix, text));
}

static void put_time(struct json_out *j, const char *name, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	if (ns)
		json_out_string(j, name, time_text_print(ns, text));
}

static void put_prefix(struct json_out *j, const struct prefix *p)
{
	char text[PREFIX_STR_MAX];

	json_out_string(j, NULL, prefix_print(p, text));
}

static void put_addresses(struct json_out *j, const struct store_node *row, bool has_ipv4)
{
	struct prefix p[2] = {{.len = 32}, {.len = 128}};

	store_node_addresses(row->address, &p[0].addr, &p[1].addr);
	if (has_ipv4)
		put_prefix(j, &p[0]);
	put_prefix(j, &p[1]);
}

/* A viewer is shown the routes that it may use, those of it that are not exits once more. */
static void put_shown(struct json_out *j, const struct picture_node *n,
		      const struct visibility_shown *shown)
{
	bool is_exit = false;

	json_out_array(j, "Addresses");
	put_addresses(j, n->row, shown->has_ipv4);
	json_out_end(j);
	json_out_array(j, "AllowedIPs");
	put_addresses(j, n->row, shown->has_ipv4);
	for (uint32_t i = 0; i < shown->route_count; i++) {
		put_prefix(j, &shown->routes[i]);
		is_exit |= shown->routes[i].len == 0;
	}
	json_out_end(j);
	json_out_array(j, "PrimaryRoutes");
	for (uint32_t i = 0; i < shown->route_count; i++)
		if (shown->routes[i].len)
			put_prefix(j, &shown->routes[i]);
	json_out_end(j);
	if (is_exit)
		json_out_raw(j, "CapMap", "{\"suggest-exit-node\":[]}");
}

/* The node itself knows all that it may carry, and what of it it does. */
static void put_own(struct json_out *j, const struct picture_node *n, bool has_ipv4)
{
	json_out_array(j, "Addresses");
	put_addresses(j, n->row, has_ipv4);
	json_out_end(j);
	json_out_array(j, "AllowedIPs");
	put_addresses(j, n->row, has_ipv4);
	for (unsigned i = 0; i < n->route_count; i++) {
		const struct store_route *r = n->routes[i];

		if (r->prefix.addr.family && r->is_approved && r->is_advertised)
			put_prefix(j, &r->prefix);
	}
	json_out_end(j);
	json_out_array(j, "PrimaryRoutes");
	for (unsigned i = 0; i < n->route_count; i++)
		if (n->routes[i]->is_primary)
			put_prefix(j, &n->routes[i]->prefix);
	json_out_end(j);
}

/* Hostinfo may not be left out: `tailscale status` fails on a peer without it. */
static void put_shown_hostinfo(struct json_out *j, const char *hostinfo)
{
	json_t *all = json_loads(hostinfo, 0, NULL), *shown = json_object();
	char *text;

	for (unsigned i = 0; all && shown && i < sizeof(shown_to_peers) / sizeof(char *); i++) {
		json_t *value = json_object_get(all, shown_to_peers[i]);

		if (value && !json_is_null(value))
			json_object_set(shown, shown_to_peers[i], value);
	}
	text = json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS);
	json_out_raw(j, "Hostinfo", text ? text : "{}");
	free(text);
	json_decref(shown);
	json_decref(all);
}

int64_t map_node_user(const struct picture_node *n)
{
	return strcmp(n->row->tags, "[]") != 0 ? MAP_NODE_TAGGED_USER : n->row->user_id;
}

/* What a node and its peers see alike. */
static void put_common(struct json_out *j, const struct picture_node *n, const char *domain)
{
	const struct store_node *row = n->row;
	char text[320];

	json_out_i64(j, "ID", row->id);
	snprintf(text, sizeof(text), "n%lldCW", (long long)row->id);
	json_out_string(j, "StableID", text);
	snprintf(text, sizeof(text), "%s.%s.", row->name, domain);
	json_out_string(j, "Name", text);
	json_out_i64(j, "User", map_node_user(n));
	put_key(j, "Key", &row->node_key, KEY_TEXT_NODE);
	put_time(j, "KeyExpiry", row->expiry_ns);
	put_key(j, "Machine", &row->machine, KEY_TEXT_MACHINE);
	json_out_i64(j, "Cap", row->version);
	put_time(j, "Created", row->created_ns);
	if (strcmp(row->tags, "[]") != 0)
		json_out_raw(j, "Tags", row->tags);
	json_out_bool(j, "MachineAuthorized", true);
}

char *map_node_fixed(const struct picture_node *n, const char *domain)
{
	struct json_out j;
	char *text = NULL;

	json_out_init(&j);
	json_out_object(&j, NULL);
	put_common(&j, n, domain);
	put_shown_hostinfo(&j, n->row->hostinfo);
	json_out_end(&j);
	if (!j.error)
		text = strndup(j.text + 1, j.len - 2);
	json_out_fini(&j);
	return text;
}

static void put_legacy_home(struct json_out *j, int32_t home)
{
	char text[32];

	/* Clients before 111 know no HomeDERP. */
	snprintf(text, sizeof(text), "127.3.3.40:%d", home);
	json_out_string(j, "DERP", text);
}

void map_node_peer(struct json_out *j, const struct picture_node *n, bool is_online,
		   const struct visibility_shown *shown)
{
	json_out_object(j, NULL);
	json_out_members(j, n->fixed ? n->fixed : "");
	put_shown(j, n, shown);
	put_key(j, "DiscoKey", &n->row->disco, KEY_TEXT_DISCO);
	json_out_raw(j, "Endpoints", n->row->endpoints);
	if (n->row->home) {
		json_out_i64(j, "HomeDERP", n->row->home);
		put_legacy_home(j, n->row->home);
	}
	json_out_bool(j, "Online", is_online);
	if (!is_online)
		put_time(j, "LastSeen", n->row->seen_ns);
	json_out_end(j);
}

static void put_attribute(void *arg, const char *name)
{
	json_out_null(arg, name);
}

void map_node_self(struct json_out *j, const char *key, const struct picture_node *n,
		   const char *domain, const struct policy_live *policy)
{
	json_out_object(j, key);
	put_common(j, n, domain);
	put_own(j, n, policy_live_has_ipv4(policy, n->row->id));
	put_key(j, "DiscoKey", &n->row->disco, KEY_TEXT_DISCO);
	json_out_raw(j, "Endpoints", n->row->endpoints);
	if (n->row->home)
		json_out_i64(j, "HomeDERP", n->row->home);
	json_out_raw(j, "Hostinfo", n->row->hostinfo);
	json_out_bool(j, "Online", true);
	/* A node keeps its picture on disk and comes back without its coordinator. */
	json_out_object(j, "CapMap");
	json_out_raw(j, "cache-network-maps", "[]");
	policy_live_attributes(policy, n->row->id, put_attribute, j);
	json_out_end(j);
	json_out_end(j);
}

void map_node_patch(struct json_out *j, const struct picture_node *n, unsigned what, bool is_online)
{
	json_out_object(j, NULL);
	json_out_i64(j, "NodeID", n->row->id);
	if (what & PICTURE_HOME)
		json_out_i64(j, "DERPRegion", n->row->home);
	if (what & PICTURE_ENDPOINTS)
		json_out_raw(j, "Endpoints", n->row->endpoints);
	if (what & PICTURE_DISCO)
		put_key(j, "DiscoKey", &n->row->disco, KEY_TEXT_DISCO);
	if (what & PICTURE_ONLINE) {
		json_out_bool(j, "Online", is_online);
		if (!is_online)
			put_time(j, "LastSeen", n->row->seen_ns);
	}
	json_out_end(j);
}
