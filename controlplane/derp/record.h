/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer under a client: bytes in and out of its socket, through TLS or in
 * the clear. All that knows OpenSSL's records is here, so that another layer can take
 * its place. Non-blocking; the worker that owns the client.
 */
#ifndef CONTROLPLANE_DERP_RECORD_H
#define CONTROLPLANE_DERP_RECORD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct record {
	int fd;
	SSL *ssl; /* NULL: in the clear */
};

/* Takes fd over. ctx NULL: in the clear. 0, or a negative errno with fd closed. */
int record_open(struct record *r, int fd, SSL_CTX *ctx);
void record_close(struct record *r);
/* The TLS handshake: 0 done, -EAGAIN, or -EPROTO. */
int record_accept(struct record *r);
/* Bytes, -EAGAIN, 0 at the end of the stream, or a negative errno. */
ssize_t record_read(struct record *r, void *buf, size_t room);
/* Bytes taken, -EAGAIN (then the same bytes again), or a negative errno. */
ssize_t record_write(struct record *r, const void *buf, size_t len);

#endif
