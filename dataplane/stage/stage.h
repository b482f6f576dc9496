/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages: one exported function each (two where the directions differ), all
 * on one batch of one worker. A stage takes no lock, makes no system call, reads
 * no clock (time comes with the batch) and calls no other stage. Packets with a
 * drop reason are passed over.
 */
#ifndef DATAPLANE_STAGE_STAGE_H
#define DATAPLANE_STAGE_STAGE_H

#include "dataplane/worker.h"

/*
 * Outer UDP payloads: type 4 stays PACKET_DATA, what belongs to causewayd
 * becomes PACKET_OTHER and goes to the channel. Every outer length is checked
 * here, once.
 */
void classify_burst(struct worker *w, struct batch *b);

/*
 * PACKET_DATA -> PACKET_INNER or PACKET_KEEPALIVE: find session, decrypt the
 * batch, replay window, IP length, allowed source, ECN (RFC 6040). Fills
 * b->info, peer_in. Posts CONFIRMED, ROAMED, REKEY, TRAFFIC events.
 */
void open_burst(struct worker *w, struct batch *b);

/* Opened packets against the rules (docs/protocol/tunnel.md). */
void filter_in_burst(struct worker *w, struct batch *b);
/* Packets with a peer_out: pre-checks, and UDP and SCTP flows are noted. */
void filter_out_burst(struct worker *w, struct batch *b);

/*
 * Where an opened packet goes: another peer, a neighbour on a LAN interface, or
 * the kernel. TTL is taken down where this is the router. Returns how many go to
 * a peer.
 */
unsigned route_outside_burst(struct worker *w, struct batch *b);
/* Which peer a packet from the inside goes to; fills b->info of leaders. */
void route_inside_burst(struct worker *w, struct batch *b);

/* MSS clamp on SYNs, and what is larger than the peer's MTU (to the kernel, or dropped). */
void mtu_burst(struct worker *w, struct batch *b);

/*
 * PACKET_INNER with peer_out -> PACKET_SEALED: path and session, counters, pad,
 * encrypt the batch. Packets without a session go to the staging and HANDSHAKE is
 * asked for.
 */
void seal_burst(struct worker *w, struct batch *b);

/* PACKET_LANE -> PACKET_SEALED, each on the session (of peer_out) that it names. */
void lane_burst(struct worker *w, struct batch *b);

#endif
