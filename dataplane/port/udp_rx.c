/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving datagrams. A message of recvmmsg is a datagram, or with GRO many of
 * one flow and size glued together; the size comes in a control message.
 *
 *   slot   0        1        2        3       .. 63      64 KB each
 *          aabbcc   d        eeffgg
 *             ^cursor        ^ received, waits
 *
 * What does not fit into the batch waits for the next call. A call receives into
 * further slots only, so what it handed out before stays; once all is handed
 * out, the next call begins with slot 0 again, whose cache lines are warm.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "dataplane/port/arena.h"
#include "dataplane/port/udp.h"
#include "dataplane/port/udp_uapi.h"
#include "dataplane/worker.h"

#define SLOTS	   64
#define BURST	   8 /* messages a system call; 1 to 8 measured alike for bulk */
#define SLOT_BYTES 65536u
/* Off a power of two by three cache lines, or all slots would share cache sets. */
#define SLOT_STRIDE (SLOT_BYTES + 192u)
#define ARENA_BYTES ((size_t)SLOTS * SLOT_STRIDE)

/* One of IP_TOS, IPV6_TCLASS; and UDP_GRO. */
#define CONTROL_BYTES (2 * CMSG_SPACE(sizeof(int)))

struct message {
	uint32_t len;
	uint32_t done;	  /* bytes handed out */
	uint16_t segment; /* bytes a datagram, the last one may be shorter */
	uint8_t tos;
};

struct udp_rx {
	uint8_t *arena;
	unsigned cursor; /* first slot with bytes to hand out */
	unsigned count;	 /* slots received into */
	struct message message[SLOTS];
	struct dpapi_addr remote[SLOTS];
	struct mmsghdr hdr[BURST];
	struct iovec iov[BURST];
	struct sockaddr_in6 name[BURST];
	uint8_t control[BURST][CONTROL_BYTES] __attribute__((aligned(8)));
};

struct udp_rx *udp_rx_new(void)
{
	struct udp_rx *rx = calloc(1, sizeof(*rx));
	void *arena;

	if (!rx)
		return NULL;
	arena = arena_map(ARENA_BYTES);
	if (!arena) {
		free(rx);
		return NULL;
	}
	rx->arena = arena;
	return rx;
}

void udp_rx_free(struct udp_rx *rx)
{
	if (!rx)
		return;
	munmap(rx->arena, ARENA_BYTES);
	free(rx);
}

static uint8_t *slot(const struct udp_rx *rx, unsigned i)
{
	return rx->arena + (size_t)i * SLOT_STRIDE;
}

static void read_name(const struct sockaddr_in6 *name, struct dpapi_addr *out)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)name;

	*out = (struct dpapi_addr){.family = name->sin6_family};
	if (name->sin6_family == AF_INET) {
		memcpy(out->bytes, &v4->sin_addr, 4);
		out->port = ntohs(v4->sin_port);
	} else {
		memcpy(out->bytes, &name->sin6_addr, 16);
		out->port = ntohs(name->sin6_port);
	}
}

static void read_control(struct msghdr *hdr, struct message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		int value = 0;

		/* IP_TOS is a byte, the others are ints: little-endian, the byte is the low one. */
		memcpy(&value, CMSG_DATA(c),
		       c->cmsg_len - CMSG_LEN(0) < sizeof(value) ? 1 : sizeof(value));
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
			m->segment = value > 0 && value <= UINT16_MAX ? (uint16_t)value : 0;
		else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
			 (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS))
			m->tos = (uint8_t)value;
	}
}

static void accept_message(struct udp_rx *rx, struct worker *w, unsigned at)
{
	struct mmsghdr *h = &rx->hdr[at];
	unsigned i = rx->count;
	struct message *m = &rx->message[i];

	rx->count++;
	*m = (struct message){.len = h->msg_len};
	read_name(&rx->name[at], &rx->remote[i]);
	read_control(&h->msg_hdr, m);
	if (h->msg_hdr.msg_flags & MSG_TRUNC) {
		/* An empty range: nothing of it is handed out. */
		w->stats.drop[DROP_RX_TRUNCATED]++;
		m->len = 0;
		m->done = 1;
		return;
	}
	if (!m->segment)
		m->segment = (uint16_t)(m->len < UINT16_MAX ? m->len : UINT16_MAX);
}

/* True: there may be more. */
static bool receive(struct udp_rx *rx, int fd, struct worker *w)
{
	unsigned want = SLOTS - rx->count < BURST ? SLOTS - rx->count : BURST;
	int n;

	for (unsigned i = 0; i < want; i++) {
		rx->iov[i] = (struct iovec){slot(rx, rx->count + i), SLOT_BYTES};
		/* The kernel shortens controllen and namelen to what it wrote. */
		rx->hdr[i].msg_hdr = (struct msghdr){
			.msg_name = &rx->name[i],
			.msg_namelen = sizeof(rx->name[i]),
			.msg_iov = &rx->iov[i],
			.msg_iovlen = 1,
			.msg_control = rx->control[i],
			.msg_controllen = CONTROL_BYTES,
		};
	}
	do {
		n = recvmmsg(fd, rx->hdr, want, MSG_DONTWAIT, NULL);
		w->stats.rx_udp_calls++;
	} while (n < 0 && errno == EINTR);
	for (int i = 0; i < n; i++)
		accept_message(rx, w, (unsigned)i);
	return n == (int)want;
}

static void hand_out(struct udp_rx *rx, uint32_t vni_lane, struct batch *b)
{
	while (rx->cursor < rx->count) {
		struct message *m = &rx->message[rx->cursor];
		const uint8_t *base = slot(rx, rx->cursor);

		/* An empty datagram is one, too: then done goes past len. */
		while (m->done < m->len || (!m->len && !m->done)) {
			uint32_t left = m->len - m->done;
			struct packet *p;

			if (b->n == BATCH_MAX)
				return;
			p = batch_add(b);
			p->data = (uint8_t *)base + m->done;
			p->len = (uint16_t)(left < m->segment ? left : m->segment);
			p->remote = &rx->remote[rx->cursor];
			p->outer_tos = m->tos;
			p->vni_lane = vni_lane;
			p->kind = PACKET_DATA;
			p->flags = PACKET_FROM_OUTSIDE;
			m->done += p->len ? p->len : 1u;
		}
		rx->cursor++;
	}
}

unsigned udp_rx_from(struct udp_rx *rx, int fd, uint32_t vni_lane, struct worker *w,
		     struct batch *b)
{
	unsigned had = b->n;
	bool may_have_more = true;

	if (rx->cursor == rx->count)
		rx->cursor = rx->count = 0;
	hand_out(rx, vni_lane, b);
	while (b->n < BATCH_MAX && may_have_more && rx->count < SLOTS) {
		may_have_more = receive(rx, fd, w);
		hand_out(rx, vni_lane, b);
	}
	w->stats.rx_outside += b->n - had;
	return b->n - had;
}

unsigned udp_rx(struct udp_group *g, enum udp_family family, struct worker *w, struct batch *b)
{
	return udp_rx_from(g->rx[family][w->id], g->fd[family][w->id], 0, w, b);
}
