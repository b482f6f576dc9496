/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap_node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"

#define ID_MAX (((int64_t)1 << 53) - 1) /* what JSON numbers carry everywhere */

/* Members of PeerChange and what they are called in Node. */
static const struct {
	const char *change, *node;
} patched[] = {
	{"DERPRegion", "HomeDERP"}, {"Cap", "Cap"},	  {"CapMap", "CapMap"},
	{"Endpoints", "Endpoints"}, {"Key", "Key"},	  {"KeySignature", "KeySignature"},
	{"DiscoKey", "DiscoKey"},   {"Online", "Online"}, {"LastSeen", "LastSeen"},
	{"KeyExpiry", "KeyExpiry"},
};

static uint32_t read_u32(struct json_in *in, const json_t *raw, const char *key)
{
	int64_t value = 0;

	json_in_i64(in, raw, key, 0, UINT32_MAX, &value);
	return (uint32_t)value;
}

/* Before version 111 the home region was the port of an address: "127.3.3.40:7". */
static uint32_t legacy_home(struct json_in *in, const json_t *raw)
{
	const char *text = "";
	struct endpoint e;

	json_in_string(in, raw, "DERP", &text);
	return endpoint_parse(text, &e) ? 0 : e.port;
}

static bool copy_prefixes(const struct prefix *from, uint32_t count, struct prefix **out)
{
	*out = NULL;
	if (!count)
		return true;
	*out = malloc(count * sizeof(**out));
	if (*out)
		memcpy(*out, from, count * sizeof(**out));
	return *out != NULL;
}

static void read_prefixes(struct netmap_node *n, struct json_in *in)
{
	bool is_unsigned = false, has_allowed;

	json_in_prefixes(in, n->raw, "Addresses", &n->addresses, &n->address_count);
	json_in_prefixes(in, n->raw, "PrimaryRoutes", &n->primary, &n->primary_count);
	json_in_bool(in, n->raw, "UnsignedPeerAPIOnly", &is_unsigned);
	has_allowed = json_in_prefixes(in, n->raw, "AllowedIPs", &n->allowed, &n->allowed_count);
	if (has_allowed && !is_unsigned)
		return;
	free(n->allowed);
	n->allowed_count = n->address_count;
	if (!copy_prefixes(n->addresses, n->address_count, &n->allowed))
		json_in_fail(in, "AllowedIPs", "less (no memory)");
}

/* Values of a capability map are lists or null. */
static void check_cap_map(const json_t *raw, struct json_in *in)
{
	json_t *map = json_in_object(in, raw, "CapMap"), *value;
	const char *name;

	json_object_foreach(map, name, value) if (!json_is_array(value) && !json_is_null(value))
		json_in_fail(in, "CapMap", "a list for each capability");
}

static void read_all(struct netmap_node *n, struct json_in *in)
{
	const json_t *raw = n->raw;

	n->stable_id = n->name = "";
	n->online = JSON_UNSET;
	json_in_i64(in, raw, "ID", 0, ID_MAX, &n->id);
	json_in_string(in, raw, "StableID", &n->stable_id);
	json_in_string(in, raw, "Name", &n->name);
	json_in_i64(in, raw, "User", INT64_MIN, INT64_MAX, &n->user);
	json_in_key(in, raw, "Key", KEY_TEXT_NODE, &n->key);
	json_in_key(in, raw, "Machine", KEY_TEXT_MACHINE, &n->machine);
	json_in_key(in, raw, "DiscoKey", KEY_TEXT_DISCO, &n->disco);
	json_in_time(in, raw, "KeyExpiry", &n->key_expiry_ns);
	json_in_time(in, raw, "LastSeen", &n->last_seen_ns);
	n->home_derp = read_u32(in, raw, "HomeDERP");
	if (!n->home_derp)
		n->home_derp = legacy_home(in, raw);
	n->cap = read_u32(in, raw, "Cap");
	json_in_tristate(in, raw, "Online", &n->online);
	json_in_bool(in, raw, "MachineAuthorized", &n->is_authorized);
	json_in_bool(in, raw, "Expired", &n->is_expired);
	json_in_bool(in, raw, "IsWireGuardOnly", &n->is_wireguard_only);
	json_in_bool(in, raw, "IsJailed", &n->is_jailed);
	json_in_addr(in, raw, "SelfNodeV4MasqAddrForThisPeer", &n->masq4);
	json_in_addr(in, raw, "SelfNodeV6MasqAddrForThisPeer", &n->masq6);
	json_in_endpoints(in, raw, "Endpoints", &n->endpoints, &n->endpoint_count);
	json_in_object(in, raw, "Hostinfo");
	json_in_list(in, raw, "Tags");
	check_cap_map(raw, in);
	read_prefixes(n, in);
}

struct netmap_node *netmap_node_make(json_t *raw, struct json_in *in)
{
	struct netmap_node *n;

	if (!json_is_object(raw)) {
		json_in_fail(in, "Node", "an object");
		return NULL;
	}
	n = calloc(1, sizeof(*n));
	if (!n) {
		json_in_fail(in, "Node", "less (no memory)");
		return NULL;
	}
	n->refs = 1;
	n->raw = json_incref(raw);
	read_all(n, in);
	if (!json_in_failed(in))
		return n;
	netmap_node_put(n);
	return NULL;
}

struct netmap_node *netmap_node_get(struct netmap_node *n)
{
	n->refs++;
	return n;
}

void netmap_node_put(struct netmap_node *n)
{
	if (!n || --n->refs)
		return;
	json_decref(n->raw);
	free(n->addresses);
	free(n->allowed);
	free(n->primary);
	free(n->endpoints);
	free(n);
}

/*
 * A change that was made when the peer went away, and that comes after the peer
 * told us its newer disco key through the tunnel.
 */
static bool is_stale(const struct netmap_node *n, const json_t *change, struct json_in *in)
{
	int64_t seen;
	bool online = true;

	if (!json_in_get(change, "DiscoKey"))
		return false;
	json_in_bool(in, change, "Online", &online);
	return !online && json_in_time(in, change, "LastSeen", &seen) && n->last_seen_ns &&
	       seen <= n->last_seen_ns;
}

struct netmap_node *netmap_node_patch(struct netmap_node *n, const json_t *change,
				      struct json_in *in)
{
	struct netmap_node *made;
	json_t *raw;

	if (is_stale(n, change, in))
		return netmap_node_get(n);
	raw = json_copy(n->raw);
	if (!raw)
		json_in_fail(in, "PeersChangedPatch", "less (no memory)");
	for (size_t i = 0; raw && i < sizeof(patched) / sizeof(patched[0]); i++) {
		json_t *value = json_in_get(change, patched[i].change);

		if (value && json_object_set(raw, patched[i].node, value))
			json_in_fail(in, patched[i].change, "less (no memory)");
	}
	made = json_in_failed(in) ? NULL : netmap_node_make(raw, in);
	json_decref(raw);
	return made;
}

struct netmap_node *netmap_node_with(const struct netmap_node *n, const char *member, json_t *value,
				     struct json_in *in)
{
	json_t *raw = json_copy(n->raw);
	struct netmap_node *made = NULL;

	if (raw && json_object_set(raw, member, value) == 0)
		made = netmap_node_make(raw, in);
	else
		json_in_fail(in, member, "less (no memory)");
	json_decref(raw);
	return made;
}

bool netmap_node_has_expired(const struct netmap_node *n, int64_t now_ns)
{
	return n->is_expired || (n->key_expiry_ns && n->key_expiry_ns <= now_ns);
}

bool netmap_node_has_cap(const struct netmap_node *n, const char *name)
{
	json_t *list = json_in_get(n->raw, "Capabilities"), *value;
	size_t i;

	/* CapMap's names are data: they match by case, and null is a value. */
	if (json_object_get(json_in_get(n->raw, "CapMap"), name))
		return true;
	json_array_foreach(list, i,
			   value) if (json_is_string(value) &&
				      strcmp(json_string_value(value), name) == 0) return true;
	return false;
}
