/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client learns at its hello: the dataplane, its ports, and for a
 * controller every peer and session, so that a restarted causewayd carries on
 * where the last one stopped. Control thread.
 */
#ifndef DATAPLANE_API_DUMP_H
#define DATAPLANE_API_DUMP_H

#include "dataplane/dataplane.h"

struct peer;

typedef void dump_fn(void *ctx, void *msg, size_t len);

/* Everything but udp_fds and seq. */
void dump_hello(const struct dataplane *dp, struct dpapi_hello_reply *r);
void dump_ports(const struct dataplane *dp, dump_fn *fn, void *ctx);
/* PEER_STATE and SESSION_STATE of all, then DUMP_END. */
void dump_state(struct dataplane *dp, dump_fn *fn, void *ctx);
/* What PEER_STATE says of one peer. */
void dump_peer(const struct peer *p, struct dpapi_peer_state *out);

#endif
