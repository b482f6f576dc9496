/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of a DERP relay for load generators: it makes one TLS record of each frame, as
 * stock clients do, but hands several to the kernel in one write. Any relay, TLS 1.3 with
 * AES-128-GCM (what Go's clients and servers agree on) or in the clear; certificates are
 * not looked at. One thread.
 */
#ifndef PERF_DERP_CONN_H
#define PERF_DERP_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/derp_frame.h"

struct derp_conn {
	int fd;
	SSL *ssl; /* NULL: in the clear */
	uint8_t key[DERP_KEY_BYTES];
	const uint8_t *in; /* bytes of the socket that TLS has not taken, of this call only */
	size_t in_len;
	uint8_t *rest; /* of a frame that has not come whole */
	size_t rest_len;
	uint8_t *out; /* bytes for the socket */
	size_t out_at, out_len, out_room;
};

/* What a client that has frames does with one; the body is good until it returns. */
typedef void derp_conn_frame_fn(void *arg, struct derp_conn *c, uint8_t type, const uint8_t *body,
				size_t len);

/* A context for derp_conn_open, or NULL. */
SSL_CTX *derp_conn_tls(void);
/* Connects, upgrades and joins with a key of its own; then non-blocking. 0 or a negative errno. */
int derp_conn_open(struct derp_conn *c, const struct endpoint *to, SSL_CTX *tls);
void derp_conn_close(struct derp_conn *c);
/* Makes a record of the frame, which derp_conn_flush writes. */
void derp_conn_put(struct derp_conn *c, const void *frame, size_t len);
/* 0 when all is written, -EAGAIN, or another negative errno. */
int derp_conn_flush(struct derp_conn *c);
/* Reads what the socket has at once. 0, or a negative errno: the connection has ended. */
int derp_conn_read(struct derp_conn *c, derp_conn_frame_fn *fn, void *arg);

#endif
