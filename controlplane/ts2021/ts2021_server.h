/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coordinator's side of the control protocol's transport (docs/protocol/ts2021.md):
 * GET /key, POST /ts2021, Noise IK, HTTP/2 inside, over plain TCP and TLS. Requests
 * inside Noise are proven to come from a machine key; requests outside (/key apart)
 * go to on_http. The loop's thread only.
 *
 *   ts2021_server.c    listening, all connections and how many there may be
 *   ts2021_pending.c   one until the upgrade: HTTP/1.1
 *   ts2021_serve.c     one after it: HTTP/2
 *   ts2021_source.c    where they come from: an IPv4 address or an IPv6 /64
 *
 * Before a client has proven its key it costs one socket and 8 KiB, for ten seconds.
 * Of those only so many are held, in all and from one source: a new one drives out the
 * oldest. A key proves nothing but that it is somebody's, so there are limits behind it
 * too: connections, bodies under way, the time that a body takes, and the time that a
 * connection may stay without a request.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_SERVER_H
#define CONTROLPLANE_TS2021_TS2021_SERVER_H

#include <openssl/ssl.h>
#include <uv.h>

#include "controlplane/noise/wg_env.h"
#include "lib/base/addr.h"
#include "lib/base/key.h"

#define TS2021_BODY_MAX	   (1u << 20) /* of a request */
#define TS2021_BODIES_MAX  (2u << 20) /* of a connection's requests that are not whole */
#define TS2021_STREAMS_MAX 256	      /* requests at a time of one connection */

struct ts2021_server;
struct ts2021_request;

/* Bytes that several streams send: encoded once, counted. */
struct ts2021_bytes {
	uint32_t refs;
	size_t len;
	uint8_t data[];
};

struct ts2021_bytes *ts2021_bytes_new(const void *data, size_t len); /* NULL: no memory */
struct ts2021_bytes *ts2021_bytes_get(struct ts2021_bytes *b);
void ts2021_bytes_put(struct ts2021_bytes *b);

struct ts2021_http_answer {
	unsigned status;
	const char *type; /* a literal */
	char *body;	  /* malloc'd; freed by the server */
	size_t len;
};

struct ts2021_handler {
	/*
	 * A whole request. It is answered by ts2021_respond, or by ts2021_begin and what
	 * follows, now or later.
	 */
	void (*on_request)(void *arg, struct ts2021_request *r);
	/* It is over: answered whole, cancelled, or its connection went. Not usable afterwards. */
	void (*on_gone)(void *arg, struct ts2021_request *r);
	/* What was written has left; of requests that were begun. NULL: nobody asks. */
	void (*on_drained)(void *arg, struct ts2021_request *r);
	/* Outside Noise. False: 404. NULL: there is nothing. */
	bool (*on_http)(void *arg, const char *method, const char *path, const char *query,
			const uint8_t *body, size_t body_len, struct ts2021_http_answer *out);
};

/* 0: the server's own choice, as named. */
struct ts2021_limits {
	uint32_t pending;		 /* connections without a proven key: 4096 */
	uint32_t pending_per_source;	 /* 128 */
	uint32_t connections;		 /* with one: 32768 */
	uint32_t connections_per_source; /* 4096 */
	uint32_t pending_ms;		 /* TLS, head and handshake together: 10 s */
	uint32_t body_ms;		 /* from a request's head to its end: 30 s */
	uint32_t idle_ms;		 /* a connection without a request: 2 min */
};

struct ts2021_server_config {
	uv_loop_t *loop;
	struct key private_key;
	struct key legacy_public; /* shown by /key: clients of old look for it */
	uint16_t version_min;	  /* older clients are told to go */
	const struct wg_random *random;
	const struct ts2021_handler *handler;
	void *arg;
	struct ts2021_limits limits;
};

struct ts2021_server_counts {
	uint64_t accepted, refused_pending, refused_address, refused_connections, refused_memory,
		bad_http, bad_handshake, timed_out, requests;
	uint32_t pending, connections; /* now */
};

/* Copies the configuration. 0, or -ENOMEM. */
int ts2021_server_new(const struct ts2021_server_config *cfg, struct ts2021_server **out);
/*
 * tls: NULL for plain; referenced. May be called several times. *port (host order):
 * the one that was bound. 0, or a negative errno.
 */
int ts2021_server_listen(struct ts2021_server *s, const struct endpoint *at, SSL_CTX *tls,
			 uint16_t *port);
void ts2021_server_counts(const struct ts2021_server *s, struct ts2021_server_counts *out);
/* Ends all connections; on_gone is still told. Run the loop until it is empty. */
void ts2021_server_close(struct ts2021_server *s);

/* ---- requests ---- */

struct ts2021_request_info {
	const char *method, *path; /* path without query */
	const uint8_t *body;	   /* until on_request returns */
	size_t body_len;
	struct key machine; /* proven */
	uint16_t version;   /* of the handshake */
	struct endpoint remote;
};

const struct ts2021_request_info *ts2021_request_info(const struct ts2021_request *r);
/* The handler's own pointer. */
void ts2021_request_set_user(struct ts2021_request *r, void *user);
void *ts2021_request_user(const struct ts2021_request *r);

/* Whole; copies the body. type NULL: application/json. on_gone follows when it has left. */
void ts2021_respond(struct ts2021_request *r, unsigned status, const char *type, const void *body,
		    size_t len);
/* An answer whose end is open. */
void ts2021_begin(struct ts2021_request *r, unsigned status, const char *type);
/* Takes a reference. 0, or -ENOMEM. */
int ts2021_write(struct ts2021_request *r, struct ts2021_bytes *b);
/* Bytes written that have not left this process. */
size_t ts2021_queued(const struct ts2021_request *r);
void ts2021_end(struct ts2021_request *r);
/* Ends the request at once, in the middle. */
void ts2021_abort(struct ts2021_request *r);

#endif
