/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets that wait for a handshake. Each worker has its own store, so nothing
 * here is shared: STAGING_SLOTS packets in all, STAGING_PER_PEER a peer, the
 * peer's oldest dropped first (WireGuard stages 128 packets a peer).
 *
 *   queue[hash(peer)] -> head -> slot -> slot -> tail      free -> slot -> ...
 *
 * A slot holds a copy of the inner packet with room for headers and tag.
 */
#ifndef DATAPLANE_STAGING_H
#define DATAPLANE_STAGING_H

#include <stdint.h>

#include "dataplane/packet.h"

#define STAGING_SLOTS	   1024
#define STAGING_PER_PEER   128
#define STAGING_PEERS_MAX  512 /* that can wait at once; power of two */
#define STAGING_TIMEOUT_NS (120ull * 1000000000ull)

struct staging;

/* slot_bytes: the largest inner packet. NULL: out of memory. Control thread. */
struct staging *staging_new(uint32_t slot_bytes);
void staging_free(struct staging *s);

/*
 * Copies the inner packet into the store. Returns DROP_NONE, or the reason for
 * which a packet was lost: this one, or the peer's oldest in its place.
 */
enum drop_reason staging_put(struct staging *s, const struct packet *p, uint64_t now_ns);

/*
 * Moves up to BATCH_MAX - b->n packets of this peer into b, oldest first, with
 * peer_out set. Their bytes stay valid until staging_release. Returns how many.
 */
unsigned staging_take(struct staging *s, uint32_t peer, struct batch *b);
/* The slots taken since the last release are free again. */
void staging_release(struct staging *s);

/* Drops what waits for this peer; returns how many. */
unsigned staging_drop(struct staging *s, uint32_t peer);
/* Drops what waits longer than STAGING_TIMEOUT_NS; returns how many. */
unsigned staging_expire(struct staging *s, uint64_t now_ns);

/* Peers with something waiting: fills out, returns how many (at most max). */
unsigned staging_peers(const struct staging *s, uint32_t *out, unsigned max);
unsigned staging_count(const struct staging *s);

#endif
