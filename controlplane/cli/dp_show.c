/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/dp_show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/sock.h"
#include "lib/dpapi/dpapi_msg.h"

#define TEXT_MAX    ((size_t)256 << 20)
#define TIMEOUT_SEC 10
#define SHOW_SEQ    2

struct answer {
	char *text;
	size_t len;
	size_t cap;
	char *reason;
	size_t reason_len;
};

static int append(struct answer *a, const uint8_t *bytes, size_t len)
{
	if (a->len + len > TEXT_MAX)
		return -EFBIG;
	if (a->len + len + 1 > a->cap) {
		size_t cap = 2 * (a->len + len + 1);
		char *text = realloc(a->text, cap);

		if (text == NULL)
			return -ENOMEM;
		a->text = text;
		a->cap = cap;
	}
	memcpy(a->text + a->len, bytes, len);
	a->len += len;
	a->text[a->len] = '\0';
	return 0;
}

static int ask(int fd, const char *what, uint32_t limit)
{
	struct dpapi_hello hello = {
		.hdr = {.type = DPAPI_HELLO, .seq = SHOW_SEQ - 1},
		.version = DPAPI_VERSION,
		.role = DPAPI_ROLE_OBSERVER,
		.program = "causeway",
	};
	struct dpapi_show show = {
		.hdr = {.type = DPAPI_SHOW, .seq = SHOW_SEQ},
		.limit = limit,
	};
	int err = dpapi_msg_send(fd, &hello, sizeof(hello), NULL, 0);

	if (err < 0)
		return err;
	snprintf(show.what, sizeof(show.what), "%s", what);
	return dpapi_msg_send(fd, &show, sizeof(show), NULL, 0);
}

static int on_ack(struct answer *a, const uint8_t *buf, size_t len)
{
	struct dpapi_ack ack;
	int err = dpapi_msg_decode(buf, len, &ack, sizeof(ack), NULL, a->reason, a->reason_len);

	if (err < 0)
		return -EBADMSG;
	if (ack.error == 0)
		return 0;
	snprintf(a->reason, a->reason_len, "%.*s", DPAPI_ERROR_TEXT, ack.text);
	return -EREMOTEIO;
}

/* 1 = the last piece, 0 = more come. */
static int on_show_reply(struct answer *a, const uint8_t *buf, size_t len)
{
	struct dpapi_show_reply reply;
	size_t body_off = 0;
	int err = dpapi_msg_decode(buf, len, &reply, sizeof(reply), &body_off, a->reason,
				   a->reason_len);

	if (err < 0)
		return -EBADMSG;
	err = append(a, buf + body_off, len - body_off);
	if (err < 0)
		return err;
	if (reply.more != 0)
		return 0;
	if (reply.error < 0) {
		snprintf(a->reason, a->reason_len, "%s", a->text);
		return -EREMOTEIO;
	}
	return 1;
}

static int read_answer(int fd, struct answer *a)
{
	uint64_t until_ns = clock_now_ns() + TIMEOUT_SEC * NS_PER_SEC;
	static _Alignas(8) uint8_t buf[DPAPI_MSG_MAX];
	int rc = 0;

	while (rc == 0) {
		ssize_t n = dpapi_msg_recv(fd, buf, sizeof(buf), NULL, NULL);
		struct dpapi_hdr hdr;

		if (n == -EAGAIN || clock_now_ns() > until_ns)
			return -ETIMEDOUT;
		if (n <= 0)
			return n < 0 ? (int)n : -EPIPE;
		if ((size_t)n < sizeof(hdr))
			return -EBADMSG;
		memcpy(&hdr, buf, sizeof(hdr));
		/* What the hello brings (ports, the picture) is not asked for here. */
		if (hdr.type == DPAPI_ACK)
			rc = on_ack(a, buf, (size_t)n);
		else if (hdr.type == DPAPI_SHOW_REPLY && hdr.seq == SHOW_SEQ)
			rc = on_show_reply(a, buf, (size_t)n);
	}
	return rc < 0 ? rc : 0;
}

int dp_show(const char *socket_path, const char *what, uint32_t limit, char **text, char *reason,
	    size_t reason_len)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_SEC};
	struct answer a = {.reason = reason, .reason_len = reason_len};
	int fd = sock_unix_connect(socket_path, SOCK_SEQPACKET);
	int err = 0;

	reason[0] = '\0';
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		err = -errno;
	if (err == 0)
		err = ask(fd, what, limit);
	if (err == 0)
		err = read_answer(fd, &a);
	close(fd);
	/* An empty answer is no text either. */
	if (err == 0)
		err = append(&a, (const uint8_t *)"", 0);
	if (err < 0) {
		free(a.text);
		return err;
	}
	*text = a.text;
	return 0;
}
