/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/localapi_client.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/net/http_reply.h"
#include "lib/base/clock.h"
#include "lib/base/sock.h"

#define ANSWER_MAX  ((size_t)64 << 20)
#define TIMEOUT_SEC 20

/* So that neither a silent nor a trickling daemon holds us. */
static int set_timeouts(int fd, uint64_t until_ns)
{
	uint64_t now_ns = clock_now_ns();
	struct timeval left;

	if (now_ns >= until_ns)
		return -ETIMEDOUT;
	left.tv_sec = (time_t)((until_ns - now_ns) / NS_PER_SEC);
	left.tv_usec = (suseconds_t)((until_ns - now_ns) % NS_PER_SEC / NS_PER_US) + 1;
	if (left.tv_usec > 999999)
		left.tv_usec = 999999;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof(left)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0)
		return -errno;
	return 0;
}

static int send_request(int fd, const char *method, const char *path, const char *body)
{
	char *request;
	int len = asprintf(&request,
			   "%s %s HTTP/1.1\r\n"
			   "Host: local-tailscaled.sock\r\n"
			   "User-Agent: causeway/" CAUSEWAY_VERSION "\r\n"
			   "Connection: close\r\n"
			   "Content-Length: %zu\r\n"
			   "\r\n%s",
			   method, path, strlen(body), body);
	ssize_t n;

	if (len < 0)
		return -ENOMEM;
	n = send(fd, request, (size_t)len, MSG_NOSIGNAL);
	free(request);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return n == len ? 0 : -EPIPE;
}

static int read_reply(int fd, uint64_t until_ns, char **data, struct http_reply *reply)
{
	size_t cap = 16384;
	size_t len = 0;
	int rc = 0;

	*data = malloc(cap + 1);
	if (*data == NULL)
		return -ENOMEM;
	while (rc == 0) {
		ssize_t n;

		rc = set_timeouts(fd, until_ns);
		if (rc < 0)
			break;
		if (len == cap) {
			char *bigger = cap < ANSWER_MAX ? realloc(*data, 2 * cap + 1) : NULL;

			if (bigger == NULL)
				return cap < ANSWER_MAX ? -ENOMEM : -EFBIG;
			*data = bigger;
			cap *= 2;
		}
		n = recv(fd, *data + len, cap - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		len += (size_t)n;
		rc = http_reply_parse(*data, len, n == 0, reply);
	}
	return rc < 0 ? rc : 0;
}

int localapi_call_within(const char *socket_path, const char *method, const char *path,
			 const char *body, uint64_t timeout_ns, struct localapi_answer *answer)
{
	uint64_t until_ns = clock_now_ns() + timeout_ns;
	int fd = sock_unix_connect(socket_path, SOCK_STREAM);
	struct http_reply reply;
	char *data = NULL;
	int rc;

	if (fd < 0)
		return fd;
	rc = set_timeouts(fd, until_ns);
	if (rc == 0)
		rc = send_request(fd, method, path, body ? body : "");
	if (rc == 0)
		rc = read_reply(fd, until_ns, &data, &reply);
	close(fd);
	if (rc < 0) {
		free(data);
		return rc;
	}
	memmove(data, reply.body, reply.body_len);
	data[reply.body_len] = '\0';
	answer->status = reply.status;
	answer->body = data;
	answer->body_len = reply.body_len;
	return 0;
}

int localapi_call(const char *socket_path, const char *method, const char *path, const char *body,
		  struct localapi_answer *answer)
{
	return localapi_call_within(socket_path, method, path, body, TIMEOUT_SEC * NS_PER_SEC,
				    answer);
}

void localapi_answer_fini(struct localapi_answer *answer)
{
	free(answer->body);
	answer->body = NULL;
}
