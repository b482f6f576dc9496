/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream over TCP, with TLS 1.2 or later over it or without, on the caller's
 * libuv loop. Bytes written are copied and sent in order; bytes that came are handed
 * on as they come.
 *
 *   dial:    name -> addresses, one after another -> connected -> (TLS) -> on_open
 *   accept:  connected -> (TLS) -> on_open
 *            (net_stream_start_tls -> on_open again: what is said before TLS is a proxy's)
 *   then     on_data ..., on_drain ..., on_close
 *
 * A stream belongs to whoever opened it until it calls net_stream_close, after
 * which nothing is called any more, or until on_close was called, after which the
 * stream is gone. The loop's thread only.
 */
#ifndef CONTROLPLANE_NET_NET_STREAM_H
#define CONTROLPLANE_NET_NET_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/addr.h"

#define NET_HOST_MAX 256

struct net_stream;

struct net_stream_events {
	/* Bytes may be written from now on. */
	void (*on_open)(void *arg);
	/* data is valid during the call and may be changed. */
	void (*on_data)(void *arg, uint8_t *data, size_t len);
	/* All that was written has left; NULL: nobody asks. */
	void (*on_drain)(void *arg);
	/* The other side closed (err 0) or something failed; why: a sentence. */
	void (*on_close)(void *arg, int err, const char *why);
};

struct net_dial {
	const char *host; /* a name or an address, without brackets */
	uint16_t port;
	SSL_CTX *tls;	     /* NULL: none; its certificates decide unless is_unverified */
	bool is_unverified;  /* any certificate will do: what is inside is secured anyway */
	uint64_t timeout_ms; /* until on_open */
	unsigned cut_s; /* a link that was cut is noticed after so long; 0: when the system does */
	int family;	/* AF_INET or AF_INET6 alone; 0: both */
	unsigned unsent_max; /* bytes that the kernel holds which it has not sent; 0: its choice */
};

/* 0, or -ENOMEM. Everything else is told by on_close, never from inside this call. */
int net_stream_dial(uv_loop_t *loop, const struct net_dial *d, const struct net_stream_events *ev,
		    void *arg, struct net_stream **out);
/*
 * From now on sockets that this process dials have the mark (SO_MARK), as far as it may set one:
 * for one whose policy rules keep marked packets out of a tunnel. 0: none. Not per stream, since
 * it is true of all of them.
 */
void net_stream_set_mark(uint32_t mark);
/*
 * A connection that waits at `listener`. timeout_ms: for TLS;
 * cut_s as above. 0, or a negative errno
 * (the connection is then closed). on_open and on_close may come from inside.
 */
int net_stream_accept(uv_stream_t *listener, SSL_CTX *tls, uint64_t timeout_ms, unsigned cut_s,
		      const struct net_stream_events *ev, void *arg, struct net_stream **out);
/*
 * TLS over an open stream that has none: on_open is called again. ssl is a client's, with the names
 * that its owner wants, and the stream's from now on, whatever is returned. 0, -ENOTCONN or -ENOMEM
 * (on_close is not called then, but may come from inside otherwise).
 */
int net_stream_start_tls(struct net_stream *s, SSL *ssl, uint64_t timeout_ms);
/* What the handshake found; borrowed, not to be read from or written to. NULL: no TLS. */
SSL *net_stream_tls(const struct net_stream *s);
/* Another owner. */
void net_stream_set_events(struct net_stream *s, const struct net_stream_events *ev, void *arg);

/* Copies. 0, or -ENOMEM, -ENOTCONN: it is not open. */
int net_stream_write(struct net_stream *s, const void *data, size_t len);
/* Bytes written that have not left. */
size_t net_stream_queued(const struct net_stream *s);
/* Stops on_data until it is called with false: the other side is slowed down. */
void net_stream_pause(struct net_stream *s, bool pause);
/* family 0: not known. */
void net_stream_remote(const struct net_stream *s, struct endpoint *out);
/* What was written leaves first if is_gentle. NULL is fine. */
void net_stream_close(struct net_stream *s, bool is_gentle);

#endif
