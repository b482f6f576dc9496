/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two pictures -> what is to be done. Pure. Nodes that both pictures share cost one
 * comparison of pointers, so one changed peer among thousands costs a few messages.
 */
#ifndef CONTROLPLANE_NETMAP_NETMAP_DIFF_H
#define CONTROLPLANE_NETMAP_NETMAP_DIFF_H

#include "controlplane/netmap/netmap.h"

enum netmap_change_kind { NETMAP_PEER_REMOVED, NETMAP_PEER_ADDED, NETMAP_PEER_CHANGED };

#define NETMAP_DIFF_KEY	      (1u << 0) /* another WireGuard peer: sessions go */
#define NETMAP_DIFF_DISCO     (1u << 1)
#define NETMAP_DIFF_ALLOWED   (1u << 2)
#define NETMAP_DIFF_ENDPOINTS (1u << 3)
#define NETMAP_DIFF_HOME      (1u << 4) /* DERP region */
#define NETMAP_DIFF_ONLINE    (1u << 5)
#define NETMAP_DIFF_NAME      (1u << 6)
#define NETMAP_DIFF_ADDRESSES (1u << 7)
#define NETMAP_DIFF_FLAGS     (1u << 8) /* jailed, WireGuard only, expiry, masquerading */
#define NETMAP_DIFF_OTHER     (1u << 9) /* what only status shows */

struct netmap_change {
	enum netmap_change_kind kind;
	uint32_t what;			    /* of CHANGED */
	const struct netmap_node *old_peer; /* not of ADDED */
	const struct netmap_node *new_peer; /* not of REMOVED */
};

struct netmap_diff {
	uint32_t self; /* NETMAP_DIFF_*, 0 = as it was */
	bool filter_changed;
	bool derp_changed;
	bool dns_changed; /* DNSConfig, Domain, or a name or address of a node */
	struct netmap_change
		*changes; /* removals first, each by id; peers as they were are not in */
	uint32_t count;
};

/* old NULL: everything is new. Points into both. 0, or -ENOMEM. */
int netmap_diff_make(const struct netmap *old, const struct netmap *new_map,
		     struct netmap_diff *out);
void netmap_diff_fini(struct netmap_diff *d);

#endif
