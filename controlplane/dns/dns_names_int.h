/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the names: what dns_names_make.c builds and dns_names.c looks into.
 */
#ifndef CONTROLPLANE_DNS_DNS_NAMES_INT_H
#define CONTROLPLANE_DNS_DNS_NAMES_INT_H

#include "controlplane/dns/dns_names.h"

struct name_entry {
	char *name;
	struct ip_addr *addrs;
	uint32_t addr_count;
	bool has_subdomains; /* names below it are its, too */
};

struct pointer_entry {
	struct ip_addr addr;
	uint32_t order; /* the first one who says so is right */
	char *name;
};

struct route_entry {
	char *suffix;
	struct endpoint *at;
	uint32_t count, unusable;
};

/* Names, pointers and zones are sorted; routes the longest first. */
struct dns_names {
	struct name_entry *names;
	struct pointer_entry *pointers;
	struct route_entry *routes, defaults;
	char **zones;
	uint32_t name_count, pointer_count, route_count, zone_count;
	uint32_t name_room, pointer_room, route_room, zone_room;
};

/* By family, then bytes. */
int dns_addr_cmp(const struct ip_addr *a, const struct ip_addr *b);
/* Elements of zones. */
int dns_zone_cmp(const void *a, const void *b);
/* The entry of exactly this name among the first `count`, which are sorted; or NULL. */
struct name_entry *dns_name_entry(const struct dns_names *n, uint32_t count, const char *name);
int dns_name_entry_cmp(const void *a, const void *b);

#endif
