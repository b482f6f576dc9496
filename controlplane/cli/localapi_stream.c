/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/localapi_stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/cli/stream_lines.h"
#include "lib/base/clock.h"
#include "lib/base/sock.h"

#define READ_BYTES 4096

struct localapi_stream {
	int fd;
	struct stream_lines lines;
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

static int read_more(struct localapi_stream *s, uint64_t until_ns)
{
	int rc = wait_readable(s->fd, until_ns);
	char *at = NULL;
	ssize_t n;

	if (rc == 0)
		rc = stream_lines_reserve(&s->lines, READ_BYTES, &at);
	if (rc)
		return rc;
	n = recv(s->fd, at, READ_BYTES, MSG_DONTWAIT);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	stream_lines_came(&s->lines, (size_t)n);
	return 0;
}

int localapi_stream_next(struct localapi_stream *s, uint64_t until_ns, json_t **out)
{
	for (;;) {
		int rc = stream_lines_next(&s->lines, out);

		if (rc)
			return rc < 0 ? rc : 0;
		rc = read_more(s, until_ns);
		if (rc)
			return rc;
	}
}

static int read_head(struct localapi_stream *s, uint64_t until_ns)
{
	const char *raw, *end;

	while (!s->lines.raw_len || !(end = strstr(s->lines.raw, "\r\n\r\n"))) {
		int rc = read_more(s, until_ns);

		if (rc)
			return rc;
	}
	raw = s->lines.raw;
	if (strncmp(raw, "HTTP/1.1 ", 9) != 0)
		return -EBADMSG;
	if (strncmp(raw + 9, "200", 3) != 0)
		return -EACCES;
	stream_lines_drop(&s->lines, (size_t)(end - raw) + 4);
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
	stream_lines_fini(&s->lines);
	free(s);
}
