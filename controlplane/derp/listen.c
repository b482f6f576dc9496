/* SPDX-License-Identifier: Apache-2.0 */
/* The listening sockets of a worker, and how its connections are set up. */
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/derp/client.h"

#define ACCEPTS_A_TURN	64
#define LISTEN_BACKLOG	1024
#define USER_TIMEOUT_MS 15000
#define NOT_SENT_BYTES	262144
/* To a client that is nearer than this no more than NEAR_WINDOW need be under way. */
#define NEAR_US	     1000
#define NEAR_WINDOW  65536
#define SEGMENT_MOST 15500

/*
 * What a sender has under way while the relay has no time for it is age and nothing else.
 * The window follows the way: a near client fills a small one.
 */
static void bound_window(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int near = NEAR_WINDOW;

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_rtt < NEAR_US)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &near, sizeof(near));
}

void listen_accept(struct worker *w, int listen_fd)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		int fd = accept4(listen_fd, (struct sockaddr *)&ss, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		int on = 1, timeout = USER_TIMEOUT_MS, low = NOT_SENT_BYTES;
		struct endpoint from;

		if (fd < 0)
			return;
		if (atomic_load(&w->relay->clients) >= w->relay->limits.max_clients ||
		    endpoint_from_sockaddr((struct sockaddr *)&ss, len, &from)) {
			COUNT(w, refused, 1);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
		/* What waits shall wait with us, where it can be dropped. */
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof(low));
		if (w->relay->limits.receive_window)
			bound_window(fd);
		client_accept(w, fd, &from);
	}
}

int listen_on(const struct endpoint *e, const struct relay_limits *limits)
{
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(e, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, off = 0, window = (int)limits->receive_window, segment = SEGMENT_MOST, rc;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	/* Inherited. It bounds what a sender has in flight while the relay has no time for it. */
	if (window)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	/*
	 * More than any Ethernet's. With the loopback's 64 KiB a sender's kernel buffers 2.6 to
	 * 4 MB from the start (so many times ten segments), all of it age while the relay is
	 * busy; with this 500 KB. Still shorter ones make it wait more often for a
	 * retransmission, when frames of mixed sizes overrun our receive buffer.
	 */
	setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment));
	if (bind(fd, (struct sockaddr *)&ss, len) || listen(fd, LISTEN_BACKLOG)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
