/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet filter while it is made: rules and their ranges in the shape that the
 * dataplane takes (dpapi.h, RULES). Whoever makes one owns it. Any thread, one at
 * a time.
 *
 * A rule's ranges lie together: note range_count before adding its sources, and
 * again before its destinations.
 */
#ifndef LIB_DPAPI_RULE_LIST_H
#define LIB_DPAPI_RULE_LIST_H

#include "lib/base/addr.h"
#include "lib/dpapi/dpapi.h"

#define RULE_LIST_RULES_MAX  100000u
#define RULE_LIST_RANGES_MAX 1000000u
#define RULE_PORT_LAST	     65535

struct rule_list {
	uint32_t mode; /* enum dpapi_filter_mode */
	struct dpapi_rule *rules;
	uint32_t rule_count;
	struct dpapi_range *ranges;
	uint32_t range_count;
};

/* Both copy. 0, -ENOMEM, or -EFBIG: the list is full. */
int rule_list_add_range(struct rule_list *l, const struct dpapi_range *r);
int rule_list_add_rule(struct rule_list *l, const struct dpapi_rule *r);
/* All addresses of a prefix; ports are left 0. */
void rule_range_of_prefix(const struct prefix *p, struct dpapi_range *out);
/*
 * Addresses as filter rules write them: an address, a prefix without host bits,
 * "first-last", or "*", which is one range a family. Returns how many ranges were
 * written (ports 0), 0 = no such form.
 */
unsigned rule_addresses_parse(const char *text, struct dpapi_range out[2]);
void rule_list_fini(struct rule_list *l);

#endif
