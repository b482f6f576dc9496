/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the kernel's side of the tunnel to where a configuration wants it:
 * the TUN up with its MTU and addresses, routes, the unreachable routes that
 * hold when the dataplane is gone (link_plan.h). Everything is idempotent and
 * finds what an earlier causewayd left, by route protocol number. At exit only
 * translation (nft_table.h) goes; link_down removes all. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_LINK_H
#define CONTROLPLANE_NODE_LINK_H

#include "controlplane/node/config.h"

struct link;

#define LINK_PROBLEM_MAX 160

int link_open(struct link **out);
void link_close(struct link *l);
/*
 * tun/ifindex/mtu_max: of the dataplane's port; ifindex 0: none is there now.
 * Goes on after an error of one route; the first one is told by link_problem.
 */
void link_apply(struct link *l, const struct node_config *cfg, const char *tun, uint32_t ifindex,
		uint32_t mtu_max);
/* Removes all routes, rules and addresses that are ours. ifindex as above. */
void link_down(struct link *l, uint32_t ifindex);
/* A sentence for status, or NULL: all is as wanted, IP forwarding included. */
const char *link_problem(const struct link *l);

#endif
