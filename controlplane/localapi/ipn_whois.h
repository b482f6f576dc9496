/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has an address, and what the packet filter lets it do here
 * (apitype.WhoIsResponse; docs/protocol/localapi.md, "WhoIsResponse"). Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_WHOIS_H
#define CONTROLPLANE_LOCALAPI_IPN_WHOIS_H

#include "controlplane/netmap/netmap.h"

/* What an address is asked by. */
struct ipn_who {
	bool is_key;
	struct key key;	     /* is_key */
	struct ip_addr addr; /* else */
};

/* "100.64.0.2", "100.64.0.2:80", "[fd7a::1]:80", "nodekey:…". 0; NULL out of it: -EINVAL. */
int ipn_who_parse(const char *text, struct ipn_who *out);
/* The node with this key or address (no subnets), ourselves too; NULL: none. */
const struct netmap_node *ipn_who_find(const struct netmap *m, const struct ipn_who *who);

/* A new object, or NULL: no memory. */
json_t *ipn_whois(const struct netmap *m, const struct netmap_node *n);
/* The grants of the filter for packets from src to us: capability -> values, or null. */
json_t *ipn_grants(const struct netmap *m, const struct netmap_node *src);

#endif
