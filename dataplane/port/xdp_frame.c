/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/xdp_frame.h"

#include <errno.h>
#include <string.h>

#include "dataplane/table/neigh.h"
#include "lib/wire/ether.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"

#define OUTER_BYTES_MAX (ETHER_HEADER_BYTES + UDP_ENCAP_V6_BYTES)

static uint8_t room(uint64_t bytes)
{
	return bytes > UINT8_MAX ? UINT8_MAX : (uint8_t)bytes;
}

static void set_bytes(struct packet *p, const struct xdp_frame *f, uint8_t *data, uint32_t len)
{
	uint8_t *start = f->mbuf->buf_addr;

	p->mbuf = f->mbuf;
	p->data = data;
	p->len = (uint16_t)len;
	p->headroom = room((uint64_t)(data - start));
	p->tailroom = room((uint64_t)(start + f->mbuf->buf_len - (data + len)));
}

/* The IP packet inside the frame; its length without the frame's padding, or 0. */
static uint32_t ip_bytes(const struct xdp_frame *f)
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
		if (h->version_ihl != (4 << 4 | IP_V4_HEADER_BYTES / 4) || !ip_checksum_v4_ok(h))
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

enum drop_reason xdp_frame_inside(struct packet *p, const struct xdp_frame *f)
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

enum drop_reason xdp_frame_outside(struct packet *p, const struct xdp_frame *f,
				   struct dpapi_addr *remote)
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

static bool is_inside(const struct rte_mbuf *m, const struct packet *p)
{
	const uint8_t *start = m->buf_addr;

	return p->data >= start && p->data + p->len <= start + m->buf_len;
}

/* An mbuf that holds p's bytes at f->data with `front` bytes free before them. */
static int place(struct xdp_frame *f, const struct packet *p, uint32_t front,
		 struct rte_mempool *pool)
{
	struct rte_mbuf *m = p->mbuf;

	if (m && is_inside(m, p) && p->data - (uint8_t *)m->buf_addr >= (ptrdiff_t)front) {
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

static int outer_headers(uint8_t *out, const struct packet *p, const uint8_t *message,
			 const struct neigh_source *source, struct xdp_outer *outer)
{
	bool is_v4 = p->remote->family == AF_INET;
	struct endpoint src, dst;
	struct udp_encap e = {
		.src = &src,
		.dst = &dst,
		.ecn = p->outer_tos,
	};

	endpoint_of(&src, p->remote->family, source->addr, outer->listen_port);
	endpoint_of(&dst, p->remote->family, p->remote->bytes, p->remote->port);
	if (is_v4)
		e.id = outer->next_id++;
	return udp_encap_build(out, &e, is_v4 ? UDP_ENCAP_NONE : UDP_ENCAP_FULL, message, p->len);
}

int xdp_frame_build(struct xdp_frame *f, const struct packet *p, struct nexthop *n,
		    struct xdp_outer *outer, struct rte_mempool *pool, uint64_t now_ns)
{
	const struct neigh_source *source;
	uint32_t front = ETHER_HEADER_BYTES;
	uint8_t mac[ETHER_ADDR_BYTES];
	struct ether_head *eth;
	bool is_v4;
	int rc;

	if (!neigh_resolve(n, now_ns, mac, &source))
		return -ENOENT;
	if (outer) {
		/* The source address is the interface's of the next hop's family. */
		if (!source->has_addr || n->family != p->remote->family)
			return -ENOENT;
		is_v4 = p->remote->family == AF_INET;
		front += is_v4 ? UDP_ENCAP_V4_BYTES : UDP_ENCAP_V6_BYTES;
	} else {
		is_v4 = p->data[0] >> 4 == 4;
	}
	static_assert(OUTER_BYTES_MAX <= PACKET_HEADROOM, "copied packets have room in front");
	rc = place(f, p, front, pool);
	if (rc)
		return rc;
	if (outer &&
	    outer_headers(f->data - (front - ETHER_HEADER_BYTES), p, f->data, source, outer) < 0) {
		if (f->mbuf != p->mbuf)
			rte_pktmbuf_free(f->mbuf);
		return -EINVAL;
	}
	f->data -= front;
	f->len = front + p->len;
	eth = (struct ether_head *)f->data;
	memcpy(eth->dst, mac, sizeof(eth->dst));
	memcpy(eth->src, source->mac, sizeof(eth->src));
	be16_put(&eth->type, is_v4 ? ETHER_TYPE_IPV4 : ETHER_TYPE_IPV6);
	return 0;
}
