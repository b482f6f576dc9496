/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an HTTP/1.1 request out of a buffer: what our sockets need and no
 * more (RFC 9112: request line, headers, Content-Length or chunked body). Pure:
 * bytes in, request out; a request that has not come whole is parsed again from
 * its start when more bytes are there, which the bounds below keep cheap.
 */
#ifndef CONTROLPLANE_NET_HTTP_H
#define CONTROLPLANE_NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX	 16384
#define HTTP_BODY_MAX	 65536
#define HTTP_REQUEST_MAX (HTTP_HEAD_MAX + 2 * HTTP_BODY_MAX) /* chunks have overhead */

struct http_request {
	char method[12];
	char path[256]; /* as sent, before '?' */
	char query[512];
	char host[256];
	bool has_origin; /* Origin or Referer: a browser */
	bool keep_alive;
	bool expects_continue;
	char upgrade[64];     /* "" = none */
	char handshake[192];  /* X-Tailscale-Handshake; one that is too long is cut */
	char challenge[65];   /* X-Tailscale-Challenge; one that is too long is "" */
	bool derp_fast_start; /* Derp-Fast-Start: 1 */
	const uint8_t *body;  /* into the buffer */
	size_t body_len;
};

/*
 * Bytes of the first request in data (which may be changed: a chunked body is
 * joined in place), 0 = not whole yet, or a negative errno: -EBADMSG (400),
 * -EMSGSIZE (413), -ENOBUFS (431: head too large), -ENOTSUP (501: coding).
 */
long http_parse(uint8_t *data, size_t len, struct http_request *req);
/* The value of a query parameter, %-escapes undone and cut to out_len - 1 bytes, or false. */
bool http_query_get(const struct http_request *req, const char *name, char *out, size_t out_len);

#endif
