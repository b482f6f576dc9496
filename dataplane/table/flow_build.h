/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow table's life, and a look at it. Control thread only.
 */
#ifndef DATAPLANE_TABLE_FLOW_BUILD_H
#define DATAPLANE_TABLE_FLOW_BUILD_H

#include "dataplane/table/flow.h"

#define FLOW_PER_WORKER 131072u

/* Room for at least `capacity` flows, rounded up to a power of two. NULL: no memory. */
struct flow_table *flow_table_new(uint32_t capacity);
/* No worker may use it any more. NULL: nothing. */
void flow_table_free(struct flow_table *t);
uint32_t flow_capacity(const struct flow_table *t);
/* Forgets the flows of one space; what is noted meanwhile may stay. */
void flow_clear(struct flow_table *t, enum flow_space space);

struct flow_view {
	struct flow_key key;
	uint32_t ref;
	uint32_t peer;
	uint16_t rule;
	uint64_t created_ns;
	uint64_t age_ns; /* since it was last used, to a millisecond */
	uint64_t packets_in, packets_out;
	uint64_t bytes_in, bytes_out;
};

/* Beside running workers. Non-zero from fn stops and is returned. */
int flow_walk(struct flow_table *t, uint64_t now_ns,
	      int (*fn)(const struct flow_view *v, void *arg), void *arg);

#endif
