/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataplane says it has after a hello (PEER_STATE, SESSION_STATE), kept
 * until DUMP_END, and how the picture and the engines are made to agree with it.
 */
#ifndef CONTROLPLANE_NODE_DP_DUMP_H
#define CONTROLPLANE_NODE_DP_DUMP_H

#include "controlplane/node/node.h"
#include "lib/dpapi/dpapi.h"

struct dp_dump {
	struct dpapi_peer_state *peers;
	uint32_t peer_count, peer_room;
	struct dpapi_session_state *sessions;
	uint32_t session_count, session_room;
};

int dp_dump_add_peer(struct dp_dump *d, const struct dpapi_peer_state *st);
int dp_dump_add_session(struct dp_dump *d, const struct dpapi_session_state *st);
void dp_dump_fini(struct dp_dump *d);

/*
 * Peers of ours that the dataplane has get the dataplane's ids, all others ids
 * that it does not use. Before any session is known here.
 */
int dp_dump_take_ids(struct dp_dump *d, struct node *n);
/*
 * Removes what has a number or a key of ours, but not both: peers that changed while
 * the connection was lost. The dataplane would refuse the peer that is meant.
 */
void dp_dump_drop_strangers(const struct dp_dump *d, struct node *n);
/* Counters, times, and (where a session lives) the path of each peer. */
void dp_dump_take_state(const struct dp_dump *d, struct node *n);
/* First dataplane of this process: its sessions go to the engines. */
void dp_dump_adopt(struct dp_dump *d, struct node *n);
/* The same dataplane as before: what it lacks is told to the engines as gone. */
void dp_dump_reconcile(struct dp_dump *d, struct node *n);

#endif
