/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel should have for a configuration: routes, policy rules,
 * addresses. Pure; link.c brings the kernel there.
 *
 * Each mesh prefix (allowed IPs, and the subnets of the node's own addresses)
 * gets two routes: one to the TUN, which vanishes with the dataplane's TUN, and
 * an unreachable one of worse metric, which stays: fail closed.
 *
 *   10.2.0.0/16 dev cw0 metric 512
 *   unreachable 10.2.0.0/16 metric 4278190080
 *
 * A default route cannot stand in the main table beside the host's own, which
 * the outer packets need: it goes to table 52, behind two rules.
 *
 *   5260: from all lookup main suppress_prefixlength 0
 *   5270: not from all fwmark 0x80000/0xff0000 lookup 52
 *
 * Where an exit node is chosen, both families are closed that way, even if no peer has
 * their default route: unreachable default routes of table 52 remain. If it shuts the
 * LAN, too, what this host itself sends is looked up there first (mesh prefixes go into
 * the same TUN); what it forwards for its LAN is not.
 *
 *   5250: from all iif lo fwmark 0/0xff0000 lookup 52
 *
 * A peer of a mesh tells its addresses, of which some may lie behind our own tunnel (its LAN,
 * say): an outer packet for one of them would go into the tunnel, be sealed, and go there again.
 * So outer packets, which have the mark, find no route to the TUN.
 *
 *   5230: from all fwmark 0x80000/0xff0000 lookup main suppress_ifgroup 52
 *   5235: from all fwmark 0x80000/0xff0000 lookup default
 *   5240: from all fwmark 0x80000/0xff0000 unreachable
 */
#ifndef CONTROLPLANE_NODE_LINK_PLAN_H
#define CONTROLPLANE_NODE_LINK_PLAN_H

#include "controlplane/node/config.h"
#include "controlplane/node/netlink.h"

#define LINK_TABLE		52
#define LINK_FWMARK		0x80000u /* on outer sockets (causeway-dp) and dialed streams */
#define LINK_FWMASK		0xff0000u
#define LINK_GROUP		52 /* of interfaces: the TUN's */
#define LINK_RULE_OUTER		5230
#define LINK_RULE_OUTER_DEFAULT 5235
#define LINK_RULE_OUTER_END	5240
#define LINK_RULE_HOST		5250
#define LINK_RULE_MAIN		5260
#define LINK_RULE_MESH		5270
#define LINK_METRIC		512u
#define LINK_METRIC_UNREACHABLE 0xff000000u

struct link_plan {
	struct netlink_route *routes; /* sorted by link_plan_route_cmp */
	uint32_t route_count;
	uint32_t tun_mtu;
	bool default_v4, default_v6; /* table 52 and its rules are used */
	bool shuts_lan;		     /* with the rule of the host, too */
	bool outer_shuns_tunnel;     /* the rules of outer packets are used */
};

/*
 * ifindex 0: there is no TUN now, only unreachable routes. mtu_max: of the port,
 * 0 = unknown. 0, or -ENOMEM.
 */
int link_plan_make(const struct node_config *cfg, uint32_t ifindex, uint32_t mtu_max,
		   struct link_plan *out);
void link_plan_fini(struct link_plan *plan);
/* By family, prefix, table, metric: what makes a route itself in the kernel. */
int link_plan_route_cmp(const void *a, const void *b);
bool link_plan_has(const struct link_plan *plan, const struct netlink_route *route);
/* All rules of a family, by priority. */
#define LINK_RULES 6
void link_plan_rules(uint8_t family, struct netlink_rule rules[LINK_RULES]);
/* Does this plan use the rule? */
bool link_plan_needs(const struct link_plan *plan, const struct netlink_rule *rule);

#endif
