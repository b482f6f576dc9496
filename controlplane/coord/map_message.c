/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_message.h"

#include <stdio.h>

#include "controlplane/coord/map_node.h"
#include "controlplane/tailcfg/time_text.h"

/* Without a policy everybody may do everything. */
static const char allow_all[] =
	"{\"base\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":"
	"{\"First\":0,\"Last\":65535}}]}]}";

static void put_profile(struct json_out *j, int64_t id, const char *login)
{
	json_out_object(j, NULL);
	json_out_i64(j, "ID", id);
	json_out_string(j, "LoginName", login);
	json_out_string(j, "DisplayName", login);
	json_out_end(j);
}

static void put_all_profiles(struct json_out *j, const struct picture *p)
{
	json_out_array(j, "UserProfiles");
	put_profile(j, MAP_NODE_TAGGED_USER, "tagged-devices");
	for (size_t i = 0; i < p->users.room; i++) {
		const struct store_user *u = p->users.at[i];

		if (u)
			put_profile(j, u->id, u->name);
	}
	json_out_end(j);
}

void map_message_full(struct json_out *j, const struct maps *m, const struct picture *p,
		      const struct picture_node *self, const char *derp_map, int64_t now_ns)
{
	char now[TIME_TEXT_MAX];

	json_out_object(j, NULL);
	map_node_self(j, "Node", self, p->domain);
	json_out_array(j, "Peers");
	for (size_t i = 0; i < p->nodes.room; i++) {
		const struct picture_node *n = p->nodes.at[i];

		if (n && n != self)
			map_node_peer(j, n, maps_is_online(m, n->row->id));
	}
	json_out_end(j);
	if (derp_map)
		json_out_raw(j, "DERPMap", derp_map);
	json_out_raw(j, "DNSConfig", picture_dns_config(p));
	json_out_string(j, "Domain", p->domain);
	json_out_raw(j, "PacketFilters", allow_all);
	put_all_profiles(j, p);
	json_out_bool(j, "CollectServices", false);
	json_out_raw(j, "SSHPolicy", "{\"rules\":null}");
	json_out_raw(j, "Debug", "{\"DisableLogTail\":true}");
	json_out_raw(j, "Health", "[]");
	json_out_raw(j, "ClientVersion", "{\"RunningLatest\":true}");
	json_out_string(j, "ControlTime", time_text_print(now_ns, now));
	json_out_end(j);
}

/* Opens the list at its first element. */
static void list_item(struct json_out *j, const char *name, bool *is_open)
{
	if (!*is_open)
		json_out_array(j, name);
	*is_open = true;
}

static void list_end(struct json_out *j, bool is_open)
{
	if (is_open)
		json_out_end(j);
}

static void put_removed(struct json_out *j, const struct map_item *items, size_t count)
{
	bool is_open = false;

	for (size_t i = 0; i < count; i++) {
		if (items[i].what & MAP_ITEM_REMOVE) {
			list_item(j, "PeersRemoved", &is_open);
			json_out_i64(j, NULL, items[i].id);
		}
	}
	list_end(j, is_open);
}

static void put_changed(struct json_out *j, const struct maps *m, const struct picture *p,
			const struct map_item *items, size_t count)
{
	bool is_open = false;

	for (size_t i = 0; i < count; i++) {
		const struct picture_node *n = picture_node(p, items[i].id);

		if (n && (items[i].what & PICTURE_WHOLE)) {
			list_item(j, "PeersChanged", &is_open);
			map_node_peer(j, n, maps_is_online(m, n->row->id));
		}
	}
	list_end(j, is_open);
}

/* Online alone has a shorter form. */
static void put_online(struct json_out *j, const struct maps *m, const struct map_item *items,
		       size_t count)
{
	bool is_open = false;
	char id[24];

	for (size_t i = 0; i < count; i++) {
		if (items[i].what != PICTURE_ONLINE)
			continue;
		if (!is_open)
			json_out_object(j, "OnlineChange");
		is_open = true;
		snprintf(id, sizeof(id), "%lld", (long long)items[i].id);
		json_out_bool(j, id, maps_is_online(m, items[i].id));
	}
	list_end(j, is_open);
}

static void put_patches(struct json_out *j, const struct maps *m, const struct picture *p,
			const struct map_item *items, size_t count)
{
	const uint64_t patch = PICTURE_ENDPOINTS | PICTURE_HOME | PICTURE_DISCO;
	bool is_open = false;

	for (size_t i = 0; i < count; i++) {
		const struct picture_node *n = picture_node(p, items[i].id);
		uint64_t what = items[i].what;

		if (!n || !(what & patch) || (what & (PICTURE_WHOLE | MAP_ITEM_SELF)))
			continue;
		list_item(j, "PeersChangedPatch", &is_open);
		map_node_patch(j, n, what, maps_is_online(m, n->row->id));
	}
	list_end(j, is_open);
}

static void put_self(struct json_out *j, const struct picture *p, const struct map_item *items,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct picture_node *n = picture_node(p, items[i].id);

		if (n && (items[i].what & MAP_ITEM_SELF))
			map_node_self(j, "Node", n, p->domain);
	}
}

void map_message_delta(struct json_out *j, const struct maps *m, const struct picture *p,
		       const struct map_item *items, size_t count, const char *derp_map)
{
	json_out_object(j, NULL);
	put_removed(j, items, count);
	put_changed(j, m, p, items, count);
	put_online(j, m, items, count);
	put_patches(j, m, p, items, count);
	put_self(j, p, items, count);
	if (count && !items[0].id && (items[0].what & PICTURE_USERS))
		put_all_profiles(j, p);
	if (count && !items[0].id && (items[0].what & PICTURE_DERP) && derp_map)
		json_out_raw(j, "DERPMap", derp_map);
	if (count && !items[0].id && (items[0].what & PICTURE_DNS))
		json_out_raw(j, "DNSConfig", picture_dns_config(p));
	json_out_end(j);
}
