/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 over a secured stream, what both roles have in common: records in and out,
 * one nghttp2 session, an end that may come from inside a callback. Inside this
 * folder only.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_CONN_H
#define CONTROLPLANE_TS2021_TS2021_CONN_H

#include <nghttp2/nghttp2.h>

#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"

struct ts2021_conn;

struct ts2021_conn_ops {
	/* Plain bytes in order; false: they make no sense. */
	bool (*take)(struct ts2021_conn *c, const uint8_t *data, size_t len);
	/* The stream is over; told once, and not after ts2021_conn_free. */
	void (*closed)(struct ts2021_conn *c, const char *why);
	/* Bytes left; more may be written. NULL: nobody asks. */
	void (*drained)(struct ts2021_conn *c);
	/* Frees what c is part of; the session is gone. */
	void (*gone)(struct ts2021_conn *c);
};

/* Part of the owner's struct. */
struct ts2021_conn {
	const struct ts2021_conn_ops *ops;
	struct net_stream *stream; /* NULL: over */
	struct noise_ik_stream noise;
	nghttp2_session *session; /* the owner makes it; ours to delete */
	uint8_t *in;		  /* records that are not whole, IN_BYTES; NULL: none are there */
	size_t in_len;
	bool is_sending, is_taking, is_freed;
	unsigned depth;
};

/* Takes over the stream and copies the keys. */
void ts2021_conn_init(struct ts2021_conn *c, struct net_stream *s,
		      const struct noise_ik_stream *noise, const struct ts2021_conn_ops *ops);
/* Bytes of the stream that came before it was ours. */
void ts2021_conn_feed(struct ts2021_conn *c, uint8_t *data, size_t len);
/* Plain bytes in front of HTTP/2. False: the stream is over. */
bool ts2021_conn_write(struct ts2021_conn *c, const uint8_t *data, size_t len);
/*
 * Sends what the session has to say, as far as the socket takes it; the rest when it
 * has drained. From inside of take: when that has returned.
 */
void ts2021_conn_flush(struct ts2021_conn *c);
/* No callbacks any more but gone, from inside here or when the callback has returned. */
void ts2021_conn_free(struct ts2021_conn *c);

#endif
