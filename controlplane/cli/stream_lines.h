/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of an HTTP answer that comes in chunks and does not end -> lines of JSON
 * (RFC 9112 7.1). Bytes in, values out; bounded. Pure.
 */
#ifndef CONTROLPLANE_CLI_STREAM_LINES_H
#define CONTROLPLANE_CLI_STREAM_LINES_H

#include <jansson.h>
#include <stddef.h>

#define STREAM_LINES_MAX ((size_t)64 << 20)

/* Zeros at first. */
struct stream_lines {
	char *raw; /* as it came, and a zero */
	size_t raw_len, raw_room;
	char *line; /* joined */
	size_t line_len, line_room;
};

/* Where the next bytes go, and there is room for a zero behind them. 0, -EFBIG or -ENOMEM. */
int stream_lines_reserve(struct stream_lines *s, size_t len, char **at);
/* len bytes stand there. */
void stream_lines_came(struct stream_lines *s, size_t len);
/* Drops the first bytes, which were no chunk (the head). */
void stream_lines_drop(struct stream_lines *s, size_t len);
/* 1: *out is the caller's; 0: more is needed; -EPIPE: it ended; -EBADMSG, -EFBIG, -ENOMEM. */
int stream_lines_next(struct stream_lines *s, json_t **out);
void stream_lines_fini(struct stream_lines *s);

#endif
