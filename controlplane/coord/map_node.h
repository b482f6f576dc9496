/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node as JSON of the control protocol (docs/protocol/control.md, "Node"): as its
 * peers see it and as it sees itself. Pure: rows in, text out.
 */
#ifndef CONTROLPLANE_COORD_MAP_NODE_H
#define CONTROLPLANE_COORD_MAP_NODE_H

#include "controlplane/coord/visibility.h"
#include "lib/base/json_out.h"

/* Tagged nodes are nobody's: they are shown under this user. */
#define MAP_NODE_TAGGED_USER 2147455555

/* The members that seldom change, without braces; malloc'd, NULL: no memory. */
char *map_node_fixed(const struct picture_node *n, const char *domain);
/* A whole peer, with what its viewer is shown of it. */
void map_node_peer(struct json_out *j, const struct picture_node *n, bool is_online,
		   const struct visibility_shown *shown);
/* The node itself, with what the policy gives it. */
void map_node_self(struct json_out *j, const char *key, const struct picture_node *n,
		   const char *domain, const struct policy_live *policy);
/* A PeerChange with the members of `what`. */
void map_node_patch(struct json_out *j, const struct picture_node *n, unsigned what,
		    bool is_online);
/* The user that a node is shown under. */
int64_t map_node_user(const struct picture_node *n);

#endif
