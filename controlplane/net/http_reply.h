/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an HTTP/1.1 response out of a buffer (RFC 9112): status line, headers, a
 * body told by Content-Length, by chunks or by the end of the connection. Pure.
 */
#ifndef CONTROLPLANE_NET_HTTP_REPLY_H
#define CONTROLPLANE_NET_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

struct http_reply {
	int status;
	char *body; /* into the buffer */
	size_t body_len;
};

/*
 * data may be changed: the body is joined in place if it came in chunks, but only
 * when it is whole. at_end: nothing more will come.
 * 1 = whole, 0 = more is needed, -EBADMSG = no such response.
 */
int http_reply_parse(char *data, size_t len, bool at_end, struct http_reply *reply);

#endif
