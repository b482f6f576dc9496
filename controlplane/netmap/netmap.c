/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/netmap/netmap_peers.h"

#define DECIMAL_MAX 24

/* Members that replace what was there before, whole. */
static const char *const replaced[] = {
	"Domain",
	"DNSConfig",
	"SSHPolicy",
	"CollectServices",
	"ClientVersion",
	"TKAInfo",
	"DomainDataPlaneAuditLogID",
	"DefaultAutoUpdate",
};

static const char *decimal(int64_t n, char buf[DECIMAL_MAX])
{
	snprintf(buf, DECIMAL_MAX, "%lld", (long long)n);
	return buf;
}

/* A set that cannot fail quietly. */
static void set(json_t *object, const char *key, json_t *value, struct json_in *in)
{
	if (json_object_set(object, key, value))
		json_in_fail(in, key, "less (no memory)");
}

/* *object becomes a copy of its own, so that the picture of before keeps its. */
static bool own(json_t **object, struct json_in *in)
{
	json_t *copy = *object ? json_copy(*object) : json_object();

	if (!copy) {
		json_in_fail(in, "message", "less (no memory)");
		return false;
	}
	json_decref(*object);
	*object = copy;
	return true;
}

static void apply_users(struct netmap *m, const json_t *message, struct json_in *in)
{
	json_t *list = json_in_list(in, message, "UserProfiles"), *profile;
	size_t i;

	if (!json_array_size(list) || !own(&m->users, in))
		return;
	json_array_foreach(list, i, profile)
	{
		char text[DECIMAL_MAX];
		int64_t id = 0;

		json_in_i64(in, profile, "ID", INT64_MIN, INT64_MAX, &id);
		if (id)
			set(m->users, decimal(id, text), profile, in);
	}
}

/* Each chunk is a list of rules; null removes it, and "*": null all of before. */
static void apply_filters(struct netmap *m, const json_t *message, struct json_in *in)
{
	json_t *base = json_in_list(in, message, "PacketFilter"), *rules;
	json_t *chunks = json_in_object(in, message, "PacketFilters");
	const char *name;

	if ((!base && !chunks) || !own(&m->filters, in))
		return;
	if (base)
		set(m->filters, "base", base, in);
	if (json_is_null(json_object_get(chunks, "*")))
		json_object_clear(m->filters);
	json_object_foreach(chunks, name, rules)
	{
		if (json_is_null(rules))
			json_object_del(m->filters, name);
		else if (json_is_array(rules))
			set(m->filters, name, rules, in);
		else
			json_in_fail(in, "PacketFilters", "a list of rules for each name");
	}
}

/* Regions and HomeParams stay when they are left out; a region that is null goes. */
static void apply_derp(struct netmap *m, const json_t *message, struct json_in *in)
{
	json_t *came = json_in_object(in, message, "DERPMap"), *made, *part, *region;
	const char *id;

	if (!came)
		return;
	made = json_copy(came);
	if (!made) {
		json_in_fail(in, "DERPMap", "less (no memory)");
		return;
	}
	part = json_in_object(in, came, "Regions");
	if (part) {
		json_t *regions = json_object();

		json_object_foreach(part, id, region)
		{
			if (json_is_object(region))
				set(regions, id, region, in);
			else if (!json_is_null(region))
				json_in_fail(in, "DERPMap.Regions", "an object for each region");
		}
		set(made, "Regions", regions, in);
		json_decref(regions);
	} else if (m->derp && json_object_get(m->derp, "Regions")) {
		set(made, "Regions", json_object_get(m->derp, "Regions"), in);
	}
	if (!json_in_object(in, came, "HomeParams") && m->derp &&
	    json_object_get(m->derp, "HomeParams"))
		set(made, "HomeParams", json_object_get(m->derp, "HomeParams"), in);
	json_decref(m->derp);
	m->derp = made;
}

/* DisplayMessages are merged by id and stand in Health's place once there is one. */
static void apply_health(struct netmap *m, const json_t *message, struct json_in *in)
{
	json_t *health = json_in_list(in, message, "Health"), *text;
	json_t *display = json_in_object(in, message, "DisplayMessages"), *kept;
	const char *id;

	if (health)
		set(m->values, "Health", health, in);
	if (!display)
		return;
	kept = json_object_get(m->values, "DisplayMessages");
	kept = kept && !json_is_null(json_object_get(display, "*")) ? json_copy(kept)
								    : json_object();
	json_object_foreach(display, id, text)
	{
		if (json_is_null(text))
			json_object_del(kept, id);
		else
			set(kept, id, text, in);
	}
	set(m->values, "DisplayMessages", kept, in);
	json_decref(kept);
}

static void check_types(const json_t *message, struct json_in *in)
{
	const char *text;
	bool yes;

	json_in_string(in, message, "Domain", &text);
	json_in_bool(in, message, "CollectServices", &yes);
	json_in_object(in, message, "DNSConfig");
	json_in_object(in, message, "SSHPolicy");
}

static void apply_values(struct netmap *m, const json_t *message, struct json_in *in)
{
	check_types(message, in);
	if (!own(&m->values, in))
		return;
	for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++) {
		json_t *value = json_in_get(message, replaced[i]);

		if (value)
			set(m->values, replaced[i], value, in);
	}
	apply_health(m, message, in);
}

static void apply_self(struct netmap *m, const json_t *message, struct json_in *in)
{
	json_t *raw = json_in_get(message, "Node");
	struct netmap_node *self;

	if (!raw) {
		if (!m->self)
			json_in_fail(in, "Node", "to be in the first message");
		return;
	}
	self = netmap_node_make(raw, in);
	if (!self) {
		json_in_within(in, "Node", -1);
		return;
	}
	netmap_node_put(m->self);
	m->self = self;
}

/* Another picture that shares everything; NULL: no memory. */
static struct netmap *copy(const struct netmap *old)
{
	struct netmap *m = calloc(1, sizeof(*m));

	if (!m || !old)
		return m;
	m->peer_room = old->peer_count + 8; /* messages bring peers a few at a time */
	m->peers = malloc(m->peer_room * sizeof(*m->peers));
	if (!m->peers) {
		free(m);
		return NULL;
	}
	m->self = netmap_node_get(old->self);
	m->peer_count = old->peer_count;
	for (uint32_t i = 0; i < m->peer_count; i++)
		m->peers[i] = netmap_node_get(old->peers[i]);
	m->users = json_incref(old->users);
	m->filters = json_incref(old->filters);
	m->derp = json_incref(old->derp);
	m->values = json_incref(old->values);
	return m;
}

int netmap_apply(const struct netmap *old, const json_t *message, int64_t now_ns,
		 struct netmap **out, struct json_in *in)
{
	struct netmap *m = copy(old);

	in->error[0] = 0;
	if (!m)
		return -ENOMEM;
	if (!json_is_object(message))
		json_in_fail(in, "MapResponse", "an object");
	/* In this order, so that a patch may touch a peer that the same message brought. */
	netmap_peers_apply(m, message, now_ns, in);
	apply_self(m, message, in);
	apply_users(m, message, in);
	apply_derp(m, message, in);
	apply_filters(m, message, in);
	apply_values(m, message, in);
	if (json_in_failed(in)) {
		netmap_free(m);
		return -EBADMSG;
	}
	*out = m;
	return 0;
}

void netmap_free(struct netmap *m)
{
	if (!m)
		return;
	netmap_node_put(m->self);
	for (uint32_t i = 0; i < m->peer_count; i++)
		netmap_node_put(m->peers[i]);
	free(m->peers);
	json_decref(m->users);
	json_decref(m->filters);
	json_decref(m->derp);
	json_decref(m->values);
	free(m);
}

bool netmap_is_keepalive(const json_t *message)
{
	return json_is_true(json_in_get(message, "KeepAlive"));
}

struct netmap_node *netmap_peer(const struct netmap *m, int64_t id)
{
	uint32_t at = netmap_peers_find(m, id);

	return at < m->peer_count && m->peers[at]->id == id ? m->peers[at] : NULL;
}

json_t *netmap_value(const struct netmap *m, const char *name)
{
	return json_object_get(m->values, name);
}

json_t *netmap_user(const struct netmap *m, int64_t user)
{
	char text[DECIMAL_MAX];

	return json_object_get(m->users, decimal(user, text));
}
