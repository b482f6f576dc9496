/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question, asked of resolvers: over UDP of up to three at once, again after 2 s,
 * over TCP of the one whose answer was cut; 5 s in all. The first answer that is
 * neither SERVFAIL nor REFUSED counts.
 *
 *   for each resolver:  UDP --answer--> done
 *                        | \--TC--> TCP --answer--> done
 *                        \--SERVFAIL, REFUSED, unreachable--> out of the race
 *
 * Each question has sockets of its own, connected, with ports that the kernel chose
 * and random ids: whoever does not see it must guess both (RFC 5452). The loop's
 * thread only.
 */
#ifndef CONTROLPLANE_DNS_DNS_UPSTREAM_H
#define CONTROLPLANE_DNS_DNS_UPSTREAM_H

#include <uv.h>

#include "controlplane/dns/dns_names.h"

#define DNS_UPSTREAM_RACE_MAX	 3
#define DNS_UPSTREAM_RETRY_MS	 2000
#define DNS_UPSTREAM_PATIENCE_MS 5000

struct dns_ask;

/*
 * reply has the id of the query that was given; it may be changed, and is the
 * caller's until the return. NULL: nobody answered. Never from inside dns_ask_start.
 */
typedef void dns_ask_fn(void *arg, uint8_t *reply, size_t len);

/*
 * query: a message that dns_query_parse read into q; both are copied. bad_replies:
 * counts what came and did not belong to it; outlives the question. 0, or a negative
 * errno: no sockets, no memory.
 */
int dns_ask_start(uv_loop_t *loop, const struct dns_resolvers *resolvers, const uint8_t *query,
		  size_t len, const struct dns_query *q, uint64_t *bad_replies, dns_ask_fn *cb,
		  void *arg, struct dns_ask **out);
/* No call of cb any more. Not after it was called. */
void dns_ask_cancel(struct dns_ask *a);

#endif
