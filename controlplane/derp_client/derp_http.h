/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP/1.1 answer before a stream becomes something else: a proxy's to CONNECT, a
 * relay's to the upgrade. Pieces in, status out; what stands behind the head is not touched. Pure;
 * one thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_HTTP_H
#define CONTROLPLANE_DERP_CLIENT_DERP_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define DERP_HTTP_HEAD_MAX 8192

/* Begins zeroed. */
struct derp_http {
	size_t len;
	char data[DERP_HTTP_HEAD_MAX];
};

/*
 * Takes a piece; *used: how many of its bytes are the head's. The status (> 0) once the head is
 * whole, 0: more is needed, -EBADMSG: this is no HTTP answer, -EMSGSIZE: it is too long.
 */
int derp_http_add(struct derp_http *h, const uint8_t *data, size_t len, size_t *used);
/* Its first line, what cannot be printed as '?'; "" before one came. Returns out. */
const char *derp_http_line(const struct derp_http *h, char *out, size_t room);

#endif
