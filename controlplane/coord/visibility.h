/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may see whom, and what: the picture's nodes and users under the policy that is in
 * force (docs/protocol/policy.md), kept in step with both. Without a policy nothing passes
 * and nobody sees anybody; a policy that cannot be read leaves the one before in force.
 * The loop's thread only.
 */
#ifndef CONTROLPLANE_COORD_VISIBILITY_H
#define CONTROLPLANE_COORD_VISIBILITY_H

#include "controlplane/coord/picture.h"
#include "controlplane/policy/policy_live.h"

struct visibility;

struct visibility_config {
	const struct picture *picture;
	/*
	 * As picture.on_change: PICTURE_EDGES and PICTURE_SELF of a node; PICTURE_FILTERS
	 * with node 0.
	 */
	void (*on_change)(void *arg, int64_t node_id, unsigned what);
	/* A route that waits and that the policy approves. */
	void (*on_approve)(void *arg, int64_t node_id, const struct prefix *route);
	void *arg;
};

/* What one node is shown of another beside its fixed members. */
struct visibility_shown {
	const struct prefix *routes; /* until the next question */
	uint32_t route_count;
	bool has_ipv4;
};

struct visibility *visibility_new(const struct visibility_config *cfg); /* NULL: no memory */
void visibility_free(struct visibility *v);

/* What the picture told, before anybody else acts on it. */
void visibility_changed(struct visibility *v, int64_t node_id, unsigned what);
void visibility_user_changed(struct visibility *v, int64_t user_id);
/* A route is advertised that is not approved. */
void visibility_route_offered(struct visibility *v, const struct store_route *r);

bool visibility_sees(const struct visibility *v, int64_t viewer, int64_t node);
/* Of a node that it sees. */
void visibility_shown(struct visibility *v, int64_t viewer, int64_t node,
		      struct visibility_shown *out);
/* A digest of it: equal ones are shown the same. 0 for most, who have no routes. */
uint64_t visibility_variant(struct visibility *v, int64_t viewer, int64_t node);
/* The rest is asked of the policy itself. */
struct policy_live *visibility_policy(struct visibility *v);

#endif
