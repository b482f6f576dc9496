/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/net/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What the headers say of the body. */
struct framing {
	bool chunked;
	bool has_length;
	size_t length;
};

static bool is_token_char(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Copies n bytes as text; refuses what does not fit and what is not printable ASCII. */
static int take_text(char *out, size_t out_len, const uint8_t *in, size_t n)
{
	if (n >= out_len)
		return -ENOBUFS;
	for (size_t i = 0; i < n; i++)
		if (in[i] < 0x21 || in[i] > 0x7e)
			return -EBADMSG;
	memcpy(out, in, n);
	out[n] = 0;
	return 0;
}

static int parse_request_line(const uint8_t *line, size_t len, struct http_request *req)
{
	const uint8_t *end = line + len;
	const uint8_t *sp = memchr(line, ' ', len);
	const uint8_t *target, *sp2, *mark;
	int err;

	if (!sp || sp == line)
		return -EBADMSG;
	for (const uint8_t *p = line; p < sp; p++)
		if (!is_token_char(*p))
			return -EBADMSG;
	err = take_text(req->method, sizeof(req->method), line, (size_t)(sp - line));
	if (err)
		return -EBADMSG;
	target = sp + 1;
	sp2 = memchr(target, ' ', (size_t)(end - target));
	if (!sp2 || target == sp2 || *target != '/')
		return -EBADMSG;
	mark = memchr(target, '?', (size_t)(sp2 - target));
	err = take_text(req->path, sizeof(req->path), target,
			(size_t)((mark ? mark : sp2) - target));
	if (!err && mark)
		err = take_text(req->query, sizeof(req->query), mark + 1, (size_t)(sp2 - mark - 1));
	if (err)
		return err;
	if (end - sp2 != 9 || memcmp(sp2 + 1, "HTTP/1.", 7) != 0)
		return -EBADMSG;
	if (sp2[8] != '0' && sp2[8] != '1')
		return -EBADMSG;
	req->keep_alive = sp2[8] == '1';
	return 0;
}

static bool name_is(const uint8_t *name, size_t len, const char *want)
{
	return len == strlen(want) && strncasecmp((const char *)name, want, len) == 0;
}

static int parse_length(const uint8_t *v, size_t len, struct framing *f)
{
	size_t n = 0;

	if (len == 0 || len > 9)
		return len ? -EMSGSIZE : -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (v[i] < '0' || v[i] > '9')
			return -EBADMSG;
		n = n * 10 + (size_t)(v[i] - '0');
	}
	/* Two lengths that differ are how requests are smuggled (RFC 9112 6.3). */
	if (f->has_length && f->length != n)
		return -EBADMSG;
	f->has_length = true;
	f->length = n;
	return 0;
}

static int on_header(const uint8_t *name, size_t name_len, const uint8_t *v, size_t len,
		     struct http_request *req, struct framing *f)
{
	if (name_is(name, name_len, "host"))
		return take_text(req->host, sizeof(req->host), v, len);
	if (name_is(name, name_len, "origin") || name_is(name, name_len, "referer"))
		req->has_origin = true;
	if (name_is(name, name_len, "connection")) {
		if (name_is(v, len, "close"))
			req->keep_alive = false;
		else if (name_is(v, len, "keep-alive"))
			req->keep_alive = true;
	}
	if (name_is(name, name_len, "upgrade"))
		snprintf(req->upgrade, sizeof(req->upgrade), "%.*s", (int)len, (const char *)v);
	if (name_is(name, name_len, "x-tailscale-handshake"))
		snprintf(req->handshake, sizeof(req->handshake), "%.*s", (int)len, (const char *)v);
	if (name_is(name, name_len, "x-tailscale-challenge") && len < sizeof(req->challenge))
		snprintf(req->challenge, sizeof(req->challenge), "%.*s", (int)len, (const char *)v);
	if (name_is(name, name_len, "derp-fast-start"))
		req->derp_fast_start = name_is(v, len, "1");
	if (name_is(name, name_len, "expect"))
		req->expects_continue = name_is(v, len, "100-continue");
	if (name_is(name, name_len, "content-length"))
		return parse_length(v, len, f);
	if (name_is(name, name_len, "transfer-encoding")) {
		if (!name_is(v, len, "chunked") || f->chunked)
			return -ENOTSUP;
		f->chunked = true;
	}
	return 0;
}

static int parse_header_line(const uint8_t *line, size_t len, struct http_request *req,
			     struct framing *f)
{
	const uint8_t *colon = memchr(line, ':', len);
	const uint8_t *v, *end = line + len;

	if (!colon || colon == line)
		return -EBADMSG;
	for (const uint8_t *p = line; p < colon; p++)
		if (!is_token_char(*p))
			return -EBADMSG;
	v = colon + 1;
	while (v < end && (*v == ' ' || *v == '\t'))
		v++;
	while (end > v && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	for (const uint8_t *p = v; p < end; p++)
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
			return -EBADMSG;
	return on_header(line, (size_t)(colon - line), v, (size_t)(end - v), req, f);
}

/* A line and its CRLF (or LF alone). Length of the line, -1 = not whole. */
static long line_at(const uint8_t *data, size_t len, size_t *next)
{
	const uint8_t *lf = memchr(data, '\n', len);
	size_t n;

	if (!lf)
		return -1;
	n = (size_t)(lf - data);
	*next = n + 1;
	if (n && data[n - 1] == '\r')
		n--;
	return (long)n;
}

static long parse_head(const uint8_t *data, size_t len, struct http_request *req, struct framing *f)
{
	size_t bound = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	size_t at = 0;
	bool first = true;

	for (;;) {
		size_t next;
		long n = line_at(data + at, bound - at, &next);
		int err = 0;

		if (n < 0)
			return len >= HTTP_HEAD_MAX ? -ENOBUFS : 0;
		if (n == 0 && !first)
			return (long)(at + next);
		/* An empty line in front of a request is tolerated (RFC 9112 2.2). */
		if (first && n > 0) {
			err = parse_request_line(data + at, (size_t)n, req);
			first = false;
		} else if (n > 0) {
			err = parse_header_line(data + at, (size_t)n, req, f);
		}
		if (err)
			return err;
		at += next;
	}
}

/* Length of one chunk-size line's number, or negative. Extensions are ignored. */
static long chunk_size(const uint8_t *line, size_t n)
{
	long size = 0;
	size_t i;

	for (i = 0; i < n && line[i] != ';' && line[i] != ' '; i++) {
		uint8_t c = line[i];
		int d;

		if (c >= '0' && c <= '9')
			d = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			d = (c | 32) - 'a' + 10;
		else
			return -EBADMSG;
		size = size * 16 + d;
		if (size > HTTP_BODY_MAX)
			return -EMSGSIZE;
	}
	return i ? size : -EBADMSG;
}

/*
 * Walks the chunks at data. With join they are moved together at the start.
 * Bytes walked, 0 = not whole, or a negative errno; *total: of the body.
 */
static long walk_chunks(uint8_t *data, size_t len, bool join, size_t *total)
{
	size_t at = 0;
	long size;

	*total = 0;
	do {
		size_t next;
		long n = line_at(data + at, len - at, &next);

		if (n < 0)
			return len - at > 64 ? -EBADMSG : 0;
		size = chunk_size(data + at, (size_t)n);
		if (size < 0)
			return size;
		at += next;
		if (*total + (size_t)size > HTTP_BODY_MAX)
			return -EMSGSIZE;
		if (len - at < (size_t)size)
			return 0;
		if (join)
			memmove(data + *total, data + at, (size_t)size);
		*total += (size_t)size;
		at += (size_t)size;
		/* The line end behind the chunk; behind the last one: no trailers wanted. */
		n = line_at(data + at, len - at, &next);
		if (n < 0)
			return len - at > 2 ? -EBADMSG : 0;
		if (n != 0)
			return -EBADMSG;
		at += next;
	} while (size);
	return (long)at;
}

long http_parse(uint8_t *data, size_t len, struct http_request *req)
{
	struct framing f = {0};
	long head, walked;

	memset(req, 0, sizeof(*req));
	head = parse_head(data, len, req, &f);
	if (head <= 0)
		return head;
	if (f.chunked && f.has_length)
		return -EBADMSG;
	req->body = data + head;
	if (!f.chunked) {
		if (f.length > HTTP_BODY_MAX)
			return -EMSGSIZE;
		if (len - (size_t)head < f.length)
			return 0;
		req->body_len = f.length;
		return head + (long)f.length;
	}
	walked = walk_chunks(data + head, len - (size_t)head, false, &req->body_len);
	if (walked <= 0)
		return walked;
	walk_chunks(data + head, (size_t)walked, true, &req->body_len);
	return head + walked;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 32) >= 'a' && (c | 32) <= 'f')
		return (c | 32) - 'a' + 10;
	return -1;
}

/* Cuts what does not fit. A zero byte would end the text early, so it is left as it stands. */
static void unescape(const char *in, size_t len, char *out, size_t out_len)
{
	size_t at = 0;

	for (size_t i = 0; i < len && at + 1 < out_len; i++) {
		int high = in[i] == '%' && i + 2 < len ? hex_digit(in[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(in[i + 2]) : -1;

		if (low >= 0 && high * 16 + low) {
			out[at++] = (char)(high * 16 + low);
			i += 2;
		} else {
			out[at++] = in[i] == '+' ? ' ' : in[i];
		}
	}
	if (out_len)
		out[at] = 0;
}

bool http_query_get(const struct http_request *req, const char *name, char *out, size_t out_len)
{
	size_t name_len = strlen(name);
	const char *p = req->query;

	while (*p) {
		size_t n = strcspn(p, "&");

		if (n > name_len && strncmp(p, name, name_len) == 0 && p[name_len] == '=') {
			unescape(p + name_len + 1, n - name_len - 1, out, out_len);
			return true;
		}
		p += n + (p[n] == '&');
	}
	return false;
}
