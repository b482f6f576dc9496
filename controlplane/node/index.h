/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local indices of handshakes and sessions: which peer owns one, and which are
 * free. An index is random in all 32 bits and alone in its low bits, because the
 * dataplane's session table has one place for each value of those
 * (dpapi.h, hello_reply.session_slots). So the table here is an array by the
 * same low bits, and a look-up is one comparison. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_INDEX_H
#define CONTROLPLANE_NODE_INDEX_H

#include <stdint.h>

struct index_table {
	struct index_slot *slots;
	uint32_t mask; /* slots - 1 */
	uint32_t used;
	uint32_t workers; /* of the dataplane; 0 = not known */
};

struct index_slot {
	uint32_t index;
	uint32_t peer_id; /* 0 = free */
};

/* slot_count: a power of two. */
int index_table_init(struct index_table *t, uint32_t slot_count);
void index_table_fini(struct index_table *t);
/*
 * A new index of this peer and lane, never 0; 0 when the table is (all but) full.
 * Modulo the workers it is always the same, and another one for the peer's next
 * lane: by that the listen port's program chooses a worker.
 */
uint32_t index_table_alloc(struct index_table *t, uint32_t peer_id, uint8_t lane);
/* An index that lives already (adopted from the dataplane). -EEXIST: its place is taken. */
int index_table_claim(struct index_table *t, uint32_t index, uint32_t peer_id);
void index_table_free(struct index_table *t, uint32_t index);
/* The peer that owns this index, 0 = nobody. */
uint32_t index_table_owner(const struct index_table *t, uint32_t index);

#endif
