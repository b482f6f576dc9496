/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tailnet policy file (docs/protocol/policy.md): read with the place of every
 * error, then looked at together with the users and nodes there are. Pure; one
 * thread at a time.
 *
 *   text -> policy_parse -> struct policy
 *   policy + world -> policy_view_new -> filters, peers, routes, attributes
 */
#ifndef CONTROLPLANE_POLICY_POLICY_H
#define CONTROLPLANE_POLICY_POLICY_H

#include "lib/base/addr.h"
#include "lib/base/json_out.h"

struct policy;
struct policy_view;

/* ---- the file ---- */

struct policy_message {
	uint32_t line, column; /* from 1; bytes */
	bool is_warning;
	char text[224];
};

struct policy_report {
	struct policy_message *messages; /* by place */
	uint32_t count, room, errors;
};

/*
 * 0 with *out the caller's (policy_free) and perhaps warnings; -EINVAL with all errors
 * in the report; -ENOMEM. The report is the caller's in any case.
 */
int policy_parse(const char *text, size_t len, struct policy **out, struct policy_report *report);
void policy_free(struct policy *p);
void policy_report_fini(struct policy_report *r);

/* ---- whom it is about ---- */

enum policy_role {
	POLICY_OWNER = 1u << 0,
	POLICY_ADMIN = 1u << 1,
	POLICY_IT_ADMIN = 1u << 2,
	POLICY_NETWORK_ADMIN = 1u << 3,
	POLICY_BILLING_ADMIN = 1u << 4,
	POLICY_AUDITOR = 1u << 5,
};

struct policy_user {
	const char *login;
	uint32_t roles; /* enum policy_role; an owner is an admin too */
};

struct policy_node {
	int64_t id;
	int32_t user; /* index into users; -1: tagged */
	const char *const *tags;
	uint32_t tag_count;
	struct ip_addr v4, v6; /* family 0: none */
	/* Advertised now and approved; without exit routes. */
	const struct prefix *routes;
	uint32_t route_count;
	bool is_exit; /* the same of 0.0.0.0/0 and ::/0 */
	/* Of routes those for which it was chosen. */
	const struct prefix *primary;
	uint32_t primary_count;
};

struct policy_world {
	const struct policy_user *users;
	uint32_t user_count;
	const struct policy_node *nodes;
	uint32_t node_count;
};

/* ---- what follows ---- */

/* policy NULL: none is configured. Borrows both as long as it lives. NULL: no memory. */
struct policy_view *policy_view_new(const struct policy *policy, const struct policy_world *world);
void policy_view_free(struct policy_view *v);

/* The packet filter of a node as a list of FilterRules, under key (NULL: at the root). */
void policy_filter(const struct policy_view *v, uint32_t node, struct json_out *out,
		   const char *key);
/* Do they see each other? The same both ways. */
bool policy_is_peer(const struct policy_view *v, uint32_t a, uint32_t b);
/*
 * Routes of b that a gets with it, b's own addresses not among them: up to room, exit
 * routes last. Returns how many there are. Only for peers.
 */
uint32_t policy_routes(const struct policy_view *v, uint32_t a, uint32_t b, struct prefix *out,
		       uint32_t room);

/* Would the policy approve this route of the node by itself? Exit routes have length 0. */
bool policy_approves(const struct policy *p, const struct policy_world *world, uint32_t node,
		     const struct prefix *route);
/* Calls fn with each attribute that the policy gives the node, each once. */
void policy_attributes(const struct policy *p, const struct policy_world *world, uint32_t node,
		       void (*fn)(void *arg, const char *name), void *arg);
/* May this user put the tag on a node? */
bool policy_may_tag(const struct policy *p, const struct policy_world *world, uint32_t user,
		    const char *tag);
/* Does the policy define the tag? */
bool policy_has_tag(const struct policy *p, const char *tag);
/* May this node, as it is, have the tag: is it an owner? */
bool policy_may_retag(const struct policy *p, const struct policy_world *world, uint32_t node,
		      const char *tag);
/*
 * Runs the file's tests. 0, or -EINVAL with each failing line in the report, or -ENOMEM.
 */
int policy_run_tests(const struct policy *p, const struct policy_world *world,
		     struct policy_report *report);

#endif
