/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dataplane for tests of causewayd: speaks dpapi on a socket, owns a UDP socket
 * on loopback that it hands over, remembers what it was told, and forwards
 * nothing. Not a thread: fake_dp_poll() does what there is to do.
 */
#ifndef TESTS_UNIT_FAKE_DP_H
#define TESTS_UNIT_FAKE_DP_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/sock.h"
#include "lib/dpapi/dpapi_msg.h"

#define FAKE_DP_SESSIONS_MAX 64
#define FAKE_DP_SLOTS	     256

struct fake_dp {
	const char *path;
	int listen_fd, conn, channel, udp;
	uint16_t udp_port;
	uint64_t instance;
	uint16_t mtu_max;
	bool hold_acks; /* SESSION_SET is not answered */
	struct dpapi_hdr held[FAKE_DP_SESSIONS_MAX];
	unsigned held_count;
	/* what it was told */
	struct dpapi_peer_set peer;	/* the last one */
	struct dpapi_peer_del peer_del; /* the last one */
	unsigned peer_dels;
	struct dpapi_endpoint_set endpoint;
	struct dpapi_session_set sessions[FAKE_DP_SESSIONS_MAX];
	unsigned session_count;
	unsigned hellos, session_dels, keepalives, routes, barriers, rules;
	struct dpapi_counter counter; /* the last one that is not 0 */
};

static inline void fake_dp_open(struct fake_dp *d, const char *path)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int one = 1;

	*d = (struct fake_dp){
		.path = path, .conn = -1, .channel = -1, .instance = 1, .mtu_max = 9000};
	d->listen_fd = sock_unix_listen(path, SOCK_SEQPACKET, 0600);
	d->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bind(d->udp, (struct sockaddr *)&sin, sizeof(sin));
	getsockname(d->udp, (struct sockaddr *)&sin, &len);
	setsockopt(d->udp, SOL_UDP, UDP_GRO, &one, sizeof(one));
	d->udp_port = ntohs(sin.sin_port);
}

static inline void fake_dp_hang_up(struct fake_dp *d)
{
	if (d->conn >= 0)
		close(d->conn);
	if (d->channel >= 0)
		close(d->channel);
	d->conn = d->channel = -1;
	d->held_count = 0;
}

/* As after kill -9: another instance that has nothing. The port stays. */
static inline void fake_dp_restart(struct fake_dp *d)
{
	fake_dp_hang_up(d);
	d->instance++;
	d->session_count = 0;
	d->peer.id = 0;
}

static inline void fake_dp_close(struct fake_dp *d)
{
	fake_dp_hang_up(d);
	close(d->listen_fd);
	close(d->udp);
	unlink(d->path);
}

static inline void fake_dp_send(struct fake_dp *d, void *msg, size_t len)
{
	if (d->conn >= 0)
		dpapi_msg_send(d->conn, msg, len, NULL, 0);
}

static inline void fake_dp_ack(struct fake_dp *d, const struct dpapi_hdr *hdr)
{
	struct dpapi_ack ack = {
		.hdr = {.type = DPAPI_ACK, .seq = hdr->seq, .generation = hdr->generation},
		.type = hdr->type};

	fake_dp_send(d, &ack, sizeof(ack));
}

static inline void fake_dp_release_acks(struct fake_dp *d)
{
	d->hold_acks = false;
	for (unsigned i = 0; i < d->held_count; i++)
		fake_dp_ack(d, &d->held[i]);
	d->held_count = 0;
}

static inline void fake_dp_event(struct fake_dp *d, uint16_t type, uint32_t peer_id,
				 uint32_t local_index)
{
	struct dpapi_event e = {.hdr = {.type = type},
				.peer_id = peer_id,
				.local_index = local_index,
				.time_ns = clock_now_ns()};

	fake_dp_send(d, &e, sizeof(e));
}

/* The last session that was installed. */
static inline const struct dpapi_session_set *fake_dp_session(const struct fake_dp *d)
{
	return d->session_count ? &d->sessions[d->session_count - 1] : NULL;
}

static inline void fake_dp_hello(struct fake_dp *d)
{
	struct dpapi_hello_reply r = {.hdr = {.type = DPAPI_HELLO_REPLY},
				      .version = DPAPI_VERSION,
				      .instance = d->instance,
				      .session_slots = FAKE_DP_SLOTS,
				      .port_count = 1,
				      .udp_fds = 1,
				      .workers = 1};
	struct dpapi_port port = {.hdr = {.type = DPAPI_PORT},
				  .kind = DPAPI_PORT_KERNEL,
				  .listen_port = d->udp_port,
				  .mtu_max = d->mtu_max,
				  .udp_fd_v4 = 1};
	struct dpapi_dump_end end = {.hdr = {.type = DPAPI_DUMP_END}};
	int pair[2], fds[2];

	d->hellos++;
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
	d->channel = pair[0];
	fds[0] = d->udp;
	fds[1] = pair[1];
	dpapi_msg_send(d->conn, &r, sizeof(r), fds, 2);
	close(pair[1]);
	fake_dp_send(d, &port, sizeof(port));
	if (d->peer.id) {
		struct dpapi_peer_state p = {.hdr = {.type = DPAPI_PEER_STATE},
					     .id = d->peer.id,
					     .last_rx_ns = clock_now_ns(),
					     .path = d->endpoint.path};

		memcpy(p.public_key, d->peer.public_key, sizeof(p.public_key));
		fake_dp_send(d, &p, sizeof(p));
	}
	for (unsigned i = 0; i < d->session_count; i++) {
		const struct dpapi_session_set *s = &d->sessions[i];
		struct dpapi_session_state st = {.hdr = {.type = DPAPI_SESSION_STATE},
						 .peer_id = s->peer_id,
						 .local_index = s->local_index,
						 .remote_index = s->remote_index,
						 .flags = s->flags,
						 .born_ns = s->born_ns,
						 .expire_ns = s->expire_ns,
						 .is_current = i + 1 == d->session_count};

		fake_dp_send(d, &st, sizeof(st));
	}
	fake_dp_send(d, &end, sizeof(end));
}

static inline void fake_dp_on(struct fake_dp *d, const uint8_t *buf, size_t len)
{
	struct dpapi_hdr hdr;

	memcpy(&hdr, buf, sizeof(hdr));
	switch (hdr.type) {
	case DPAPI_HELLO:
		fake_dp_hello(d);
		return;
	case DPAPI_PEER_SET:
		memcpy(&d->peer, buf, sizeof(d->peer));
		break;
	case DPAPI_PEER_DEL:
		memcpy(&d->peer_del, buf, sizeof(d->peer_del));
		d->peer_dels++;
		break;
	case DPAPI_ENDPOINT_SET:
		memcpy(&d->endpoint, buf, sizeof(d->endpoint));
		break;
	case DPAPI_SESSION_SET:
		if (d->session_count < FAKE_DP_SESSIONS_MAX)
			memcpy(&d->sessions[d->session_count++], buf, sizeof(d->sessions[0]));
		if (d->hold_acks && d->held_count < FAKE_DP_SESSIONS_MAX) {
			d->held[d->held_count++] = hdr;
			return;
		}
		break;
	case DPAPI_SESSION_DEL:
		d->session_dels++;
		break;
	case DPAPI_SEND_KEEPALIVE:
		d->keepalives++;
		break;
	case DPAPI_ROUTE_SET:
		d->routes++;
		break;
	case DPAPI_RULES:
		d->rules++;
		break;
	case DPAPI_COUNTER: {
		struct dpapi_counter c;

		memcpy(&c, buf, sizeof(c));
		if (c.value)
			d->counter = c;
		break;
	}
	case DPAPI_BARRIER:
		d->barriers++;
		fake_dp_ack(d, &hdr);
		return;
	default:
		break;
	}
	(void)len;
	if (hdr.flags & DPAPI_WANT_ACK)
		fake_dp_ack(d, &hdr);
}

static inline void fake_dp_poll(struct fake_dp *d)
{
	static uint8_t buf[DPAPI_MSG_MAX];
	ssize_t n;

	if (d->conn < 0)
		d->conn = sock_accept(d->listen_fd);
	while (d->conn >= 0) {
		unsigned nfds = 0;

		n = dpapi_msg_recv(d->conn, buf, sizeof(buf), NULL, &nfds);
		if (n == -EAGAIN)
			return;
		if (n <= 0)
			fake_dp_hang_up(d);
		else
			fake_dp_on(d, buf, (size_t)n);
	}
}

#endif
