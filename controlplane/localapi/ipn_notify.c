/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/localapi/ipn_notify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"

const char *ipn_watch_problem(uint64_t mask)
{
	static const struct {
		uint64_t bit;
		const char *problem;
	} with_rate_limit[] = {
		{IPN_PEER_CHANGES, "NotifyRateLimit is incompatible with new-style IPN bus "
				   "subscription bits ipn.NotifyPeerChanges"},
		{IPN_NO_NETMAP, "NotifyRateLimit is incompatible with new-style IPN bus "
				"subscription bits ipn.NotifyNoNetMap"},
		{IPN_INITIAL_STATUS, "NotifyRateLimit is incompatible with new-style IPN bus "
				     "subscription bits ipn.NotifyInitialStatus"},
		{IPN_PEER_PATCHES, "NotifyRateLimit is incompatible with new-style IPN bus "
				   "subscription bits ipn.NotifyPeerPatches"},
	};

	if (mask & IPN_IN_PROCESS)
		return "NotifyInProcessNoDisconnect is only valid for in-process IPN bus "
		       "subscribers";
	for (size_t i = 0; mask & IPN_RATE_LIMIT && i < 4; i++)
		if (mask & with_rate_limit[i].bit)
			return with_rate_limit[i].problem;
	return NULL;
}

/* Always there; null when there is no news. */
static void put(json_t *to, const char *key, const json_t *value)
{
	json_object_set(to, key, value ? (json_t *)value : json_null());
}

static void put_text(json_t *to, const char *key, const char *text)
{
	json_object_set_new(to, key, text ? json_string(text) : json_null());
}

static void put_if_any(json_t *to, const char *key, const json_t *value)
{
	if (json_array_size(value) || json_object_size(value))
		json_object_set(to, key, (json_t *)value);
}

char *ipn_notify_line(const struct ipn_notify *n, size_t *len)
{
	json_t *to = json_object();
	char *text, *line = NULL;

	put_text(to, "Version", n->version);
	if (n->session_id)
		put_text(to, "SessionID", n->session_id);
	put_text(to, "ErrMessage", n->error);
	json_object_set_new(to, "LoginFinished", n->login_finished ? json_object() : json_null());
	json_object_set_new(to, "State",
			    n->state == IPN_NO_STATE_NEWS ? json_null() : json_integer(n->state));
	put(to, "Prefs", n->prefs);
	put_if_any(to, "SelfChange", n->self_change);
	put_if_any(to, "InitialStatus", n->initial_status);
	put(to, "NetMap", n->netmap);
	put_if_any(to, "PeersChanged", n->peers_changed);
	put_if_any(to, "PeersRemoved", n->peers_removed);
	put_if_any(to, "UserProfiles", n->user_profiles);
	put(to, "Engine", n->engine);
	put_text(to, "BrowseToURL", n->browse_to_url);
	put(to, "DriveShares", NULL);
	put_if_any(to, "Health", n->health);
	text = json_dumps(to, JSON_COMPACT);
	json_decref(to);
	if (!text)
		return NULL;
	*len = strlen(text) + 1;
	line = realloc(text, *len + 1);
	if (!line) {
		free(text);
		return NULL;
	}
	memcpy(line + *len - 1, "\n", 2);
	return line;
}

json_t *ipn_health(const json_t *sentences)
{
	json_t *warnings = json_array_size(sentences) ? json_object() : json_null(), *sentence;
	char code[32];
	size_t i;

	json_array_foreach((json_t *)sentences, i, sentence)
	{
		snprintf(code, sizeof(code), "causeway-%zu", i);
		json_object_set_new(warnings, code,
				    json_pack("{s:s, s:s, s:s, s:O}", "WarnableCode", code,
					      "Severity", "medium", "Title", "Causeway", "Text",
					      sentence));
	}
	return json_pack("{s:o}", "Warnings", warnings);
}

/* Member by member: what the coordinator left out is its zero. */
static json_t *value_or(const struct netmap *m, const char *name, json_t *zero)
{
	json_t *value = netmap_value(m, name);

	if (!value)
		return zero;
	json_decref(zero);
	return json_incref(value);
}

static json_t *all_filters(const struct netmap *m)
{
	json_t *list = json_array(), *chunk;
	const char *name;

	json_object_foreach(m->filters, name, chunk) json_array_extend(list, chunk);
	return list;
}

json_t *ipn_netmap(const struct netmap *m, bool is_from_cache)
{
	json_t *to = json_object(), *peers = json_array();
	char text[KEY_TEXT_MAX];

	for (uint32_t i = 0; i < m->peer_count; i++)
		json_array_append(peers, m->peers[i]->raw);
	json_object_set_new(to, "Cached", json_boolean(is_from_cache));
	json_object_set(to, "SelfNode", m->self->raw);
	json_object_set_new(to, "NodeKey",
			    json_string(key_text_print(&m->self->key, KEY_TEXT_NODE, text)));
	json_object_set_new(to, "MachineKey",
			    json_string(key_text_print(&m->self->machine, KEY_TEXT_MACHINE, text)));
	json_object_set_new(to, "Peers", peers);
	json_object_set_new(to, "DNS", value_or(m, "DNSConfig", json_object()));
	json_object_set_new(to, "PacketFilterRules", all_filters(m));
	json_object_set_new(to, "SSHPolicy", value_or(m, "SSHPolicy", json_null()));
	json_object_set_new(to, "CollectServices", json_false());
	json_object_set(to, "DERPMap", m->derp ? m->derp : json_null());
	json_object_set_new(to, "DisplayMessages", value_or(m, "DisplayMessages", json_null()));
	json_object_set_new(to, "TKAEnabled", json_false());
	json_object_set_new(to, "Domain", value_or(m, "Domain", json_string("")));
	json_object_set(to, "UserProfiles", m->users ? m->users : json_null());
	return to;
}

void ipn_nodes_fini(struct ipn_nodes *n)
{
	netmap_node_put(n->self);
	for (uint32_t i = 0; i < n->count; i++)
		netmap_node_put(n->peers[i]);
	free(n->peers);
	*n = (struct ipn_nodes){0};
}

void ipn_nodes_take(struct ipn_nodes *n, const struct netmap *m)
{
	struct ipn_nodes made = {.peers = calloc(m->peer_count + 1, sizeof(*made.peers))};

	if (made.peers) {
		made.self = netmap_node_get(m->self);
		for (; made.count < m->peer_count; made.count++)
			made.peers[made.count] = netmap_node_get(m->peers[made.count]);
	}
	ipn_nodes_fini(n);
	*n = made;
}

void ipn_peer_changes(const struct ipn_nodes *told, const struct netmap *now, json_t **changed,
		      json_t **removed)
{
	uint32_t o = 0, i = 0;

	*changed = json_array();
	*removed = json_array();
	while (o < told->count || i < now->peer_count) {
		const struct netmap_node *was = o < told->count ? told->peers[o] : NULL;
		const struct netmap_node *is = i < now->peer_count ? now->peers[i] : NULL;

		if (was && (!is || was->id < is->id)) {
			json_array_append_new(*removed, json_integer(was->id));
			o++;
			continue;
		}
		/* Pictures share the nodes that stayed. */
		if (was != is)
			json_array_append(*changed, is->raw);
		o += was && was->id == is->id;
		i++;
	}
}
