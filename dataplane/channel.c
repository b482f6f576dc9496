/* SPDX-License-Identifier: Apache-2.0 */
/* See channel.h. */
#include "dataplane/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "lib/wire/lane.h"

#define CHANNEL_BUFFER_BYTES (1u << 20)
#define CHANNEL_SLOT_BYTES   (PACKET_HEADROOM + 65536u + PACKET_TAILROOM)

/* What channel_rx hands out points in here. Worker 0 only. */
struct channel_slot {
	struct dpapi_chan_hdr hdr;
	uint8_t bytes[CHANNEL_SLOT_BYTES];
};

static struct channel_slot *slot;

int channel_open(int *ours, int *theirs)
{
	int size = CHANNEL_BUFFER_BYTES;
	int fds[2];

	if (!slot) {
		slot = calloc(1, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ours = fds[0];
	*theirs = fds[1];
	return 0;
}

static enum dpapi_chan_kind chan_kind(const struct packet *p)
{
	switch ((enum packet_kind)p->kind) {
	case PACKET_INNER:
		return DPAPI_CHAN_INNER_IN;
	case PACKET_SEALED:
		return DPAPI_CHAN_SEALED;
	case PACKET_LANE:
		return DPAPI_CHAN_LANE_IN;
	default:
		return DPAPI_CHAN_RAW;
	}
}

void channel_tx(struct worker *w, struct batch *b)
{
	int fd = __atomic_load_n(&w->dp->channel_fd, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		struct dpapi_chan_hdr h = {
			.kind = (uint8_t)chan_kind(p),
			.outer_tos = p->outer_tos,
			.peer_id = p->kind == PACKET_SEALED ? p->peer_out : p->peer_in,
			.len = p->len,
			.path = {.kind = DPAPI_PATH_UDP, .local_port = p->port_in},
		};
		struct dpapi_chan_lane lane = {.local_index = p->session};
		struct iovec iov[3] = {{&h, sizeof(h)}, {&lane, 0}, {p->data, p->len}};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};

		if (p->drop != DROP_NONE || p->out != PACKET_OUT_CHANNEL)
			continue;
		if (h.kind == DPAPI_CHAN_LANE_IN) {
			iov[1].iov_len = sizeof(lane);
			h.len += (uint32_t)sizeof(lane);
			h.path.lane = (uint8_t)packet_lane(p);
		}
		if (p->remote)
			h.path.remote = *p->remote;
		if (fd < 0 || sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			packet_drop(p, DROP_CHANNEL_FULL);
		else if (h.kind == DPAPI_CHAN_RAW)
			w->stats.raw_to_control++;
	}
}

/* Is it a message that the dataplane takes, and whole? */
static bool is_good(const struct channel_slot *s, size_t got, const struct dataplane *dp)
{
	if (got < sizeof(s->hdr) || got - sizeof(s->hdr) != s->hdr.len || s->hdr.len > 65535)
		return false;
	if (s->hdr.path.local_port >= dp->port_count)
		return false;
	if (s->hdr.kind == DPAPI_CHAN_LANE_OUT)
		return s->hdr.peer_id != PEER_NONE &&
		       s->hdr.path.lane <= dp->ports[s->hdr.path.local_port].lanes &&
		       s->hdr.path.remote.family && s->hdr.len > sizeof(struct dpapi_chan_lane) &&
		       s->hdr.len <= sizeof(struct dpapi_chan_lane) + LANE_MSG_BYTES;
	if (s->hdr.kind == DPAPI_CHAN_INNER_OUT)
		return s->hdr.peer_id != PEER_NONE && s->hdr.len <= dp->mtu_max;
	/* RAW: a segment that the kernel glued behind causewayd's own; classify judges it. */
	return s->hdr.kind == DPAPI_CHAN_SEALED || s->hdr.kind == DPAPI_CHAN_RAW;
}

static void add_lane(struct packet *p, const struct channel_slot *s)
{
	struct dpapi_chan_lane lane;

	memcpy(&lane, p->data, sizeof(lane));
	p->kind = PACKET_LANE;
	p->data += sizeof(lane);
	p->len = (uint16_t)(p->len - sizeof(lane));
	p->headroom += (uint8_t)sizeof(lane);
	p->session = lane.local_index;
	p->peer_out = s->hdr.peer_id;
	p->remote = &s->hdr.path.remote;
	p->vni_lane = (uint32_t)s->hdr.path.lane << PACKET_LANE_SHIFT;
	p->port_out = (uint8_t)s->hdr.path.local_port;
}

static void add(struct batch *b, struct channel_slot *s)
{
	struct packet *p;

	b->port_in = (uint8_t)s->hdr.path.local_port;
	p = batch_add(b);
	p->data = s->bytes + PACKET_HEADROOM;
	p->len = (uint16_t)s->hdr.len;
	p->headroom = PACKET_HEADROOM;
	p->tailroom = PACKET_TAILROOM;
	if (s->hdr.kind == DPAPI_CHAN_LANE_OUT) {
		add_lane(p, s);
		return;
	}
	if (s->hdr.kind == DPAPI_CHAN_INNER_OUT) {
		p->kind = PACKET_INNER;
		p->peer_out = s->hdr.peer_id;
		return;
	}
	p->kind = PACKET_DATA;
	p->flags = PACKET_FROM_OUTSIDE;
	p->outer_tos = s->hdr.outer_tos;
	p->remote = s->hdr.path.remote.family ? &s->hdr.path.remote : NULL;
}

unsigned channel_rx(struct worker *w, struct batch *b, bool *is_outside)
{
	int fd = __atomic_load_n(&w->dp->channel_fd, __ATOMIC_ACQUIRE);

	/* One message a call: kinds take different ways, and this is no fast path. */
	while (fd >= 0 && b->n == 0) {
		struct iovec iov[2] = {{&slot->hdr, sizeof(slot->hdr)},
				       {slot->bytes + PACKET_HEADROOM, 65535}};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t got = recvmsg(fd, &m, MSG_DONTWAIT);

		if (got <= 0)
			break;
		if ((m.msg_flags & MSG_TRUNC) || !is_good(slot, (size_t)got, w->dp)) {
			w->stats.drop[DROP_CHANNEL_BAD]++;
			continue;
		}
		w->stats.raw_from_control++;
		*is_outside = slot->hdr.kind != DPAPI_CHAN_INNER_OUT &&
			      slot->hdr.kind != DPAPI_CHAN_LANE_OUT;
		add(b, slot);
	}
	return b->n;
}
