/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of the mesh: what the messages of a map stream add up to
 * (docs/protocol/control.md, "MapResponse"). A picture is immutable; a message
 * makes another one that shares what stayed, so that old and new can be compared
 * (netmap_diff.h) and a message that does not read changes nothing. One thread.
 */
#ifndef CONTROLPLANE_NETMAP_NETMAP_H
#define CONTROLPLANE_NETMAP_NETMAP_H

#include "controlplane/netmap/netmap_node.h"

struct netmap {
	struct netmap_node *self;   /* never NULL */
	struct netmap_node **peers; /* sorted by id, each id once */
	uint32_t peer_count, peer_room;
	json_t *users;	 /* object: decimal user id -> UserProfile */
	json_t *filters; /* object: chunk -> list of FilterRule; NULL: none ever came */
	json_t *derp;	 /* DERPMap, or NULL */
	/*
	 * What is replaced as it comes, by name: DNSConfig, Domain, SSHPolicy, Health,
	 * DisplayMessages, CollectServices, ClientVersion, TKAInfo and the like.
	 */
	json_t *values;
};

/*
 * Applies one message (json_in_parse) to old, or to nothing (NULL: it must then
 * hold Node). 0 with *out the caller's (netmap_free), old as it was; -EBADMSG with
 * in->error saying what and where; -ENOMEM. Ids that are not known are passed over.
 * now_ns (since 1970) is when a peer of PeerSeenChange was seen.
 */
int netmap_apply(const struct netmap *old, const json_t *message, int64_t now_ns,
		 struct netmap **out, struct json_in *in);
void netmap_free(struct netmap *m);

/* The message is only a sign of life: no picture comes of it. */
bool netmap_is_keepalive(const json_t *message);

/* NULL: not known. */
struct netmap_node *netmap_peer(const struct netmap *m, int64_t id);
/* A value by its name, or NULL. Borrowed. */
json_t *netmap_value(const struct netmap *m, const char *name);
/* The profile of a user, or NULL. Borrowed. */
json_t *netmap_user(const struct netmap *m, int64_t user);

#endif
