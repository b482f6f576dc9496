/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of addresses of both families, as sorted ranges that neither touch nor
 * overlap once ip_set_close was called. One thread at a time.
 */
#ifndef CONTROLPLANE_POLICY_IP_SET_H
#define CONTROLPLANE_POLICY_IP_SET_H

#include "lib/base/addr.h"

#define IP_RANGE_STR_MAX (2 * ADDR_STR_MAX + 2)

/* Network order, inclusive; IPv4 in the first four bytes, the rest zero. */
struct ip_range {
	uint8_t family;
	uint8_t first[16], last[16];
};

struct ip_set {
	struct ip_range *ranges;
	uint32_t count, room;
	bool no_memory; /* sticks; whoever made it looks once */
};

void ip_set_add(struct ip_set *s, const struct ip_range *r);
void ip_set_add_prefix(struct ip_set *s, const struct prefix *p);
void ip_set_add_addr(struct ip_set *s, const struct ip_addr *a);
void ip_set_add_all(struct ip_set *s, const struct ip_set *from);
/* Takes away; s must be closed, and is afterwards. */
void ip_set_remove(struct ip_set *s, const struct ip_set *what);
/* Sorts and joins: all below want this. */
void ip_set_close(struct ip_set *s);
void ip_set_fini(struct ip_set *s);

bool ip_set_has(const struct ip_set *s, const struct ip_addr *a);
/* Some address of the prefix is in it. */
bool ip_set_meets(const struct ip_set *s, const struct prefix *p);
bool ip_set_is_empty(const struct ip_set *s);

struct ip_range ip_range_of(const struct prefix *p);
/* The longest prefix that a range begins with and that fits into it; *r shrinks. False: r is empty.
 */
bool ip_range_next_prefix(struct ip_range *r, struct prefix *out);
/* "a", "a/len" or "a-b", whichever says it; buf holds IP_RANGE_STR_MAX. */
const char *ip_range_print(const struct ip_range *r, char *buf);

#endif
