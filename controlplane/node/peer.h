/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One peer of the node: its engine (controlplane/noise/wg_peer.h), where it is,
 * and what the dataplane last said of it. Whatever happens to a peer comes in by
 * peer_event, which lets the engine decide and carries its actions out.
 */
#ifndef CONTROLPLANE_NODE_PEER_H
#define CONTROLPLANE_NODE_PEER_H

#include "controlplane/node/node.h"
#include "controlplane/noise/wg_peer.h"
#include "lib/dpapi/dpapi.h"

struct wg_lanes;

struct node_peer {
	struct deadline deadline; /* first: the heap gives it back */
	struct node *node;
	const struct config_peer *cfg; /* of node->config */
	uint32_t id;
	struct wg_peer engine;
	struct wg_lanes *lanes; /* peer_lanes.h; NULL: none to offer */
	struct peer_ways *ways; /* ways.h; NULL: it roams as WireGuard's peers do */
	struct dpapi_path path; /* where we send; kind NONE: not known */
	/* As last told by the dataplane, for status. */
	uint64_t rx_bytes, tx_bytes;
	uint64_t rx_packets, tx_packets;
	uint64_t last_rx_ns, last_tx_ns;
};

/* NULL with *err: -ENOMEM, or -EKEYREJECTED: the public key cannot be one. */
struct node_peer *peer_new(struct node *n, const struct config_peer *cfg, uint32_t id, int *err);
void peer_free(struct node_peer *p);
/* What the engine said of the event; its actions are under way when this returns. */
int peer_event(struct node_peer *p, const struct wg_peer_event *ev);
/* Its engines' deadlines may have changed. */
void peer_schedule(struct node_peer *p);
/* Where the peer is now; tells the dataplane if it is news. */
void peer_set_path(struct node_peer *p, const struct dpapi_path *path);
/* The last handshake that was completed, boot time; 0 = none. */
uint64_t peer_last_handshake_ns(const struct node_peer *p);

#endif
