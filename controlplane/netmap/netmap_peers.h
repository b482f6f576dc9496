/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a message that is about peers. Inside this folder only. */
#ifndef CONTROLPLANE_NETMAP_NETMAP_PEERS_H
#define CONTROLPLANE_NETMAP_NETMAP_PEERS_H

#include "controlplane/netmap/netmap.h"

/*
 * Puts Peers, or PeersRemoved, PeersChanged, PeerSeenChange, OnlineChange and
 * PeersChangedPatch, in this order, into m, which nobody else holds yet. Failures
 * go to `in`; m is then half done, fit only for netmap_free.
 */
void netmap_peers_apply(struct netmap *m, const json_t *message, int64_t now_ns,
			struct json_in *in);
/* Where the peer is, or would stand. */
uint32_t netmap_peers_find(const struct netmap *m, int64_t id);

#endif
