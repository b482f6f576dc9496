/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a coordinator over the control protocol's transport
 * (docs/protocol/ts2021.md): GET /key, POST /ts2021, Noise IK, HTTP/2. One
 * connection carries all requests; it is made when the first one is sent, and made
 * anew when it is gone and another one is sent. The loop's thread only.
 *
 *   ts2021_client.c   requests, and when there is a connection
 *   ts2021_dial.c     the key, and the race of plain HTTP and TLS to a secured stream
 *   ts2021_h2.c       HTTP/2 over a secured stream
 */
#ifndef CONTROLPLANE_TS2021_TS2021_CLIENT_H
#define CONTROLPLANE_TS2021_TS2021_CLIENT_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "controlplane/noise/wg_env.h"
#include "controlplane/ts2021/ts2021_url.h"
#include "lib/base/key.h"

struct ts2021_client;

struct ts2021_client_config {
	uv_loop_t *loop;
	struct ts2021_url url;
	SSL_CTX *tls; /* for https and for the upgrade's TLS; referenced */
	struct key machine_private;
	uint16_t version; /* capability version */
	const struct wg_random *random;
};

/* How one request is answered. Either on_end alone (it failed), or on_head and on_end. */
struct ts2021_events {
	/* retry_after_s: 0 = none. */
	void (*on_head)(void *arg, unsigned status, unsigned retry_after_s);
	/* Bytes of the answer as they come. */
	void (*on_body)(void *arg, const uint8_t *data, size_t len);
	/* why NULL: the answer is whole. Nothing is called after it. */
	void (*on_end)(void *arg, const char *why);
};

/* Copies the configuration. 0, or -ENOMEM. */
int ts2021_client_new(const struct ts2021_client_config *cfg, struct ts2021_client **out);
/* No callbacks any more; memory goes when the loop has closed its handles. NULL is fine. */
void ts2021_client_free(struct ts2021_client *c);

/*
 * POST of a JSON body (copied) to path. timeout_ms: until on_end, 0 = it may last
 * (a stream). An id > 0, or -ENOMEM. Nothing is called from inside.
 */
int ts2021_post(struct ts2021_client *c, const char *path, const char *body, size_t len,
		uint64_t timeout_ms, const struct ts2021_events *ev, void *arg);
/* No callbacks of this request any more. An id that is not known is fine. */
void ts2021_cancel(struct ts2021_client *c, int id);
/* All of them, and the connection is closed. */
void ts2021_cancel_all(struct ts2021_client *c);

#endif
