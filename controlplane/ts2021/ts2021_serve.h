/* SPDX-License-Identifier: Apache-2.0 */
/* One secured connection at the coordinator. Inside this folder only. */
#ifndef CONTROLPLANE_TS2021_TS2021_SERVE_H
#define CONTROLPLANE_TS2021_TS2021_SERVE_H

#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/ts2021/ts2021_server.h"

struct ts2021_serve;

struct ts2021_serve_config {
	uv_loop_t *loop;
	const struct ts2021_handler *handler;
	void *arg;
	uint64_t *requests; /* counted here */
	const struct ts2021_limits *limits;
	struct key machine;
	uint16_t version;
	struct endpoint remote;
	void (*on_gone)(void *owner, struct ts2021_serve *c);
	void *owner;
};

/* Takes over the stream; NULL: no memory, it is then closed. */
struct ts2021_serve *ts2021_serve_new(struct net_stream *s, const struct noise_ik_stream *noise,
				      const struct ts2021_serve_config *cfg);
/* Bytes that came behind the handshake. */
void ts2021_serve_feed(struct ts2021_serve *c, uint8_t *data, size_t len);
/* Ends it; requests are told. */
void ts2021_serve_close(struct ts2021_serve *c);

#endif
