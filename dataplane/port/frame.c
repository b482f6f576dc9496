/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/frame.h"

#include <errno.h>
#include <string.h>

#include "dataplane/table/neigh.h"
#include "lib/wire/ecn.h"
#include "lib/wire/ether.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"

static uint8_t room(uint64_t bytes)
{
	return bytes > UINT8_MAX ? UINT8_MAX : (uint8_t)bytes;
}

static void set_bytes(struct packet *p, const struct frame *f, uint8_t *data, uint32_t len)
{
	p->mbuf = f->mbuf;
	p->data = data;
	p->len = (uint16_t)len;
	p->headroom = room((uint64_t)(data - f->start));
	p->tailroom = room((uint64_t)(f->end - (data + len)));
}

/* The IP packet inside the frame; its length without the frame's padding, or 0. */
static uint32_t ip_bytes(const struct frame *f)
{
	const struct ether_head *eth = (const struct ether_head *)f->data;
	const uint8_t *ip = f->data + ETHER_HEADER_BYTES;
	uint32_t have, len;

	if (f->len < ETHER_HEADER_BYTES + IP_V4_HEADER_BYTES)
		return 0;
	have = f->len - ETHER_HEADER_BYTES;
	if (be16_get(&eth->type) == ETHER_TYPE_IPV4) {
		const struct ip_v4_header *h = (const struct ip_v4_header *)ip;

		/* Steering lets no options through. */
		if (h->version_ihl != (4 << 4 | IP_V4_HEADER_BYTES / 4) ||
		    (!f->is_sum_ok && !ip_checksum_v4_plain_ok(h)))
			return 0;
		len = be16_get(&h->total_len);
		return len >= IP_V4_HEADER_BYTES && len <= have ? len : 0;
	}
	if (be16_get(&eth->type) == ETHER_TYPE_IPV6 && have >= IP_V6_HEADER_BYTES &&
	    ip[0] >> 4 == 6) {
		len = IP_V6_HEADER_BYTES +
		      be16_get(&((const struct ip_v6_header *)ip)->payload_len);
		return len <= have ? len : 0;
	}
	return 0;
}

enum drop_reason frame_inside(struct packet *p, const struct frame *f)
{
	uint32_t len = ip_bytes(f);

	p->mbuf = f->mbuf;
	if (!len)
		return DROP_RX_BAD_FRAME;
	set_bytes(p, f, f->data + ETHER_HEADER_BYTES, len);
	p->kind = PACKET_INNER;
	p->flags = PACKET_FROM_LAN;
	return DROP_NONE;
}

enum drop_reason frame_outside(struct packet *p, const struct frame *f, struct dpapi_addr *remote)
{
	uint8_t *ip = f->data + ETHER_HEADER_BYTES;
	uint32_t len = ip_bytes(f), header, udp_len;
	const struct ip_udp_header *udp;
	uint8_t proto;

	p->mbuf = f->mbuf;
	if (!len)
		return DROP_RX_BAD_FRAME;
	*remote = (struct dpapi_addr){0};
	if (ip[0] >> 4 == 4) {
		const struct ip_v4_header *h = (const struct ip_v4_header *)ip;

		header = IP_V4_HEADER_BYTES;
		proto = h->protocol;
		p->outer_tos = h->tos;
		remote->family = AF_INET;
		memcpy(remote->bytes, h->src, sizeof(h->src));
	} else {
		const struct ip_v6_header *h = (const struct ip_v6_header *)ip;

		header = IP_V6_HEADER_BYTES;
		proto = h->next_header;
		p->outer_tos = (uint8_t)(be32_get(&h->version_class_flow) >> 20);
		remote->family = AF_INET6;
		memcpy(remote->bytes, h->src, sizeof(h->src));
	}
	if (proto != IP_PROTO_UDP || len < header + IP_UDP_HEADER_BYTES)
		return DROP_RX_BAD_FRAME;
	udp = (const struct ip_udp_header *)(ip + header);
	udp_len = be16_get(&udp->len);
	if (udp_len < IP_UDP_HEADER_BYTES || udp_len > len - header)
		return DROP_RX_BAD_FRAME;
	remote->port = be16_get(&udp->src_port);
	p->remote = remote;
	/* The UDP checksum is not looked at: the message's own tag says more. */
	set_bytes(p, f, ip + header + IP_UDP_HEADER_BYTES, udp_len - IP_UDP_HEADER_BYTES);
	p->kind = PACKET_DATA;
	p->flags = PACKET_FROM_OUTSIDE;
	return DROP_NONE;
}

/* The bytes of an inner packet in an arena, or of a message in scratch, are elsewhere. */
static bool is_inside(const struct rte_mbuf *m, const struct packet *p, uint32_t front)
{
	const uint8_t *start = m->buf_addr;

	return p->data >= start + front && p->data + p->len <= start + m->buf_len;
}

/* An mbuf that holds p's bytes at f->data with `front` bytes free before them. */
static int place(struct frame *f, const struct packet *p, uint32_t front, struct rte_mempool *pool)
{
	struct rte_mbuf *m = p->mbuf;

	/* A port's buffers are of its own pool: so it may give them back in bulk. */
	if (m && m->pool == pool && is_inside(m, p, front)) {
		f->mbuf = m;
		f->data = p->data;
		return 0;
	}
	/* p's own mbuf may hold what the others of its super-packet still need. */
	m = rte_pktmbuf_alloc(pool);
	if (!m)
		return -ENOBUFS;
	if ((uint32_t)PACKET_HEADROOM + p->len > m->buf_len) {
		rte_pktmbuf_free(m);
		return -EINVAL;
	}
	f->mbuf = m;
	f->data = (uint8_t *)m->buf_addr + PACKET_HEADROOM;
	memcpy(f->data, p->data, p->len);
	return 0;
}

static void endpoint_of(struct endpoint *e, int family, const uint8_t *bytes, uint16_t port)
{
	*e = (struct endpoint){.addr.family = (uint8_t)family, .port = port};
	memcpy(e->addr.bytes, bytes, family == AF_INET ? 4 : 16);
}

/* The IPv4 and UDP header of an empty message, and the sum of what stays. */
static void ipv4_template(struct frame_hop *h)
{
	struct ip_v4_header *ip = (struct ip_v4_header *)(h->header + ETHER_HEADER_BYTES);
	struct udp_encap e = {.src = &h->src, .dst = &h->dst};

	udp_encap_build((uint8_t *)ip, &e, UDP_ENCAP_NONE, NULL, 0);
	be16_put(&ip->total_len, 0);
	be16_put(&ip->checksum, 0);
	h->sum = ip_sum_fold(ip_sum(0, ip, sizeof(*ip)));
}

int frame_hop_init(struct frame_hop *h, struct nexthop *n, const struct dpapi_addr *remote,
		   unsigned lane, const struct frame_outer *outer, uint64_t now_ns)
{
	struct ether_head *eth = (struct ether_head *)h->header;
	const struct neigh_source *source;

	if (!neigh_resolve(n, now_ns, eth->dst, &source))
		return -ENOENT;
	memcpy(eth->src, source->mac, sizeof(eth->src));
	h->netdev = n->netdev;
	h->header_bytes = ETHER_HEADER_BYTES;
	h->src.addr.family = 0;
	if (!remote)
		return 0;
	/* The source address is the interface's of the next hop's family. */
	if (!source->has_addr || n->family != remote->family)
		return -ENOENT;
	endpoint_of(&h->src, remote->family, source->addr,
		    lane ? (uint16_t)(outer->lane_first + lane - 1) : outer->listen_port);
	endpoint_of(&h->dst, remote->family, remote->bytes, remote->port);
	if (remote->family == AF_INET) {
		be16_put(&eth->type, ETHER_TYPE_IPV4);
		h->header_bytes += UDP_ENCAP_V4_BYTES;
		ipv4_template(h);
	} else {
		be16_put(&eth->type, ETHER_TYPE_IPV6);
		h->header_bytes += UDP_ENCAP_V6_BYTES;
	}
	return 0;
}

/* What differs from one packet to the next; TOS is its low byte, the ECN bits. */
static void ipv4_finish(uint8_t *header, const struct packet *p, const struct frame_hop *h,
			uint16_t id)
{
	struct ip_v4_header *ip = (struct ip_v4_header *)header;
	struct ip_udp_header *udp = (struct ip_udp_header *)(ip + 1);
	uint16_t udp_len = (uint16_t)(IP_UDP_HEADER_BYTES + p->len);
	uint16_t total = (uint16_t)(IP_V4_HEADER_BYTES + udp_len);
	uint8_t ecn = p->outer_tos & ECN_MASK;
	uint32_t sum = (uint32_t)h->sum + ecn + total + id;

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	ip->tos = ecn;
	be16_put(&ip->total_len, total);
	be16_put(&ip->id, id);
	be16_put(&ip->checksum, (uint16_t)~sum);
	be16_put(&udp->len, udp_len);
}

static int ipv6_finish(uint8_t *header, const struct packet *p, const struct frame_hop *h,
		       const uint8_t *message, bool is_partial)
{
	struct udp_encap e = {.src = &h->src, .dst = &h->dst, .ecn = p->outer_tos};

	return udp_encap_build(header, &e, is_partial ? UDP_ENCAP_PARTIAL : UDP_ENCAP_FULL, message,
			       p->len);
}

int frame_build(struct frame *f, const struct packet *p, const struct frame_hop *h,
		struct frame_outer *outer, struct rte_mempool *pool)
{
	const uint8_t *message;
	struct ether_head *eth;
	int rc;

	static_assert(FRAME_HEADER_MAX <= PACKET_HEADROOM, "copied packets have room in front");
	rc = place(f, p, h->header_bytes, pool);
	if (rc)
		return rc;
	message = f->data;
	f->data -= h->header_bytes;
	f->len = h->header_bytes + p->len;
	f->is_sum_partial = false;
	eth = (struct ether_head *)f->data;
	switch (h->src.addr.family) {
	case AF_INET:
		memcpy(f->data, h->header, ETHER_HEADER_BYTES + UDP_ENCAP_V4_BYTES);
		ipv4_finish((uint8_t *)(eth + 1), p, h, outer->next_id++);
		return 0;
	case AF_INET6:
		memcpy(f->data, h->header, ETHER_HEADER_BYTES);
		f->is_sum_partial = outer->sum_netdevs >> h->netdev & 1;
		if (ipv6_finish((uint8_t *)(eth + 1), p, h, message, f->is_sum_partial) >= 0)
			return 0;
		if (f->mbuf != p->mbuf)
			rte_pktmbuf_free(f->mbuf);
		return -EINVAL;
	default:
		memcpy(f->data, h->header, ETHER_HEADER_BYTES);
		be16_put(&eth->type, *message >> 4 == 4 ? ETHER_TYPE_IPV4 : ETHER_TYPE_IPV6);
		return 0;
	}
}
