/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/packets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/node/dp_path.h"
#include "lib/base/log.h"
#include "lib/dpapi/dpapi_msg.h"
#include "lib/wire/wg.h"

#define BATCH	    8
#define GRO_MAX	    65536
#define CONTROL_MAX 256
/* Receives of BATCH at one wake-up of one socket, so that others get their turn. */
#define ROUNDS	  16
#define PORTS_MAX 64

struct socket_slot {
	struct packets *owner;
	uv_poll_t *poll; /* closes in its own time */
	int fd;
	uint16_t local_port; /* index of the dataplane's port */
};

struct packets {
	uv_loop_t *loop;
	struct counters *counters;
	packets_handshake_fn *cb;
	void *arg;
	packets_lane_fn *lane_cb;
	void *lane_arg;
	packets_other_fn *other_cb;
	void *other_arg;
	packets_channel_fn *channel_cb;
	void *channel_arg;
	struct socket_slot slots[DPAPI_FDS_MAX];
	unsigned udp_count;
	struct socket_slot channel;
	int fd_v4[PORTS_MAX], fd_v6[PORTS_MAX]; /* slot + 1 of a port, 0 = none */
	uint8_t control[BATCH][CONTROL_MAX];
	uint8_t buf[BATCH][GRO_MAX];
};

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void slot_close(struct socket_slot *s)
{
	if (s->poll) {
		uv_poll_stop(s->poll);
		uv_close((uv_handle_t *)s->poll, free_handle);
	}
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct socket_slot){.fd = -1};
}

static int slot_open(struct packets *p, struct socket_slot *s, int fd, uv_poll_cb cb)
{
	int err;

	*s = (struct socket_slot){.owner = p, .fd = fd};
	s->poll = calloc(1, sizeof(*s->poll));
	if (!s->poll)
		return -ENOMEM;
	err = uv_poll_init(p->loop, s->poll, fd);
	if (err) {
		free(s->poll);
		s->poll = NULL;
		return err;
	}
	s->poll->data = s;
	return uv_poll_start(s->poll, UV_READABLE, cb);
}

static void send_to_channel(struct packets *p, const uint8_t *data, size_t len, uint8_t tos,
			    const struct dpapi_path *from)
{
	struct dpapi_chan_hdr hdr = {
		.kind = DPAPI_CHAN_SEALED,
		.outer_tos = tos,
		.len = (uint32_t)len,
		.path = *from,
	};
	struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {(void *)(uintptr_t)data, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

	if (p->channel.fd < 0 || sendmsg(p->channel.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		counters_add(p->counters, CONTROL_CHANNEL_FULL);
}

static void on_datagram(struct packets *p, const uint8_t *data, size_t len, uint8_t tos,
			const struct dpapi_path *from)
{
	int type = wg_msg_classify(data, len);

	if (type != WG_MSG_DATA && p->other_cb && from->kind == DPAPI_PATH_UDP &&
	    p->other_cb(p->other_arg, data, len, from))
		return;
	switch (type) {
	case WG_MSG_INITIATION:
	case WG_MSG_RESPONSE:
	case WG_MSG_COOKIE:
		p->cb(p->arg, type, data, len, from);
		return;
	case WG_MSG_DATA:
		send_to_channel(p, data, len, tos, from);
		return;
	case WG_PARSE_RUNT:
		counters_add(p->counters, CONTROL_RUNT);
		return;
	case WG_PARSE_BAD_LENGTH:
		counters_add(p->counters, CONTROL_BAD_LENGTH);
		return;
	default:
		counters_add(p->counters, CONTROL_UNKNOWN_TYPE);
		return;
	}
}

/* The size of the glued datagrams, or 0: it is one. Also the outer TOS. */
static size_t read_control(struct msghdr *msg, uint8_t *tos)
{
	size_t segment = 0;

	*tos = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			segment = size > 0 ? (size_t)size : 0;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			*tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int value;

			memcpy(&value, CMSG_DATA(c), sizeof(value));
			*tos = (uint8_t)value;
		}
	}
	return segment;
}

static void on_received(struct socket_slot *s, struct msghdr *msg, const uint8_t *data, size_t len)
{
	struct endpoint ep;
	struct dpapi_path from;
	uint8_t tos;
	size_t segment = read_control(msg, &tos);

	if (endpoint_from_sockaddr(msg->msg_name, msg->msg_namelen, &ep))
		return;
	from = dp_path_direct(&ep, s->local_port);
	if (segment == 0 || segment > len)
		segment = len;
	do {
		size_t n = len < segment ? len : segment;

		on_datagram(s->owner, data, n, tos, &from);
		data += n;
		len -= n;
	} while (len > 0);
}

/* Datagrams taken; 0 = nothing is there. An ICMP error of an earlier send is taken, too. */
static int receive_batch(struct socket_slot *s)
{
	struct packets *p = s->owner;
	struct sockaddr_storage names[BATCH];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){p->buf[i], GRO_MAX};
		/* The control length is the kernel's answer, too: set anew each time. */
		msgs[i].msg_hdr = (struct msghdr){
			.msg_name = &names[i],
			.msg_namelen = sizeof(names[i]),
			.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_control = p->control[i],
			.msg_controllen = CONTROL_MAX,
		};
	}
	n = recvmmsg(s->fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EBADF ? 0 : 1;
	for (int i = 0; i < n; i++)
		on_received(s, &msgs[i].msg_hdr, p->buf[i], msgs[i].msg_len);
	return n;
}

static void receive_udp(struct socket_slot *s)
{
	for (int i = 0; i < ROUNDS && s->fd >= 0; i++)
		if (!receive_batch(s))
			return;
}

static void on_udp(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	receive_udp(poll->data);
}

void packets_send_lane(struct packets *p, uint32_t peer_id, uint32_t local_index,
		       const struct dpapi_path *to, const uint8_t *data, size_t len)
{
	struct dpapi_chan_lane lane = {.local_index = local_index};
	struct dpapi_chan_hdr hdr = {
		.kind = DPAPI_CHAN_LANE_OUT,
		.peer_id = peer_id,
		.len = (uint32_t)(sizeof(lane) + len),
		.path = *to,
	};
	struct iovec iov[3] = {
		{&hdr, sizeof(hdr)}, {&lane, sizeof(lane)}, {(void *)(uintptr_t)data, len}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};

	if (p->channel.fd < 0 || sendmsg(p->channel.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		counters_add(p->counters, CONTROL_CHANNEL_FULL);
}

static void on_lane_message(struct packets *p, const struct dpapi_chan_hdr *hdr,
			    const uint8_t *data)
{
	struct dpapi_chan_lane lane;

	if (hdr->len < sizeof(lane) || !p->lane_cb)
		return;
	memcpy(&lane, data, sizeof(lane));
	p->lane_cb(p->lane_arg, hdr->peer_id, lane.local_index, &hdr->path, data + sizeof(lane),
		   hdr->len - sizeof(lane));
}

static void on_channel_message(struct packets *p, const uint8_t *data, size_t len)
{
	struct dpapi_chan_hdr hdr;

	if (len < sizeof(hdr))
		return;
	memcpy(&hdr, data, sizeof(hdr));
	if (hdr.len == len - sizeof(hdr) && hdr.kind == DPAPI_CHAN_LANE_IN) {
		on_lane_message(p, &hdr, data + sizeof(hdr));
		return;
	}
	if (hdr.len == len - sizeof(hdr) && hdr.kind == DPAPI_CHAN_SEALED && p->channel_cb) {
		if (p->channel_cb(p->channel_arg, hdr.peer_id, data + sizeof(hdr), hdr.len))
			counters_add(p->counters, CONTROL_DERP_DROPPED);
		return;
	}
	if (hdr.len != len - sizeof(hdr) || hdr.kind != DPAPI_CHAN_RAW ||
	    wg_msg_classify(data + sizeof(hdr), hdr.len) == WG_MSG_DATA) {
		/* A type 4 that came back would go round for ever. */
		counters_add(p->counters, CONTROL_CHANNEL_UNWANTED);
		return;
	}
	on_datagram(p, data + sizeof(hdr), hdr.len, hdr.outer_tos, &hdr.path);
}

static void receive_channel(struct packets *p)
{
	for (int i = 0; i < ROUNDS * BATCH && p->channel.fd >= 0; i++) {
		uint8_t *buf = p->buf[0];
		ssize_t n = recv(p->channel.fd, buf, sizeof(p->buf), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			slot_close(&p->channel);
		if (n <= 0)
			return;
		on_channel_message(p, buf, (size_t)n);
	}
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct socket_slot *s = poll->data;

	(void)events;
	if (status < 0)
		slot_close(s);
	else
		receive_channel(s->owner);
}

int packets_open(uv_loop_t *loop, struct counters *counters, packets_handshake_fn *cb, void *arg,
		 struct packets **out)
{
	struct packets *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->counters = counters;
	p->cb = cb;
	p->arg = arg;
	p->channel.fd = -1;
	*out = p;
	return 0;
}

void packets_on_lane(struct packets *p, packets_lane_fn *cb, void *arg)
{
	p->lane_cb = cb;
	p->lane_arg = arg;
}

void packets_on_other(struct packets *p, packets_other_fn *cb, void *arg)
{
	p->other_cb = cb;
	p->other_arg = arg;
}

void packets_on_channel(struct packets *p, packets_channel_fn *cb, void *arg)
{
	p->channel_cb = cb;
	p->channel_arg = arg;
}

void packets_receive(struct packets *p, const uint8_t *data, size_t len,
		     const struct dpapi_path *from)
{
	on_datagram(p, data, len, 0, from);
}

void packets_close(struct packets *p)
{
	if (!p)
		return;
	packets_drop_fds(p);
	free(p);
}

void packets_drop_fds(struct packets *p)
{
	for (unsigned i = 0; i < p->udp_count; i++)
		slot_close(&p->slots[i]);
	p->udp_count = 0;
	slot_close(&p->channel);
	memset(p->fd_v4, 0, sizeof(p->fd_v4));
	memset(p->fd_v6, 0, sizeof(p->fd_v6));
}

int packets_set_fds(struct packets *p, const int *fds, unsigned nfds)
{
	int err = 0;

	packets_drop_fds(p);
	for (unsigned i = 0; i < nfds; i++) {
		bool is_channel = i + 1 == nfds;
		struct socket_slot *s = is_channel ? &p->channel : &p->slots[p->udp_count++];
		int rc = slot_open(p, s, fds[i], is_channel ? on_channel : on_udp);

		if (rc && !err)
			err = rc;
	}
	return err;
}

void packets_set_port(struct packets *p, const struct dpapi_port *port)
{
	if (port->index >= PORTS_MAX || port->udp_fd_v4 > p->udp_count ||
	    port->udp_fd_v6 > p->udp_count) {
		log_warn("dp.bad_port", "index=%u", port->index);
		return;
	}
	p->fd_v4[port->index] = (int)port->udp_fd_v4;
	p->fd_v6[port->index] = (int)port->udp_fd_v6;
	if (port->udp_fd_v4)
		p->slots[port->udp_fd_v4 - 1].local_port = port->index;
	if (port->udp_fd_v6)
		p->slots[port->udp_fd_v6 - 1].local_port = port->index;
}

void packets_poll(struct packets *p)
{
	for (unsigned i = 0; i < p->udp_count; i++)
		receive_udp(&p->slots[i]);
}

static void map_to_v6(struct sockaddr_storage *ss, const struct endpoint *ep)
{
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	*sin6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(ep->port)};
	memset(sin6->sin6_addr.s6_addr + 10, 0xff, 2);
	memcpy(sin6->sin6_addr.s6_addr + 12, ep->addr.bytes, 4);
}

int packets_send(struct packets *p, const struct dpapi_path *to, const void *data, size_t len)
{
	struct endpoint ep = dp_path_endpoint(to);
	struct sockaddr_storage ss;
	socklen_t ss_len;
	int slot;

	if (to->kind == DPAPI_PATH_CHANNEL && p->channel_cb)
		return p->channel_cb(p->channel_arg, to->vni, data, len);
	if (to->kind != DPAPI_PATH_UDP || to->local_port >= PORTS_MAX)
		return -EDESTADDRREQ;
	ss_len = endpoint_to_sockaddr(&ep, &ss);
	slot = ep.addr.family == AF_INET6 ? p->fd_v6[to->local_port] : p->fd_v4[to->local_port];
	if (!slot && ep.addr.family == AF_INET && p->fd_v6[to->local_port]) {
		/* One socket for both families; a V6ONLY one says ENETUNREACH. */
		slot = p->fd_v6[to->local_port];
		map_to_v6(&ss, &ep);
		ss_len = sizeof(struct sockaddr_in6);
	}
	if (!slot)
		return -ENOTCONN;
	/* An ICMP error to an earlier datagram comes back here, once. */
	for (int i = 0; i < 2; i++) {
		if (sendto(p->slots[slot - 1].fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL,
			   (struct sockaddr *)&ss, ss_len) >= 0)
			return 0;
		if (errno != ECONNREFUSED && errno != EHOSTUNREACH)
			break;
	}
	return -errno;
}
