/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message on the socket is a struct, in some versions shorter or longer than
 * ours, and behind it for two types a body. How long the body is stands in a
 * field of the struct, and it is the end of the message: so the struct is what
 * remains before it, whatever version wrote it.
 *
 *   0                       len - body            len
 *   | struct (theirs)      |  body (RULES, ...)   |
 */
#include "lib/dpapi/dpapi_msg.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/bug.h"

const char *dpapi_type_name(uint16_t type)
{
	switch (type) {
#define X(name, number, struct_name, help)                                                         \
	case number:                                                                               \
		return #name;
		DPAPI_MESSAGES(X)
#undef X
	}
	return "UNKNOWN";
}

size_t dpapi_type_size(uint16_t type)
{
	switch (type) {
#define X(name, number, struct_name, help)                                                         \
	case number:                                                                               \
		return sizeof(struct struct_name);
		DPAPI_MESSAGES(X)
#undef X
	}
	return 0;
}

int dpapi_type_has_body(uint16_t type)
{
	return type == DPAPI_RULES || type == DPAPI_SHOW_REPLY;
}

/* Where the field that tells the body's length stands in the struct. */
static size_t body_field_offset(uint16_t type)
{
	return type == DPAPI_RULES ? offsetof(struct dpapi_rules, piece_bytes)
				   : offsetof(struct dpapi_show_reply, text_bytes);
}

static int __attribute__((format(printf, 4, 5)))
refuse(int err, char *errbuf, size_t errbuf_len, const char *fmt, ...)
{
	va_list ap;

	if (errbuf != NULL && errbuf_len > 0) {
		va_start(ap, fmt);
		vsnprintf(errbuf, errbuf_len, fmt, ap);
		va_end(ap);
	}
	return err;
}

static bool is_all_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/* Bytes of the body, or -EBADMSG if the message cannot hold it. */
static ssize_t body_len(const uint8_t *bytes, size_t len, uint16_t type)
{
	size_t offset = body_field_offset(type);
	uint32_t body;

	/* A message too short for the field has none: the field is zero-filled too. */
	if (len < offset + sizeof(body))
		return 0;
	memcpy(&body, bytes + offset, sizeof(body));
	if (body > len - offset - sizeof(body))
		return -EBADMSG;
	return body;
}

int dpapi_msg_decode(const void *data, size_t len, void *out, size_t out_size, size_t *body_off,
		     char *errbuf, size_t errbuf_len)
{
	const uint8_t *bytes = data;
	struct dpapi_hdr hdr;
	size_t struct_len = len;
	size_t size;

	if (len < sizeof(hdr))
		return refuse(-EBADMSG, errbuf, errbuf_len, "message of %zu bytes has no header",
			      len);
	memcpy(&hdr, bytes, sizeof(hdr));
	size = dpapi_type_size(hdr.type);
	if (hdr.len != len)
		return refuse(-EBADMSG, errbuf, errbuf_len, "%s says %u bytes and has %zu",
			      dpapi_type_name(hdr.type), hdr.len, len);
	if (size == 0)
		return refuse(-ENOTSUP, errbuf, errbuf_len, "message type %u is not known",
			      hdr.type);
	BUG_ON(out_size < size);
	if (dpapi_type_has_body(hdr.type)) {
		ssize_t body = body_len(bytes, len, hdr.type);

		if (body < 0)
			return refuse(-EBADMSG, errbuf, errbuf_len, "%s is shorter than its body",
				      dpapi_type_name(hdr.type));
		struct_len = len - (size_t)body;
	}
	if (struct_len > size && !is_all_zero(bytes + size, struct_len - size))
		return refuse(-E2BIG, errbuf, errbuf_len,
			      "%s has %zu bytes where %zu are known, and the surplus is not zero",
			      dpapi_type_name(hdr.type), struct_len, size);
	memset(out, 0, size);
	memcpy(out, bytes, struct_len < size ? struct_len : size);
	if (body_off != NULL)
		*body_off = struct_len;
	return 0;
}

int dpapi_msg_send(int fd, void *msg, size_t len, const int *fds, unsigned nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(DPAPI_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = msg, .iov_len = len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	struct dpapi_hdr *hdr = msg;

	BUG_ON(len < sizeof(*hdr) || nfds > DPAPI_FDS_MAX);
	if (len > DPAPI_MSG_MAX)
		return -EMSGSIZE;
	hdr->len = (uint32_t)len;
	if (nfds > 0) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	while (sendmsg(fd, &mh, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Moves what came to fds (room for cap) and closes the rest; how many were moved. */
static unsigned take_fds(struct msghdr *mh, int *fds, unsigned cap)
{
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int got;

			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (n < cap)
				fds[n++] = got;
			else
				close(got);
		}
	}
	return n;
}

ssize_t dpapi_msg_recv(int fd, void *buf, size_t buf_len, int *fds, unsigned *nfds)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(DPAPI_FDS_MAX * sizeof(int))];
	struct iovec iov = {.iov_base = buf, .iov_len = buf_len};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	unsigned cap = nfds != NULL && fds != NULL ? *nfds : 0;
	unsigned taken;
	ssize_t n;

	if (nfds != NULL)
		*nfds = 0;
	do {
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* A message cut short is useless, and so are the descriptors that came with it. */
	if ((mh.msg_flags & MSG_TRUNC) != 0) {
		take_fds(&mh, NULL, 0);
		return -EMSGSIZE;
	}
	taken = take_fds(&mh, fds, cap);
	if (nfds != NULL)
		*nfds = taken;
	return n;
}
