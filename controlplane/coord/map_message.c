/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_message.h"

#include <stdio.h>
#include <stdlib.h>

#include "controlplane/coord/map_node.h"
#include "controlplane/tailcfg/time_text.h"
#include "lib/base/bug.h"

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

static void put_profile(struct json_out *j, int64_t id, const char *login)
{
	json_out_object(j, NULL);
	json_out_i64(j, "ID", id);
	json_out_string(j, "LoginName", login);
	json_out_string(j, "DisplayName", login);
	json_out_end(j);
}

/* ---- whose names a node learns: its own user's and those of the peers it sees ---- */

struct names {
	uint64_t *users; /* bits */
	bool has_tagged;
};

static struct names names_new(const struct picture *p)
{
	struct names n = {.users = calloc(p->users.room / 64 + 1, sizeof(*n.users))};

	BUG_ON(!n.users);
	return n;
}

static void name_of(struct names *names, const struct picture *p, const struct picture_node *n)
{
	int64_t id = map_node_user(n);

	if (id == MAP_NODE_TAGGED_USER)
		names->has_tagged = true;
	else if (picture_user(p, id))
		names->users[id / 64] |= 1ull << (id % 64);
}

static void names_of_all(struct names *names, const struct map_view *v)
{
	const struct picture *p = v->picture;

	name_of(names, p, v->self);
	for (size_t i = 0; i < p->nodes.room; i++)
		if (p->nodes.at[i] && visibility_sees(v->visibility, v->self->row->id, (int64_t)i))
			name_of(names, p, p->nodes.at[i]);
}

static void put_names(struct json_out *j, const struct picture *p, struct names *names)
{
	bool is_open = false;

	if (names->has_tagged) {
		list_item(j, "UserProfiles", &is_open);
		put_profile(j, MAP_NODE_TAGGED_USER, "tagged-devices");
	}
	for (size_t i = 0; i < p->users.room; i++) {
		if (!(names->users[i / 64] >> (i % 64) & 1))
			continue;
		list_item(j, "UserProfiles", &is_open);
		put_profile(j, (int64_t)i, picture_user(p, (int64_t)i)->name);
	}
	list_end(j, is_open);
	free(names->users);
}

static void put_peer(struct json_out *j, const struct map_view *v, const struct picture_node *n)
{
	struct visibility_shown shown;

	visibility_shown(v->visibility, v->self->row->id, n->row->id, &shown);
	map_node_peer(j, n, maps_is_online(v->maps, n->row->id), &shown);
}

static void put_self(struct json_out *j, const struct map_view *v)
{
	map_node_self(j, "Node", v->self, v->picture->domain, visibility_policy(v->visibility));
}

static void put_filter(struct json_out *j, const struct map_view *v)
{
	if (v->told)
		policy_live_filter(visibility_policy(v->visibility), v->self->row->id, v->told, j,
				   "PacketFilters");
}

void map_message_full(struct json_out *j, const struct map_view *v, int64_t now_ns)
{
	const struct picture *p = v->picture;
	struct names names = names_new(p);
	char now[TIME_TEXT_MAX];

	json_out_object(j, NULL);
	put_self(j, v);
	json_out_array(j, "Peers");
	for (size_t i = 0; i < p->nodes.room; i++)
		if (p->nodes.at[i] && visibility_sees(v->visibility, v->self->row->id, (int64_t)i))
			put_peer(j, v, p->nodes.at[i]);
	json_out_end(j);
	if (v->derp_map)
		json_out_raw(j, "DERPMap", v->derp_map);
	json_out_raw(j, "DNSConfig", picture_dns_config(p));
	json_out_string(j, "Domain", p->domain);
	put_filter(j, v);
	names_of_all(&names, v);
	put_names(j, p, &names);
	json_out_bool(j, "CollectServices", false);
	json_out_raw(j, "SSHPolicy", "{\"rules\":null}");
	json_out_raw(j, "Debug", "{\"DisableLogTail\":true}");
	json_out_raw(j, "Health", "[]");
	json_out_raw(j, "ClientVersion", "{\"RunningLatest\":true}");
	json_out_string(j, "ControlTime", time_text_print(now_ns, now));
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

static void put_changed(struct json_out *j, const struct map_view *v, const struct map_item *items,
			size_t count)
{
	bool is_open = false;

	for (size_t i = 0; i < count; i++) {
		const struct picture_node *n = picture_node(v->picture, items[i].id);

		if (n && (items[i].what & PICTURE_WHOLE)) {
			list_item(j, "PeersChanged", &is_open);
			put_peer(j, v, n);
		}
	}
	list_end(j, is_open);
}

/* A peer that is new may be the first of its user. */
static void put_new_names(struct json_out *j, const struct map_view *v,
			  const struct map_item *items, size_t count)
{
	struct names names = names_new(v->picture);

	if (count && !items[0].id && (items[0].what & PICTURE_USERS))
		names_of_all(&names, v);
	for (size_t i = 0; i < count; i++) {
		const struct picture_node *n = picture_node(v->picture, items[i].id);

		if (n && (items[i].what & (PICTURE_WHOLE | MAP_ITEM_SELF)))
			name_of(&names, v->picture, n);
	}
	put_names(j, v->picture, &names);
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

static bool has_self(const struct map_item *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].what & MAP_ITEM_SELF)
			return true;
	return false;
}

void map_message_delta(struct json_out *j, const struct map_view *v, const struct map_item *items,
		       size_t count)
{
	uint64_t all = count && !items[0].id ? items[0].what : 0;

	json_out_object(j, NULL);
	put_removed(j, items, count);
	put_changed(j, v, items, count);
	put_online(j, v->maps, items, count);
	put_patches(j, v->maps, v->picture, items, count);
	if (has_self(items, count))
		put_self(j, v);
	put_new_names(j, v, items, count);
	put_filter(j, v);
	if ((all & PICTURE_DERP) && v->derp_map)
		json_out_raw(j, "DERPMap", v->derp_map);
	if (all & PICTURE_DNS)
		json_out_raw(j, "DNSConfig", picture_dns_config(v->picture));
	json_out_end(j);
}
