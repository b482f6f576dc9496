/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap_peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/time_text.h"

uint32_t netmap_peers_find(const struct netmap *m, int64_t id)
{
	uint32_t low = 0, high = m->peer_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (m->peers[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Inserts or replaces; takes over the reference. */
static void put(struct netmap *m, struct netmap_node *node, struct json_in *in)
{
	uint32_t at = netmap_peers_find(m, node->id);
	struct netmap_node **p;

	if (at < m->peer_count && m->peers[at]->id == node->id) {
		netmap_node_put(m->peers[at]);
		m->peers[at] = node;
		return;
	}
	p = m->peers;
	if (m->peer_count == m->peer_room) {
		uint32_t room = m->peer_room ? 2 * m->peer_room : 8;

		p = realloc(m->peers, room * sizeof(*p));
		if (!p) {
			netmap_node_put(node);
			json_in_fail(in, "Peers", "less (no memory)");
			return;
		}
		m->peers = p;
		m->peer_room = room;
	}
	memmove(p + at + 1, p + at, (m->peer_count - at) * sizeof(*p));
	p[at] = node;
	m->peer_count++;
}

static void put_list(struct netmap *m, json_t *list, const char *name, struct json_in *in)
{
	json_t *raw;
	size_t i;

	json_array_foreach(list, i, raw)
	{
		struct netmap_node *node;

		if (json_is_null(raw) || json_in_failed(in))
			continue;
		node = netmap_node_make(raw, in);
		if (node)
			put(m, node, in);
		else
			json_in_within(in, name, (long)i);
	}
}

static void remove_all(struct netmap *m)
{
	for (uint32_t i = 0; i < m->peer_count; i++)
		netmap_node_put(m->peers[i]);
	m->peer_count = 0;
}

static void remove_list(struct netmap *m, json_t *list, struct json_in *in)
{
	json_t *id;
	size_t i;

	json_array_foreach(list, i, id)
	{
		uint32_t at = netmap_peers_find(m, json_integer_value(id));

		if (!json_is_integer(id)) {
			json_in_fail(in, "PeersRemoved", "a list of ids");
			return;
		}
		if (at == m->peer_count || m->peers[at]->id != json_integer_value(id))
			continue;
		netmap_node_put(m->peers[at]);
		m->peer_count--;
		memmove(m->peers + at, m->peers + at + 1, (m->peer_count - at) * sizeof(*m->peers));
	}
}

/* The peer's place, or NULL: the id is none of ours, or no id. */
static struct netmap_node **place_of(struct netmap *m, const char *text)
{
	char *end;
	long long id = strtoll(text, &end, 10);
	uint32_t at = netmap_peers_find(m, id);

	if (end == text || *end || at == m->peer_count || m->peers[at]->id != id)
		return NULL;
	return &m->peers[at];
}

static void replace(struct netmap_node **place, struct netmap_node *by)
{
	if (!by)
		return;
	netmap_node_put(*place);
	*place = by;
}

static void online_change(struct netmap *m, json_t *object, struct json_in *in)
{
	const char *id;
	json_t *value;

	json_object_foreach(object, id, value)
	{
		struct netmap_node **place = place_of(m, id);

		if (!json_is_boolean(value))
			json_in_fail(in, "OnlineChange", "true or false for each id");
		else if (place)
			replace(place, netmap_node_with(*place, "Online", value, in));
	}
}

/* true: seen just now; false: nobody knows when. */
static void seen_change(struct netmap *m, json_t *object, int64_t now_ns, struct json_in *in)
{
	char text[TIME_TEXT_MAX];
	const char *id;
	json_t *value;

	time_text_print(now_ns, text);
	json_object_foreach(object, id, value)
	{
		struct netmap_node **place = place_of(m, id);
		json_t *seen;

		if (!json_is_boolean(value)) {
			json_in_fail(in, "PeerSeenChange", "true or false for each id");
			continue;
		}
		if (!place)
			continue;
		seen = json_is_true(value) ? json_string(text) : json_null();
		replace(place, netmap_node_with(*place, "LastSeen", seen, in));
		json_decref(seen);
	}
}

static void patch_list(struct netmap *m, json_t *list, struct json_in *in)
{
	json_t *change;
	size_t i;

	json_array_foreach(list, i, change)
	{
		int64_t id = 0;
		uint32_t at;

		if (json_is_null(change) || json_in_failed(in))
			continue;
		json_in_i64(in, change, "NodeID", 0, INT64_MAX, &id);
		at = netmap_peers_find(m, id);
		if (at < m->peer_count && m->peers[at]->id == id)
			replace(&m->peers[at], netmap_node_patch(m->peers[at], change, in));
		if (json_in_failed(in))
			json_in_within(in, "PeersChangedPatch", (long)i);
	}
}

void netmap_peers_apply(struct netmap *m, const json_t *message, int64_t now_ns, struct json_in *in)
{
	json_t *all = json_in_list(in, message, "Peers");

	if (json_array_size(all)) {
		remove_all(m);
		put_list(m, all, "Peers", in);
		return;
	}
	remove_list(m, json_in_list(in, message, "PeersRemoved"), in);
	put_list(m, json_in_list(in, message, "PeersChanged"), "PeersChanged", in);
	seen_change(m, json_in_object(in, message, "PeerSeenChange"), now_ns, in);
	online_change(m, json_in_object(in, message, "OnlineChange"), in);
	patch_list(m, json_in_list(in, message, "PeersChangedPatch"), in);
}
