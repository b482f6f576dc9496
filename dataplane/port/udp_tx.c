/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending datagrams: those of a batch that go to the same peer address with the
 * same TOS and length leave as one UDP_SEGMENT send, the last may be shorter.
 *
 *   batch   A100 B80 A100 B80 A60 A100
 *   sends   A100 A100 A60 | B80 B80 | A100         one sendmmsg
 *
 * A destination has one open send at most, so its datagrams keep their order
 * while several destinations may be interleaved.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "dataplane/port/udp.h"
#include "dataplane/port/udp_uapi.h"
#include "dataplane/worker.h"
#include "lib/base/clock.h"

#define OPEN_MAX     8
#define FULL_POLL_MS 1
/* After EIO the device on the way cannot segment: do not ask each time. */
#define NO_GSO_NS     (1 * NS_PER_SEC)
#define CONTROL_BYTES (CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t)))

struct send {
	const struct packet *head;
	uint32_t bytes;
	uint16_t size; /* of every datagram but the last */
	uint8_t first; /* index in the batch */
	uint8_t last;
	uint8_t count;
	bool is_open;
};

struct udp_tx {
	unsigned send_count;
	unsigned next_slot;
	uint64_t no_gso_until_ns;
	uint8_t open[OPEN_MAX]; /* index into send, + 1 */
	uint8_t next[BATCH_MAX];
	struct send send[BATCH_MAX];
	struct mmsghdr hdr[BATCH_MAX];
	struct iovec iov[BATCH_MAX];
	struct sockaddr_in6 name[BATCH_MAX];
	uint8_t control[BATCH_MAX][CONTROL_BYTES] __attribute__((aligned(8)));
};

struct udp_tx *udp_tx_new(void)
{
	return calloc(1, sizeof(struct udp_tx));
}

void udp_tx_free(struct udp_tx *tx)
{
	free(tx);
}

static bool is_same_remote(const struct packet *a, const struct packet *b)
{
	return a->remote == b->remote || !memcmp(a->remote, b->remote, sizeof(*a->remote));
}

static bool can_join(const struct send *s, const struct packet *p, uint32_t bytes_max)
{
	return p->len && p->len <= s->size && p->outer_tos == s->head->outer_tos &&
	       s->count < UDP_SEGMENTS_MAX && s->bytes + p->len <= bytes_max;
}

/* Closes the destination's open send if the packet cannot join it. */
static struct send *find_send(struct udp_tx *tx, const struct packet *p, uint32_t bytes_max)
{
	for (unsigned k = 0; k < OPEN_MAX; k++) {
		struct send *s = tx->open[k] ? &tx->send[tx->open[k] - 1] : NULL;

		if (!s || !s->is_open || !is_same_remote(s->head, p))
			continue;
		if (can_join(s, p, bytes_max))
			return s;
		s->is_open = false;
	}
	return NULL;
}

static void begin_send(struct udp_tx *tx, const struct packet *p, uint8_t i, bool with_gso)
{
	uint8_t *slot = &tx->open[tx->next_slot];
	struct send *s = &tx->send[tx->send_count];

	tx->send_count++;
	*s = (struct send){
		.head = p,
		.bytes = p->len,
		.size = p->len,
		.first = i,
		.last = i,
		.count = 1,
		.is_open = with_gso && p->len,
	};
	if (!s->is_open)
		return;
	if (*slot)
		tx->send[*slot - 1].is_open = false;
	*slot = (uint8_t)tx->send_count;
	tx->next_slot = (tx->next_slot + 1) % OPEN_MAX;
}

/* Of one family and lane: they have one socket. */
static void plan(struct udp_tx *tx, struct batch *b, uint8_t port, uint16_t family, unsigned lane,
		 bool with_gso)
{
	uint32_t bytes_max = family == AF_INET ? UDP_V4_BYTES_MAX : UDP_V6_BYTES_MAX;

	tx->send_count = 0;
	tx->next_slot = 0;
	memset(tx->open, 0, sizeof(tx->open));
	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = &b->pkts[i];
		struct send *s;

		if (p->drop || p->out != PACKET_OUT_UDP || p->port_out != port ||
		    p->remote->family != family || packet_lane(p) != lane)
			continue;
		s = find_send(tx, p, bytes_max);
		if (!s) {
			begin_send(tx, p, (uint8_t)i, with_gso);
			continue;
		}
		tx->next[s->last] = (uint8_t)i;
		s->last = (uint8_t)i;
		s->count++;
		s->bytes += p->len;
		s->is_open = p->len == s->size;
	}
}

static socklen_t write_name(struct sockaddr_in6 *name, const struct dpapi_addr *remote)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)name;

	if (remote->family == AF_INET) {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(remote->port)};
		memcpy(&v4->sin_addr, remote->bytes, 4);
		return sizeof(*v4);
	}
	*name = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(remote->port)};
	memcpy(&name->sin6_addr, remote->bytes, 16);
	return sizeof(*name);
}

static size_t add_control(uint8_t *at, int level, int type, const void *value, size_t len)
{
	struct cmsghdr c = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};

	memset(at, 0, CMSG_SPACE(len));
	memcpy(at, &c, sizeof(c));
	memcpy(at + CMSG_LEN(0), value, len);
	return CMSG_SPACE(len);
}

/* Returns the bytes of control messages written; segment 0 = no segmentation. */
static size_t write_control(uint8_t *control, const struct packet *p, uint16_t segment)
{
	int tos = p->outer_tos;
	size_t len = 0;

	if (tos && p->remote->family == AF_INET)
		len += add_control(control, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else if (tos)
		len += add_control(control, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	if (segment)
		len += add_control(control + len, IPPROTO_UDP, UDP_SEGMENT, &segment,
				   sizeof(segment));
	return len;
}

static void write_headers(struct udp_tx *tx, const struct batch *b)
{
	struct iovec *iov = tx->iov;

	for (unsigned k = 0; k < tx->send_count; k++) {
		const struct send *s = &tx->send[k];
		struct msghdr *h = &tx->hdr[k].msg_hdr;
		unsigned i = s->first;

		*h = (struct msghdr){.msg_name = &tx->name[k], .msg_iov = iov};
		h->msg_namelen = write_name(&tx->name[k], s->head->remote);
		h->msg_controllen =
			write_control(tx->control[k], s->head, s->count > 1 ? s->size : 0);
		h->msg_control = h->msg_controllen ? tx->control[k] : NULL;
		for (unsigned c = 0; c < s->count; c++) {
			const struct packet *p = &b->pkts[i];

			/* Sealed one behind the other: one piece to the kernel. */
			if (c && (uint8_t *)iov[-1].iov_base + iov[-1].iov_len == p->data)
				iov[-1].iov_len += p->len;
			else
				*iov++ = (struct iovec){p->data, p->len};
			i = tx->next[i];
		}
		h->msg_iovlen = (size_t)(iov - h->msg_iov);
	}
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

static void drop_send(struct udp_tx *tx, struct batch *b, const struct send *s, int error)
{
	unsigned i = s->first;

	for (unsigned c = 0; c < s->count; c++) {
		packet_drop(&b->pkts[i], is_full(error) ? DROP_TX_UDP_FULL : DROP_TX_UDP_ERROR);
		i = tx->next[i];
	}
}

/* The kernel does not segment this: every datagram by itself. */
static void send_apart(struct udp_tx *tx, int fd, struct worker *w, struct batch *b, unsigned k)
{
	const struct send *s = &tx->send[k];
	unsigned i = s->first;

	for (unsigned c = 0; c < s->count; c++) {
		struct packet *p = &b->pkts[i];
		struct iovec iov = {p->data, p->len};
		struct msghdr h = tx->hdr[k].msg_hdr;

		h.msg_iov = &iov;
		h.msg_iovlen = 1;
		h.msg_controllen = write_control(tx->control[k], p, 0);
		h.msg_control = h.msg_controllen ? tx->control[k] : NULL;
		w->stats.tx_udp_calls++;
		if (sendmsg(fd, &h, MSG_DONTWAIT) < 0)
			packet_drop(p, is_full(errno) ? DROP_TX_UDP_FULL : DROP_TX_UDP_ERROR);
		else
			w->stats.tx_outside++;
		i = tx->next[i];
	}
}

static bool is_refused_gso(const struct send *s, int error)
{
	return s->count > 1 && (error == EIO || error == EINVAL || error == EMSGSIZE ||
				error == EOPNOTSUPP || error == ENOPROTOOPT);
}

/* Send k failed at its head. Returns false if the rest need not be tried. */
static bool on_error(struct udp_tx *tx, int fd, struct worker *w, struct batch *b, unsigned k,
		     int error)
{
	if (is_refused_gso(&tx->send[k], error)) {
		if (error == EIO)
			tx->no_gso_until_ns = b->now_ns + NO_GSO_NS;
		send_apart(tx, fd, w, b, k);
		return true;
	}
	drop_send(tx, b, &tx->send[k], error);
	return error != EAGAIN;
}

static void send_all(struct udp_tx *tx, int fd, struct worker *w, struct batch *b)
{
	bool has_waited = false;
	unsigned k = 0;

	while (k < tx->send_count) {
		struct pollfd pfd = {.fd = fd, .events = POLLOUT};
		int n = sendmmsg(fd, tx->hdr + k, tx->send_count - k, MSG_DONTWAIT);
		int error = errno;

		w->stats.tx_udp_calls++;
		if (n > 0) {
			/* Why it stopped short comes with the next call. */
			for (; n > 0; n--)
				w->stats.tx_outside += tx->send[k++].count;
			continue;
		}
		if (error == EINTR)
			continue;
		if (error == EAGAIN && !has_waited) {
			has_waited = true;
			poll(&pfd, 1, FULL_POLL_MS);
			continue;
		}
		if (!on_error(tx, fd, w, b, k++, error))
			break;
	}
	for (; k < tx->send_count; k++)
		drop_send(tx, b, &tx->send[k], EAGAIN);
}

static void send_family(struct udp_group *g, struct worker *w, struct batch *b, uint8_t port,
			enum udp_family family, unsigned lane)
{
	struct udp_tx *tx = g->tx[w->id];
	int fd = lane ? g->lane_fd[family][lane - 1] : g->fd[family][w->id];

	plan(tx, b, port, family == UDP_V4 ? AF_INET : AF_INET6, lane,
	     g->has_gso && b->now_ns >= tx->no_gso_until_ns);
	if (fd < 0) {
		for (unsigned k = 0; k < tx->send_count; k++)
			drop_send(tx, b, &tx->send[k], EAFNOSUPPORT);
		return;
	}
	write_headers(tx, b);
	send_all(tx, fd, w, b);
}

void udp_tx(struct udp_group *g, struct worker *w, struct batch *b, uint8_t port)
{
	uint32_t lanes[UDP_FAMILIES] = {0, 0}; /* bit sets: lanes with packets */

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop || p->out != PACKET_OUT_UDP || p->port_out != port)
			continue;
		if (p->remote && packet_lane(p) <= LANE_MAX && p->remote->family == AF_INET)
			lanes[UDP_V4] |= 1u << packet_lane(p);
		else if (p->remote && packet_lane(p) <= LANE_MAX && p->remote->family == AF_INET6)
			lanes[UDP_V6] |= 1u << packet_lane(p);
		else
			packet_drop(p, DROP_TX_UDP_ERROR);
	}
	for (unsigned f = 0; f < UDP_FAMILIES; f++)
		for (uint32_t left = lanes[f]; left; left &= left - 1)
			send_family(g, w, b, port, (enum udp_family)f,
				    (unsigned)__builtin_ctz(left));
}
