/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's HTTP/2 over a secured stream (nghttp2; RFC 9113). It takes over the
 * stream and its keys. Inside this folder only.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_H2_H
#define CONTROLPLANE_TS2021_TS2021_H2_H

#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/ts2021/ts2021_client.h"

struct ts2021_h2;

struct ts2021_h2_events {
	void (*on_head)(void *arg, int32_t stream, unsigned status, unsigned retry_after_s);
	void (*on_body)(void *arg, int32_t stream, const uint8_t *data, size_t len);
	/* why NULL: whole. */
	void (*on_end)(void *arg, int32_t stream, const char *why);
	/* The connection is over: no stream of it will be told of any more. */
	void (*on_closed)(void *arg, const char *why);
};

/* rest: bytes that came behind the handshake. NULL: no memory; s is then closed. */
struct ts2021_h2 *ts2021_h2_new(struct net_stream *s, const struct noise_ik_stream *noise,
				const struct ts2021_h2_events *ev, void *arg);
/* What came already; may tell events. */
void ts2021_h2_feed(struct ts2021_h2 *h, uint8_t *data, size_t len);
/* No events any more. NULL is fine. */
void ts2021_h2_free(struct ts2021_h2 *h);

/* The stream's id, or a negative errno (-EAGAIN: the connection takes no more). body is copied. */
int32_t ts2021_h2_post(struct ts2021_h2 *h, const char *authority, const char *path,
		       const char *body, size_t len);
void ts2021_h2_cancel(struct ts2021_h2 *h, int32_t stream);

#endif
