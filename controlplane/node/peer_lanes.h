/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of a peer (docs/protocol/lanes.md), between their engine
 * (controlplane/noise/wg_lanes.h) and the dataplane: messages go and come over the
 * packet channel, sessions are installed as all are. A peer has the engine from
 * its first handshake on, if ports and configuration have lanes to offer.
 * The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_PEER_LANES_H
#define CONTROLPLANE_NODE_PEER_LANES_H

#include "controlplane/node/peer.h"

/* A session was derived; before it is installed. */
void peer_lanes_derived(struct node_peer *p, const struct wg_peer_install *in);
/* The engine's sessions may have changed. */
void peer_lanes_sync(struct node_peer *p);
void peer_lanes_tick(struct node_peer *p);
/* UINT64_MAX: never. */
uint64_t peer_lanes_deadline(const struct node_peer *p);
/* The dataplane lost all sessions. */
void peer_lanes_reset(struct node_peer *p);
void peer_lanes_free(struct node_peer *p);
/* Data goes to the peer. */
void peer_lanes_traffic(struct node_peer *p);
/* The local index of the session that the lane with this one belongs to; itself if to none. */
uint32_t peer_lanes_base(const struct node_peer *p, uint32_t local_index);
/* The dataplane has this session of a lane: was it known, or can it be taken over? */
bool peer_lanes_adopt(struct node_peer *p, const struct dpapi_session_state *st);
/* For packets.h: an opened message about lanes. arg: the node. */
void peer_lanes_receive(void *arg, uint32_t peer_id, uint32_t local_index,
			const struct dpapi_path *from, const uint8_t *data, size_t len);

#endif
