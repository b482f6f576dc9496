/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of watch-ipn-bus (ipn.Notify; docs/protocol/localapi.md,
 * "watch-ipn-bus"). Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_NOTIFY_H
#define CONTROLPLANE_LOCALAPI_IPN_NOTIFY_H

#include "controlplane/netmap/netmap.h"

/* Bits of the watcher's mask, by their numbers in the protocol. */
enum ipn_watch {
	IPN_WATCH_ENGINE = 1 << 0,
	IPN_INITIAL_STATE = 1 << 1,
	IPN_INITIAL_PREFS = 1 << 2,
	IPN_INITIAL_NETMAP = 1 << 3,
	IPN_INITIAL_HEALTH = 1 << 7,
	IPN_RATE_LIMIT = 1 << 8,
	IPN_PEER_CHANGES = 1 << 12,
	IPN_NO_NETMAP = 1 << 13,
	IPN_INITIAL_STATUS = 1 << 14,
	IPN_PEER_PATCHES = 1 << 15,
	IPN_IN_PROCESS = 1 << 16,
};

/* NULL: the mask is one that we serve; else what is wrong with it, as stock says. */
const char *ipn_watch_problem(uint64_t mask);

#define IPN_NO_STATE_NEWS (-1)

/* What is NULL, false or IPN_NO_STATE_NEWS did not change. All borrowed. */
struct ipn_notify {
	const char *version; /* never NULL */
	const char *session_id, *error, *browse_to_url;
	int state; /* ipn.State */
	bool login_finished;
	const json_t *prefs, *netmap, *self_change, *health, *initial_status;
	const json_t *engine, *peers_changed, *peers_removed, *user_profiles;
};

/* One line of JSON and its newline, the caller's to free; NULL: no memory. */
char *ipn_notify_line(const struct ipn_notify *n, size_t *len);

/* health.State of these sentences. */
json_t *ipn_health(const json_t *sentences);
/* netmap.NetworkMap: for `debug netmap` and watchers that ask for it. */
json_t *ipn_netmap(const struct netmap *m, bool is_from_cache);

/* The nodes of a picture that somebody was told of, by reference. Zeros: none. */
struct ipn_nodes {
	struct netmap_node *self, **peers; /* peers by rising id */
	uint32_t count;
};

/* Lets go of what it had and takes the picture's. Without memory it has none. */
void ipn_nodes_take(struct ipn_nodes *n, const struct netmap *m);
/* Leaves zeros. */
void ipn_nodes_fini(struct ipn_nodes *n);
/* Peers that are new or differ, and ids of those that went: new lists. */
void ipn_peer_changes(const struct ipn_nodes *told, const struct netmap *now, json_t **changed,
		      json_t **removed);

#endif
