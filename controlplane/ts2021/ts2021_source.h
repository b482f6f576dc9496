/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where connections come from, counted: an IPv4 address or an IPv6 /64, since whoever
 * has one address of a /64 has them all. A source is there while it holds something.
 * Inside this folder only; the loop's thread.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_SOURCE_H
#define CONTROLPLANE_TS2021_TS2021_SOURCE_H

#include <sys/queue.h>

#include "lib/base/addr.h"

struct ts2021_pending;
TAILQ_HEAD(ts2021_pending_list, ts2021_pending); /* oldest first */

struct ts2021_source {
	struct ts2021_source *next;
	struct ip_addr net; /* IPv6: the last 64 bits are zero */
	unsigned refs, pending_count, connections;
	struct ts2021_pending_list pending;
};

struct ts2021_sources {
	struct ts2021_source **table; /* chains */
	size_t room, count;
	uint64_t seed; /* or an attacker would choose addresses of one chain */
};

/* 0 or -ENOMEM. */
int ts2021_sources_init(struct ts2021_sources *t, uint64_t seed);
void ts2021_sources_fini(struct ts2021_sources *t);
/* A reference, to be put. NULL: no memory. */
struct ts2021_source *ts2021_source_get(struct ts2021_sources *t, const struct ip_addr *a);
/* NULL is fine. */
void ts2021_source_put(struct ts2021_sources *t, struct ts2021_source *s);

#endif
