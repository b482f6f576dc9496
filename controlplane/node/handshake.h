/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake messages from the network to the engines of the peers. They wait in
 * a queue of fixed size, so that a flood is seen as one before any of it has
 * been worked on; a few are worked on at each turn of the loop, so that the rest
 * of the node goes on living.
 *
 *   packets -> queue -> mac1 -> under load: mac2 (or a cookie), rate of the source
 *                    -> 1: decrypt the sender, find the peer by its key
 *                       2, 3: find the peer by the receiver index -> peer_event
 */
#ifndef CONTROLPLANE_NODE_HANDSHAKE_H
#define CONTROLPLANE_NODE_HANDSHAKE_H

#include "controlplane/node/node.h"
#include "lib/dpapi/dpapi.h"

struct handshake;

int handshake_open(struct node *n, struct handshake **out);
/* Frees when the loop has closed its handle. */
void handshake_close(struct handshake *h);
/* Takes a message of its right length (packets.h). */
void handshake_push(void *h, int type, const uint8_t *data, size_t len,
		    const struct dpapi_path *from);
bool handshake_is_under_load(const struct handshake *h);

#endif
