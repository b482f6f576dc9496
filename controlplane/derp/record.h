/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer under a client: bytes in and out of its socket, through TLS or in
 * the clear. All that knows OpenSSL's records is here, so that another layer can take
 * its place. Non-blocking; the worker that owns the client.
 *
 *   socket -> io.in -> SSL -> caller         one receive for many records
 *   caller -> SSL -> io.out -> socket        one send for many records
 *                        `-> rest            what the socket did not take
 *
 * io is the worker's and shared by all its records: it holds bytes only from one call of
 * a client's turn to the next. A quiet record has no buffer at all.
 */
#ifndef CONTROLPLANE_DERP_RECORD_H
#define CONTROLPLANE_DERP_RECORD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RECORD_IN_BYTES	  65536 /* a receive takes at most these */
#define RECORD_PLAIN_MAX  16384 /* of one TLS record */
#define RECORD_GATHER_MAX 65536 /* so many are sealed before they are sent */
#define RECORD_WRITE_MAX  131072
#define RECORD_OUT_BYTES  (RECORD_GATHER_MAX + RECORD_WRITE_MAX + 8192)
/* What one record_read may give: a record may have come all but its end before. */
#define RECORD_READ_MAX (RECORD_IN_BYTES + RECORD_PLAIN_MAX)

struct record_io {
	uint8_t in[RECORD_IN_BYTES], out[RECORD_OUT_BYTES];
	size_t in_at, in_len, out_len;
};

struct record {
	int fd;
	bool is_drained; /* the last receive took all that the socket had */
	bool sees_end;	 /* the caller's word: more will come than data */
	bool has_ended;
	int end;       /* then: 0, or the negative errno */
	bool is_fresh; /* what came behind the handshake has not been opened */
	bool keeps;    /* OpenSSL's buffers, from one record to the next */
	SSL *ssl;      /* NULL: in the clear */
	struct record_io *io;
	uint8_t *rest; /* sealed, and to go before anything else */
	size_t rest_at, rest_len;
};

/* Takes fd over; r stays where it is. ctx NULL: in the clear. 0, or -ENOMEM with fd closed. */
int record_open(struct record *r, int fd, SSL_CTX *ctx, struct record_io *io);
void record_close(struct record *r);
/* The TLS handshake: 0 done (record_read follows at once), -EAGAIN, or -EPROTO. */
int record_accept(struct record *r);
/*
 * Receives once and opens all of it into buf, RECORD_READ_MAX bytes. Bytes, -EAGAIN, 0 at
 * the end of the stream, or a negative errno.
 */
ssize_t record_read(struct record *r, void *buf);
/*
 * Seals len bytes, RECORD_WRITE_MAX at most, which record_flush sends. False: first what
 * was sealed must go.
 */
bool record_takes(const struct record *r);
int record_write(struct record *r, const void *buf, size_t len);
/* Sends what is sealed. Bytes that the socket did not take, or a negative errno. */
ssize_t record_flush(struct record *r);
/* Whether this one is busy: then its buffers stay; else they are given back. */
void record_keep(struct record *r, bool is_busy);

#endif
