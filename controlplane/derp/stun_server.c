/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/stun_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/wire/stun.h"

#define SOCKETS_MAX 4
#define BATCH	    64
/* A request has 40 bytes; one that is cut is none. */
#define IN_BYTES 64

struct stun_server {
	pthread_t thread;
	struct pollfd fds[SOCKETS_MAX + 1]; /* the first ends the thread */
	unsigned count;			    /* of all */
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct sockaddr_storage from[BATCH];
	uint8_t requests[BATCH][IN_BYTES];
	uint8_t answers[BATCH][STUN_RESPONSE_BYTES_MAX];
};

static unsigned answer(struct stun_server *s, unsigned n)
{
	unsigned m = 0;

	for (unsigned i = 0; i < n; i++) {
		uint8_t tx_id[STUN_TX_ID_BYTES];
		struct msghdr *in = &s->in[i].msg_hdr;
		struct endpoint from;

		if (in->msg_flags & MSG_TRUNC ||
		    stun_request_parse(s->requests[i], s->in[i].msg_len, tx_id) != STUN_OK ||
		    endpoint_from_sockaddr(in->msg_name, in->msg_namelen, &from))
			continue;
		s->out_iov[m].iov_base = s->answers[m];
		s->out_iov[m].iov_len = stun_response(s->answers[m], tx_id, &from);
		s->out[m].msg_hdr = (struct msghdr){
			.msg_name = in->msg_name,
			.msg_namelen = in->msg_namelen,
			.msg_iov = &s->out_iov[m],
			.msg_iovlen = 1,
		};
		m++;
	}
	return m;
}

static void serve(struct stun_server *s, int fd)
{
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		s->in_iov[i] = (struct iovec){s->requests[i], IN_BYTES};
		s->in[i].msg_hdr = (struct msghdr){
			.msg_name = &s->from[i],
			.msg_namelen = sizeof(s->from[i]),
			.msg_iov = &s->in_iov[i],
			.msg_iovlen = 1,
		};
	}
	n = recvmmsg(fd, s->in, BATCH, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return;
	for (unsigned m = answer(s, (unsigned)n), at = 0; at < m;) {
		int sent = sendmmsg(fd, s->out + at, m - at, MSG_DONTWAIT);

		/* The first of them cannot be sent, or the socket is full: the asker asks again. */
		at += sent > 0 ? (unsigned)sent : 1;
	}
}

static void *stun_main(void *arg)
{
	struct stun_server *s = arg;

	for (;;) {
		if (poll(s->fds, s->count, -1) < 0 && errno != EINTR)
			return NULL;
		if (s->fds[0].revents)
			return NULL;
		for (unsigned i = 1; i < s->count; i++)
			if (s->fds[i].revents)
				serve(s, s->fds[i].fd);
	}
}

static int open_socket(const struct endpoint *e)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(e, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int off = 0, rc;

	if (fd < 0)
		return -errno;
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&ss, len)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void free_server(struct stun_server *s)
{
	for (unsigned i = 0; i < s->count; i++)
		close(s->fds[i].fd);
	free(s);
}

int stun_server_start(const struct endpoint *listens, unsigned count, struct stun_server **out,
		      unsigned *bad)
{
	struct stun_server *s = calloc(1, sizeof(*s));
	int rc = 0;

	*bad = 0;
	if (!s)
		return -ENOMEM;
	s->fds[0] = (struct pollfd){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
	s->count = 1;
	for (unsigned i = 0; i < count && i < SOCKETS_MAX; i++) {
		int fd = open_socket(&listens[i]);

		if (fd < 0) {
			*bad = i;
			free_server(s);
			return fd;
		}
		s->fds[s->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	rc = -pthread_create(&s->thread, NULL, stun_main, s);
	if (rc) {
		free_server(s);
		return rc;
	}
	*out = s;
	return 0;
}

void stun_server_stop(struct stun_server *s)
{
	uint64_t one = 1;

	if (!s)
		return;
	if (write(s->fds[0].fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
		pthread_join(s->thread, NULL);
	free_server(s);
}
