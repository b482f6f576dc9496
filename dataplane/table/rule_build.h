/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet filter's rules, write side: dpapi messages into an immutable set
 * that is published by one pointer. Control thread only (api/). What comes in is
 * outside data: every count, offset and range is checked before it is used, and
 * a message that is refused leaves the set in force as it was.
 */
#ifndef DATAPLANE_TABLE_RULE_BUILD_H
#define DATAPLANE_TABLE_RULE_BUILD_H

#include "dataplane/table/rule.h"

#define RULE_MAX       65534u		   /* packet.rule has 16 bits and begins at 1 */
#define RULE_BYTES_MAX (64u * 1024 * 1024) /* of a set's body */

/* Mode NONE and no local prefix: nothing passes. NULL: no memory. */
struct rule_table *rule_table_new(void);
/* After quiescence. NULL: nothing. */
void rule_table_free(struct rule_table *t);

/*
 * One message: piece are the msg->piece_bytes behind the struct. *published says
 * whether it was the last of its set. 0, or
 *   -EINVAL   counts, offsets, ranges or the mode are wrong, or a piece is out of turn
 *   -E2BIG    more than RULE_MAX rules or RULE_BYTES_MAX bytes
 *   -ENOMEM
 * After an error the pieces gathered so far are forgotten.
 */
int rule_piece(struct rule_table *t, const struct dpapi_rules *msg, const void *piece,
	       bool *published);
/* A whole body at once. */
int rule_set_body(struct rule_table *t, enum dpapi_filter_mode mode, uint32_t rule_count,
		  uint32_t range_count, const void *body, size_t bytes);

/* Upsert, or with msg->remove removal, of a local prefix. 0 or fib_set's, fib_del's errors. */
int rule_local(struct rule_table *t, const struct dpapi_local *msg);
/* Removes local prefixes of other generations. Returns how many. */
size_t rule_local_sweep(struct rule_table *t, uint32_t generation);

/* For show: the rules as they came, by number. ranges is the whole array. */
uint32_t rule_count(const struct rule_set *set);
int rule_walk(const struct rule_set *set,
	      int (*fn)(uint32_t number, const struct dpapi_rule *r,
			const struct dpapi_range *ranges, void *arg),
	      void *arg);

#endif
