/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few rtnetlink requests that a node makes, each sent and acknowledged in
 * one call (the kernel answers in the same system call, so nothing waits). One
 * socket, opened before privileges are dropped; the loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_NETLINK_H
#define CONTROLPLANE_NODE_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"

struct netlink;

/* rtm_protocol of our routes and rules: what we find with it is ours to remove. */
#define NETLINK_PROTOCOL 202

struct netlink_route {
	struct prefix dst;
	uint32_t table;	  /* RT_TABLE_MAIN, ... */
	uint32_t ifindex; /* 0: an unreachable route */
	uint32_t metric;
	uint32_t mtu; /* 0: the device's */
};

struct netlink_rule {
	uint8_t family;
	uint32_t priority;
	uint32_t table;
	uint32_t fwmark;
	uint32_t fwmask;   /* 0: no mark is looked at */
	bool invert;	   /* packets without the mark */
	bool from_host;	   /* packets that this host sends, not those that it forwards */
	bool suppress_all; /* suppress_prefixlength 0: default routes of the table do not count */
	uint32_t suppress_group; /* nor do routes to interfaces of this group; 0: all count */
	bool is_unreachable;	 /* an end, not a table */
};

/* All: 0, or a negative errno. */
int netlink_open(struct netlink **out);
void netlink_close(struct netlink *nl);
/* group: of interfaces, for rules. */
int netlink_link_up(struct netlink *nl, uint32_t ifindex, uint32_t mtu, uint32_t group);
/* Adding what is there and removing what is not are no errors. */
/* is_service: the kernel never chooses it as a source (scope host, or deprecated). */
int netlink_addr_add(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr,
		     uint8_t prefix_len, bool is_service);
int netlink_addr_del(struct netlink *nl, uint32_t ifindex, const struct ip_addr *addr,
		     uint8_t prefix_len);
int netlink_route_set(struct netlink *nl, const struct netlink_route *route);
int netlink_route_del(struct netlink *nl, const struct netlink_route *route);
int netlink_rule_add(struct netlink *nl, const struct netlink_rule *rule);
int netlink_rule_del(struct netlink *nl, const struct netlink_rule *rule);

/* Calls for each route of NETLINK_PROTOCOL. The callback may not use nl. */
int netlink_routes_ours(struct netlink *nl, void (*cb)(const struct netlink_route *, void *),
			void *arg);
/* The same for addresses of an interface. */
int netlink_addrs(struct netlink *nl, uint32_t ifindex,
		  void (*cb)(const struct ip_addr *, uint8_t prefix_len, void *), void *arg);

#endif
