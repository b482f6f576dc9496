/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture in the dataplane: changes become messages with a generation and a
 * barrier behind them, events of the dataplane become events of peers. After each
 * connect the dataplane tells what it has (the dump), and what follows depends on
 * which dataplane it is:
 *
 *   first one of this process   its sessions and peer ids are adopted: causewayd
 *                               was restarted, the traffic flows on
 *   another one than before     it has nothing: everything is programmed, and
 *                               peers that had sessions handshake at once
 *   the same one again          only the connection was lost: what we think and
 *                               what it has are compared
 *
 * In all three the whole picture is sent again (upserts) and what is in no
 * message is swept by the barrier.
 */
#ifndef CONTROLPLANE_NODE_DP_SYNC_H
#define CONTROLPLANE_NODE_DP_SYNC_H

#include "controlplane/node/dp_client.h"
#include "controlplane/node/peer.h"

struct dp_sync;

int dp_sync_open(struct node *n, struct dp_sync **out);
void dp_sync_close(struct dp_sync *s);

/* Is there a dataplane that has the picture? All below do nothing (-ENOTCONN) else. */
bool dp_sync_is_ready(const struct node *n);

/* A batch of changes: the functions between begin and end share a generation. */
void dp_sync_begin(struct node *n);
void dp_sync_end(struct node *n);
void dp_sync_peer(struct node_peer *p); /* peer, routes, endpoint */
void dp_sync_peer_set(struct node_peer *p);
void dp_sync_peer_del(struct node *n, uint32_t id);
void dp_sync_route(struct node *n, const struct prefix *prefix, uint32_t peer_id, bool remove);
void dp_sync_endpoint(struct node_peer *p);
void dp_sync_filter(struct node *n);
/* A prefix that the filter takes as ours. */
void dp_sync_local(struct node *n, const struct prefix *p, bool remove);

/* Outside of batches. msg begins with a struct dpapi_hdr whose type is set. */
void dp_sync_send(struct node *n, void *msg, size_t len);
int dp_sync_request(struct node *n, void *msg, size_t len, dp_client_ack_fn *cb, void *arg);
void dp_sync_session_del(struct node *n, uint32_t local_index);
void dp_sync_peer_ref(struct node *n, uint16_t type, uint32_t id);
/* Sends counters that changed. */
void dp_sync_counters(struct node *n);

/* The dataplane's ports, as told in its hello. */
const struct dpapi_port *dp_sync_ports(const struct node *n, uint32_t *count);
/* The largest inner packet that all of them carry; 0 = not known. */
uint32_t dp_sync_mtu_max(const struct node *n);

#endif
