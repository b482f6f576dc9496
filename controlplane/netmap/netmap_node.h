/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node as the coordinator describes it (tailcfg Node; docs/protocol/control.md,
 * "Node"): what the gateway acts on, decoded, beside the object as it came, which
 * status, WhoIs and the cache on disk read. Immutable and counted: pictures of
 * before and after a change share the nodes that stayed. One thread.
 */
#ifndef CONTROLPLANE_NETMAP_NETMAP_NODE_H
#define CONTROLPLANE_NETMAP_NETMAP_NODE_H

#include "controlplane/tailcfg/json_in.h"

struct netmap_node {
	uint32_t refs;
	json_t *raw;
	int64_t id;
	const char *stable_id, *name; /* of raw; "" if it has none. name as sent, with its dot */
	int64_t user;
	struct key key, machine, disco; /* zeros: none */
	int64_t key_expiry_ns;		/* since 1970; 0: never */
	int64_t last_seen_ns;		/* 0: not known */
	uint32_t home_derp;		/* 0: not known */
	uint32_t cap;			/* capability version */
	enum json_tristate online;
	bool is_authorized;	/* MachineAuthorized */
	bool is_expired;	/* said so, whatever the time is */
	bool is_wireguard_only; /* static endpoints, no disco, no DERP */
	bool is_jailed;
	struct ip_addr masq4, masq6; /* our address towards this peer; family 0: our own */
	struct prefix *addresses, *allowed, *primary;
	uint32_t address_count, allowed_count, primary_count;
	struct endpoint *endpoints; /* family 0: one that nobody can send to */
	uint32_t endpoint_count;
};

/* Takes a reference of raw. NULL with in->error filled. The caller's: netmap_node_put. */
struct netmap_node *netmap_node_make(json_t *raw, struct json_in *in);
struct netmap_node *netmap_node_get(struct netmap_node *n);
void netmap_node_put(struct netmap_node *n);

/*
 * A new node with the members of a PeerChange put over it, or n itself (counted
 * again) if the change is older than what is known. NULL with in->error filled.
 */
struct netmap_node *netmap_node_patch(struct netmap_node *n, const json_t *change,
				      struct json_in *in);
/* A new node with Online or LastSeen set; NULL: no memory. */
struct netmap_node *netmap_node_with(const struct netmap_node *n, const char *member, json_t *value,
				     struct json_in *in);

/* No traffic with it at this time (ns since 1970, corrected by ControlTime). */
bool netmap_node_has_expired(const struct netmap_node *n, int64_t now_ns);
/* A node attribute, or "cap:" source. */
bool netmap_node_has_cap(const struct netmap_node *n, const char *name);

#endif
