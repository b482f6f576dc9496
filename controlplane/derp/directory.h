/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is connected to this relay, and where: key -> connections. Each worker keeps a
 * copy of its own and applies every worker's news to it in the order in which that
 * worker wrote them, so that a look-up takes no lock. Of several connections with one
 * key the active one is the one with the highest turn, a number that one counter gives
 * to all workers; so the copies agree once all news are read, in whatever order those
 * of different workers came.
 */
#ifndef CONTROLPLANE_DERP_DIRECTORY_H
#define CONTROLPLANE_DERP_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/wire/derp_frame.h"

struct flow;

/* One connection. */
struct where {
	uint64_t id; /* of the connection, in all workers; the worker's number is above bit 56 */
	uint64_t turn;
	struct client *client; /* NULL: another worker's */
	struct endpoint from;
	uint8_t flags; /* enum derp_present_flags */
};

struct entry {
	struct entry *next; /* in the bucket */
	uint8_t key[DERP_KEY_BYTES];
	struct where *where; /* never empty */
	uint32_t count;
	uint32_t active;    /* index */
	struct flow *flows; /* clients of this worker that got packets of this key */
};

struct directory {
	struct entry **buckets;
	size_t mask;
	size_t count;
	uint64_t epoch; /* grows when an entry is freed: pointers to entries are void */
	uint64_t secret;
};

int directory_init(struct directory *d, uint64_t secret);
void directory_fini(struct directory *d);
struct entry *directory_find(const struct directory *d, const uint8_t key[DERP_KEY_BYTES]);
/* The entry, with one connection more; NULL without memory. */
struct entry *directory_join(struct directory *d, const uint8_t key[DERP_KEY_BYTES],
			     const struct where *w);
/* Returns the entry if that was its last connection (the caller frees it), else NULL. */
struct entry *directory_leave(struct directory *d, const uint8_t key[DERP_KEY_BYTES], uint64_t id);
void directory_activate(struct directory *d, const uint8_t key[DERP_KEY_BYTES], uint64_t id,
			uint64_t turn);
void directory_free_entry(struct directory *d, struct entry *e);

#endif
