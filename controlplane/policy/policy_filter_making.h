/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter being written: policy_filter.c has the rules of packets, policy_filter_caps.c
 * those of capabilities. Inside this folder only.
 */
#ifndef CONTROLPLANE_POLICY_POLICY_FILTER_MAKING_H
#define CONTROLPLANE_POLICY_POLICY_FILTER_MAKING_H

#include "controlplane/policy/policy_resolved.h"

struct making {
	const struct policy_view *v;
	const struct policy_node *n;
	uint32_t node;
	struct json_out *j;
	bool is_open; /* a rule is, and its DstPorts */
};

/* SrcIPs. */
void filter_put_texts(struct json_out *j, char *const *texts, uint32_t count);
/* Some route of the node meets the prefix. */
bool filter_routes_in(const struct policy_node *n, const struct prefix *p);
/* Of autogroup:self: the user's own nodes, all or those that are sources. False: no memory. */
bool filter_own_texts(const struct making *k, const struct resolved_grant *g, bool only_sources,
		      char ***texts, uint32_t *count);

/* ---- policy_filter_caps.c ---- */

void filter_put_app(struct making *k, const struct resolved_grant *g);
void filter_put_app_self(struct making *k, const struct resolved_grant *g);

#endif
