/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet filter's rules, read side: questions about one packet, without the
 * verdict (stage/filter.c; docs/protocol/tunnel.md, "filter"). Any worker, under
 * RCU: take the set once a batch.
 *
 * A set is immutable: each rule has, for each family, its sources as sorted
 * ranges without overlap, and its destinations as ranges of addresses and ports
 * sorted by their first address. Local prefixes change one by one, so they live
 * in a FIB of their own beside the set.
 *
 * Addresses in network order, 4 or 16 bytes by family; ports in host order.
 */
#ifndef DATAPLANE_TABLE_RULE_H
#define DATAPLANE_TABLE_RULE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/table/fib.h"
#include "lib/dpapi/dpapi.h"

struct rule_set;
struct rule_build;

struct rule_table {
	_Atomic(struct rule_set *) set; /* never NULL */
	struct fib *local;
	struct rule_build *build; /* control thread */
};

static inline const struct rule_set *rule_current(const struct rule_table *t)
{
	return atomic_load_explicit(&t->set, memory_order_acquire);
}

enum dpapi_filter_mode rule_mode(const struct rule_set *set);

/*
 * These ask the rules whatever the mode is: number of the first rule that
 * matches, + 1, or 0.
 */

/* Protocol, source, and a destination with this port (TCP SYN, UDP, SCTP). */
uint16_t rule_match_l4(const struct rule_set *set, int family, const uint8_t *src,
		       const uint8_t *dst, uint8_t proto, uint16_t dport);
/* Source and destination address; protocol and ports are not looked at (ICMP). */
uint16_t rule_match_addr(const struct rule_set *set, int family, const uint8_t *src,
			 const uint8_t *dst);
/* Protocol, source, and a destination with all ports 0-65535 (other protocols). */
uint16_t rule_match_proto(const struct rule_set *set, int family, const uint8_t *src,
			  const uint8_t *dst, uint8_t proto);

/* dst lies in a local prefix: without this nothing comes in. */
static inline bool rule_is_local(const struct rule_table *t, int family, const uint8_t *dst)
{
	return (family == AF_INET ? fib_lookup4(t->local, dst) : fib_lookup6(t->local, dst)) != 0;
}

#endif
