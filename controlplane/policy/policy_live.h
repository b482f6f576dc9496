/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy and the nodes it is about, kept in step while both change: who sees whom,
 * with which routes, and each node's packet filter in parts that are sent again only
 * when they have changed (docs/protocol/policy.md, "Changes").
 *
 *   node changes -> the classes (tag, user, group, address) that hold it
 *                -> the sources and destinations of grants that name these
 *                -> its row of peers: union over the grants that it is in
 *
 * A change of one node costs its own row and what its classes are written in, never a
 * look at all pairs. policy_view_new of the same nodes says the same (test_policy_live).
 * Want of memory stops the program: half an update would be a wrong rule. Pure; one
 * thread at a time.
 */
#ifndef CONTROLPLANE_POLICY_POLICY_LIVE_H
#define CONTROLPLANE_POLICY_POLICY_LIVE_H

#include "controlplane/policy/policy.h"

struct policy_live;

enum policy_live_what {
	/* Who sees the node, or what is seen of it; and whom and what it sees. */
	POLICY_LIVE_EDGES = 1u << 0,
	/* What the policy gives the node itself: its attributes. */
	POLICY_LIVE_SELF = 1u << 1,
	/* With id 0: filters changed, see policy_live_filter_is_new. */
	POLICY_LIVE_FILTERS = 1u << 2,
};

typedef void policy_live_fn(void *arg, int64_t id, unsigned what);

/* What it needs to know of a node; all borrowed during the call. */
struct policy_live_node {
	int64_t id;   /* > 0 */
	int64_t user; /* its user's id; 0: tagged */
	const char *const *tags;
	uint32_t tag_count;
	struct ip_addr v4, v6; /* of the tailnet's ranges, nobody else's */
	/* As in struct policy_node. */
	const struct prefix *routes, *primary;
	uint32_t route_count, primary_count;
	bool is_exit;
};

/* What the receiver of a node's filter was told; zeroed at first, policy_told_fini. */
struct policy_told {
	uint64_t stamp, generation;
	uint64_t *parts; /* bits */
	uint32_t words;
};

/* on_change is called from inside of the functions below that change something. */
struct policy_live *policy_live_new(policy_live_fn *on_change, void *arg);
void policy_live_free(struct policy_live *l);

/* Takes p. NULL: no policy, nothing passes and nobody sees anybody. */
void policy_live_set(struct policy_live *l, struct policy *p);
/* NULL: there is none. */
const struct policy *policy_live_policy(const struct policy_live *l);
/* login NULL: the user is gone. Users come before their nodes. */
void policy_live_user(struct policy_live *l, int64_t id, const char *login);
/* A node that is new or changed. The same as before: nothing happens. */
void policy_live_put(struct policy_live *l, const struct policy_live_node *n);
void policy_live_remove(struct policy_live *l, int64_t id);

/* Do they see each other? The same both ways; false of one that is not there. */
bool policy_live_sees(const struct policy_live *l, int64_t a, int64_t b);
/* As policy_routes. */
uint32_t policy_live_routes(struct policy_live *l, int64_t a, int64_t b, struct prefix *out,
			    uint32_t room);
/* False: the attribute disable-ipv4. */
bool policy_live_has_ipv4(const struct policy_live *l, int64_t id);
/* As policy_attributes, policy_approves, policy_may_tag and policy_run_tests, with its nodes. */
void policy_live_attributes(const struct policy_live *l, int64_t id,
			    void (*fn)(void *arg, const char *name), void *arg);
bool policy_live_approves(const struct policy_live *l, int64_t id, const struct prefix *route);
bool policy_live_has_tag(const struct policy_live *l, const char *tag);
bool policy_live_may_tag(const struct policy_live *l, int64_t user, const char *tag);
bool policy_live_may_retag(const struct policy_live *l, int64_t id, const char *tag);
int policy_live_run_tests(const struct policy_live *l, const struct policy *p,
			  struct policy_report *report);

/* ---- filters ---- */

/* What was told is no longer all of it. */
bool policy_live_filter_is_new(const struct policy_live *l, int64_t id,
			       const struct policy_told *told);
/*
 * The parts that changed since, as an object name -> FilterRules, null for one that is
 * gone; with "*": null in front when all are sent. Notes them in told.
 */
void policy_live_filter(struct policy_live *l, int64_t id, struct policy_told *told,
			struct json_out *out, const char *key);
void policy_told_fini(struct policy_told *t);

#endif
