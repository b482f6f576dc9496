/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's insides that its two halves share: a connection until it has proven a
 * key (ts2021_pending.c), and what holds all of them (ts2021_server.c). Inside this
 * folder only.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_PENDING_H
#define CONTROLPLANE_TS2021_TS2021_PENDING_H

#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/ts2021/ts2021_server.h"
#include "controlplane/ts2021/ts2021_source.h"

struct ts2021_listener;
struct ts2021_secured;

struct ts2021_server {
	struct ts2021_server_config cfg; /* limits are filled in */
	struct ts2021_listener *listeners;
	struct ts2021_sources sources;
	struct ts2021_pending_list pending;
	struct ts2021_secured *secured;
	struct ts2021_server_counts counts;
	bool is_closed;
	unsigned handles;
};

/* Takes the connection that waits at `listener`. 0, or a negative errno. */
int ts2021_pending_accept(struct ts2021_server *s, uv_stream_t *listener, SSL_CTX *tls);
/* Ends it at once. */
void ts2021_pending_drop(struct ts2021_pending *p);

/* ---- ts2021_server.c ---- */

/* Frees what is closed and has no handle any more. */
void ts2021_server_maybe_free(struct ts2021_server *s);
/* Whether one more secured connection may come from there; counts a refusal. */
bool ts2021_server_has_room(struct ts2021_server *s, const struct ts2021_source *from);
/* Takes over the stream and copies the keys; rest: what came behind the handshake. */
void ts2021_server_secured(struct ts2021_server *s, struct net_stream *stream,
			   struct ts2021_source *from, const struct noise_ik_stream *noise,
			   const struct key *machine, uint16_t version, uint8_t *rest, size_t len);

#endif
