/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/tun_split.h"

#include <errno.h>

/* The field holds the pseudo header's sum; everything from csum_start on is added. */
static int finish_checksum(const struct virtio_net_hdr *vnet, uint8_t *packet, size_t len)
{
	size_t start = vnet->csum_start;
	size_t field = start + vnet->csum_offset;
	uint16_t sum;

	if (start >= len || field + sizeof(wire_be16) > len)
		return -EBADMSG;
	sum = ip_checksum(packet + start, len - start);
	/* Zero means "none" in UDP; its equal 0xffff is what goes out (RFC 768). */
	if (!sum && vnet->csum_offset == offsetof(struct ip_udp_header, checksum))
		sum = 0xffff;
	be16_put((wire_be16 *)(packet + field), sum);
	return TUN_SPLIT_SINGLE;
}

static bool is_gso_type(const struct tun_headers *h, uint8_t type)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return h->proto == IP_PROTO_TCP && !h->is_v6;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return h->proto == IP_PROTO_TCP && h->is_v6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return h->proto == IP_PROTO_UDP;
	default:
		return false;
	}
}

int tun_split_open(struct tun_split *s, const struct virtio_net_hdr *vnet, uint8_t *packet,
		   size_t len)
{
	bool needs_csum = vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (needs_csum)
			return finish_checksum(vnet, packet, len);
		return TUN_SPLIT_SINGLE;
	}
	*s = (struct tun_split){.packet = packet, .gso_size = vnet->gso_size};
	if (!s->gso_size || len > TUN_PACKET_MAX || tun_headers_parse(&s->h, packet, len))
		return -EBADMSG;
	if (!is_gso_type(&s->h, vnet->gso_type))
		return -EBADMSG;
	if (needs_csum && vnet->csum_start != s->h.l4)
		return -EBADMSG;
	s->payload_bytes = (uint32_t)len - s->h.payload;
	return s->payload_bytes ? TUN_SPLIT_SUPER : -EBADMSG;
}

static void finish_ip(const struct tun_split *s, uint8_t *out, uint32_t len)
{
	struct ip_v4_header *v4 = (struct ip_v4_header *)out;

	if (!s->h.is_v6)
		be16_put(&v4->id, (uint16_t)(be16_get(&v4->id) + s->index));
	tun_headers_set_len(&s->h, out, len);
}

static void finish_tcp(const struct tun_split *s, struct ip_tcp_header *tcp, bool is_last)
{
	be32_put(&tcp->seq, be32_get(&tcp->seq) + s->done_bytes);
	if (!is_last)
		tcp->flags &= (uint8_t) ~(IP_TCP_FIN | IP_TCP_PSH);
	if (s->index)
		tcp->flags &= (uint8_t)~IP_TCP_CWR;
}

static void finish_transport(const struct tun_split *s, uint8_t *out, uint32_t len, bool is_last,
			     uint64_t payload_sum)
{
	uint32_t l4_len = len - s->h.l4;
	wire_be16 *field = tun_headers_checksum(&s->h, out);
	uint64_t sum = payload_sum + tun_headers_pseudo(&s->h, out, l4_len);
	uint16_t check;

	if (s->h.proto == IP_PROTO_TCP)
		finish_tcp(s, (struct ip_tcp_header *)(out + s->h.l4), is_last);
	else
		be16_put(&((struct ip_udp_header *)(out + s->h.l4))->len, (uint16_t)l4_len);
	be16_put(field, 0);
	check = ip_sum_finish(ip_sum(sum, out + s->h.l4, (size_t)s->h.payload - s->h.l4));
	if (!check && s->h.proto == IP_PROTO_UDP)
		check = 0xffff;
	be16_put(field, check);
}

uint32_t tun_split_next(struct tun_split *s, uint8_t *out)
{
	uint32_t len = tun_split_room(s);
	const uint8_t *payload = s->packet + s->h.payload + s->done_bytes;
	uint64_t sum;
	uint32_t size;

	if (!len)
		return 0;
	size = len - s->h.payload;
	/*
	 * Of the source: the copy is still on its way to the cache, and loads that
	 * straddle its stores would wait for them.
	 */
	sum = ip_sum(0, payload, size);
	memcpy(out, s->packet, s->h.payload);
	memcpy(out + s->h.payload, payload, size);
	finish_ip(s, out, len);
	finish_transport(s, out, len, s->done_bytes + size == s->payload_bytes, sum);
	s->done_bytes += size;
	s->index++;
	return len;
}
