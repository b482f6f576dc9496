/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of the mesh and the user's settings -> the configuration that a node
 * runs by, the same struct that node.hujson becomes. From there on a mesh and a
 * static configuration go one way: node_apply compares it with the last one and
 * sends what changed. Pure.
 */
#ifndef CONTROLPLANE_NODE_MESH_CONFIG_H
#define CONTROLPLANE_NODE_MESH_CONFIG_H

#include "controlplane/control/prefs.h"
#include "controlplane/netmap/netmap.h"
#include "controlplane/node/config.h"

#define MESH_MTU 1280 /* what every node of a tailnet carries */

struct mesh_input {
	const struct netmap *map;
	const struct prefs_view *prefs;
	const struct key *node_private; /* of map->self's key */
	int64_t now_ns;			/* since 1970, corrected by ControlTime */
};

/*
 * Peers: those with a key that has not expired. A peer's own addresses are routed to
 * it; subnets only with accept_routes; default routes only to the exit node. The
 * addresses of MagicDNS are served on the TUN. The filter is the coordinator's, or empty with
 * shields_up; ours are our addresses and what we advertise and the coordinator approved. *skipped:
 * filter entries that did not parse. 0, or -ENOMEM or -EFBIG.
 */
int mesh_config_make(const struct mesh_input *in, struct node_config **out, uint32_t *skipped);

/*
 * When the outcome changes by time alone: the next expiry of a peer's or our own key,
 * ns since 1970; INT64_MAX: never.
 */
int64_t mesh_next_expiry(const struct netmap *m, int64_t now_ns);

#endif
