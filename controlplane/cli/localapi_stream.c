/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/localapi_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/sock.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)

struct localapi_stream {
	int fd;
	char *raw; /* as it came: chunks */
	size_t raw_len, raw_cap;
	char *line; /* joined */
	size_t line_len, line_cap;
};

static int wait_readable(int fd, uint64_t until_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t now = clock_now_ns();
	int ms = until_ns == LOCALAPI_NEVER		  ? -1
		 : until_ns <= now			  ? 0
		 : (until_ns - now) / NS_PER_MS > 3600000 ? 3600000
							  : (int)((until_ns - now) / NS_PER_MS) + 1;
	int n = poll(&p, 1, ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n || ms == 3600000 ? 0 : -ETIMEDOUT;
}

static int grow(char **buf, size_t *cap, size_t need)
{
	size_t room = *cap ? *cap : 4096;
	char *p;

	while (room < need)
		room *= 2;
	if (room > LINE_MAX_BYTES)
		return -EFBIG;
	p = room == *cap ? *buf : realloc(*buf, room);
	if (!p)
		return -ENOMEM;
	*buf = p;
	*cap = room;
	return 0;
}

static int read_more(struct localapi_stream *s, uint64_t until_ns)
{
	int rc = wait_readable(s->fd, until_ns);
	ssize_t n;

	if (rc == 0)
		rc = grow(&s->raw, &s->raw_cap, s->raw_len + 4097);
	if (rc)
		return rc;
	n = recv(s->fd, s->raw + s->raw_len, 4096, MSG_DONTWAIT);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	s->raw_len += (size_t)n;
	s->raw[s->raw_len] = 0;
	return 0;
}

static void drop(struct localapi_stream *s, size_t n)
{
	memmove(s->raw, s->raw + n, s->raw_len - n + 1);
	s->raw_len -= n;
}

/* Moves one whole chunk into the line. 1: done; 0: it has not come whole. */
static int take_chunk(struct localapi_stream *s)
{
	char *end = s->raw_len ? strstr(s->raw, "\r\n") : NULL, *digits;
	size_t head;
	unsigned long size;
	int rc;

	if (!end)
		return 0;
	size = strtoul(s->raw, &digits, 16);
	if (digits == s->raw || digits != end || size > LINE_MAX_BYTES)
		return -EBADMSG;
	if (!size)
		return -EPIPE;
	head = (size_t)(end - s->raw) + 2;
	if (s->raw_len < head + size + 2)
		return 0;
	rc = grow(&s->line, &s->line_cap, s->line_len + size + 1);
	if (rc)
		return rc;
	memcpy(s->line + s->line_len, s->raw + head, size);
	s->line_len += size;
	s->line[s->line_len] = 0;
	drop(s, head + size + 2);
	return 1;
}

static int take_line(struct localapi_stream *s, json_t **out)
{
	char *end = s->line_len ? memchr(s->line, '\n', s->line_len) : NULL;
	size_t len;

	if (!end)
		return 0;
	len = (size_t)(end - s->line);
	*out = json_loadb(s->line, len, 0, NULL);
	memmove(s->line, end + 1, s->line_len - len - 1);
	s->line_len -= len + 1;
	return *out ? 1 : -EBADMSG;
}

int localapi_stream_next(struct localapi_stream *s, uint64_t until_ns, json_t **out)
{
	for (;;) {
		int rc = take_line(s, out);

		if (rc)
			return rc < 0 ? rc : 0;
		rc = take_chunk(s);
		if (rc == 0)
			rc = read_more(s, until_ns);
		if (rc < 0)
			return rc;
	}
}

static int read_head(struct localapi_stream *s, uint64_t until_ns)
{
	char *end;

	while (!s->raw_len || !(end = strstr(s->raw, "\r\n\r\n"))) {
		int rc = read_more(s, until_ns);

		if (rc)
			return rc;
	}
	if (strncmp(s->raw, "HTTP/1.1 ", 9) != 0)
		return -EBADMSG;
	if (strncmp(s->raw + 9, "200", 3) != 0)
		return -EACCES;
	drop(s, (size_t)(end - s->raw) + 4);
	return 0;
}

int localapi_stream_open(const char *socket_path, const char *path, uint64_t until_ns,
			 struct localapi_stream **out)
{
	struct localapi_stream *s = calloc(1, sizeof(*s));
	char request[512];
	int rc = 0, len;

	if (!s)
		return -ENOMEM;
	s->fd = sock_unix_connect(socket_path, SOCK_STREAM);
	if (s->fd < 0) {
		rc = s->fd;
		free(s);
		return rc;
	}
	len = snprintf(request, sizeof(request),
		       "GET %s HTTP/1.1\r\nHost: local-tailscaled.sock\r\n\r\n", path);
	if (send(s->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
		rc = -EPIPE;
	if (!rc)
		rc = read_head(s, until_ns);
	if (rc) {
		localapi_stream_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void localapi_stream_close(struct localapi_stream *s)
{
	if (!s)
		return;
	close(s->fd);
	free(s->raw);
	free(s->line);
	free(s);
}
