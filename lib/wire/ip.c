/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/ip.h"

/* A later fragment that begins below this could replace a checked header. */
#define FRAGMENT_OFFSET_MIN 80

#define IGMP_MIN 8
#define ICMP_MIN 4
#define SCTP_MIN 12
#define TSMP_MIN 7

static void unknown(struct ip_info *ip)
{
	ip->proto = IP_PROTO_UNKNOWN;
}

static void ports(struct ip_info *ip, const uint8_t *l4)
{
	ip->src_port = be16_get((const wire_be16 *)l4);
	ip->dst_port = be16_get((const wire_be16 *)(l4 + 2));
}

static void icmp(struct ip_info *ip, const uint8_t *l4, uint32_t len)
{
	if (len < ICMP_MIN)
		return unknown(ip);
	ip->icmp_type = l4[0];
	ip->icmp_code = l4[1];
}

/* l4 points at len bytes of transport header and payload, offset 0 of the packet. */
static void transport(struct ip_info *ip, const uint8_t *l4, uint32_t len)
{
	switch (ip->proto) {
	case IP_PROTO_ICMP:
		/* In the other family the number has no meaning to us and is kept. */
		if (ip->family == AF_INET)
			icmp(ip, l4, len);
		return;
	case IP_PROTO_ICMPV6:
		if (ip->family == AF_INET6)
			icmp(ip, l4, len);
		return;
	case IP_PROTO_IGMP:
		if (ip->family == AF_INET && len < IGMP_MIN)
			unknown(ip);
		return;
	case IP_PROTO_TCP:
		if (len < IP_TCP_HEADER_BYTES)
			return unknown(ip);
		ip->tcp_flags = ((const struct ip_tcp_header *)l4)->flags;
		return ports(ip, l4);
	case IP_PROTO_UDP:
		if (len < IP_UDP_HEADER_BYTES)
			return unknown(ip);
		return ports(ip, l4);
	case IP_PROTO_SCTP:
		if (len < SCTP_MIN)
			return unknown(ip);
		return ports(ip, l4);
	case IP_PROTO_TSMP:
		if (len < TSMP_MIN || (ip->family == AF_INET && ip->is_fragment))
			unknown(ip);
		return;
	case IP_PROTO_FRAGMENT:
		/* On the wire the number is reserved; inside it means a later fragment. */
		return unknown(ip);
	default:
		return;
	}
}

static void payload(struct ip_info *ip, const uint8_t *data)
{
	if (ip->fragment_offset == 0)
		transport(ip, data + ip->l4_offset, ip->total_len - ip->l4_offset);
	else if (ip->fragment_offset < FRAGMENT_OFFSET_MIN)
		unknown(ip);
	else
		ip->proto = IP_PROTO_FRAGMENT;
}

static int parse_v4(const uint8_t *data, size_t len, struct ip_info *ip)
{
	const struct ip_v4_header *h = (const struct ip_v4_header *)data;
	uint16_t fragment, header_len;

	if (len < IP_V4_HEADER_BYTES)
		return IP_PARSE_RUNT;
	header_len = (uint16_t)((h->version_ihl & 15) * 4);
	ip->total_len = be16_get(&h->total_len);
	if (ip->total_len > len || ip->total_len < IP_V4_HEADER_BYTES ||
	    header_len < IP_V4_HEADER_BYTES)
		return IP_PARSE_BAD_LENGTH;

	fragment = be16_get(&h->fragment);
	ip->family = AF_INET;
	ip->src = h->src;
	ip->dst = h->dst;
	ip->proto = h->protocol;
	ip->ttl = h->ttl;
	ip->tos = h->tos;
	ip->fragment_offset = (uint16_t)((fragment & IP_V4_OFFSET_MASK) * 8);
	ip->more_fragments = fragment & IP_V4_MF;
	ip->dont_fragment = fragment & IP_V4_DF;
	ip->is_fragment = ip->more_fragments || ip->fragment_offset;
	if (header_len > ip->total_len) {
		ip->header_len = (uint16_t)ip->total_len;
		ip->l4_offset = (uint16_t)ip->total_len;
		unknown(ip);
		return 0;
	}
	ip->header_len = header_len;
	ip->l4_offset = header_len;
	payload(ip, data);
	return 0;
}

/* The fragment header behind the base header of an IPv6 packet. */
static void fragment_v6(struct ip_info *ip, const uint8_t *data)
{
	const struct ip_v6_fragment_header *f =
		(const struct ip_v6_fragment_header *)(data + IP_V6_HEADER_BYTES);
	uint16_t fragment;

	ip->is_fragment = true;
	if (ip->total_len - IP_V6_HEADER_BYTES < IP_V6_FRAGMENT_BYTES)
		return unknown(ip);
	fragment = be16_get(&f->fragment);
	ip->proto = f->next_header;
	ip->l4_offset = IP_V6_HEADER_BYTES + IP_V6_FRAGMENT_BYTES;
	ip->more_fragments = fragment & IP_V6_MF;
	ip->fragment_offset = fragment & ~7;
	payload(ip, data);
}

static int parse_v6(const uint8_t *data, size_t len, struct ip_info *ip)
{
	const struct ip_v6_header *h = (const struct ip_v6_header *)data;

	if (len < IP_V6_HEADER_BYTES)
		return IP_PARSE_RUNT;
	ip->total_len = IP_V6_HEADER_BYTES + (uint32_t)be16_get(&h->payload_len);
	if (ip->total_len > len)
		return IP_PARSE_BAD_LENGTH;

	ip->family = AF_INET6;
	ip->src = h->src;
	ip->dst = h->dst;
	ip->proto = h->next_header;
	ip->ttl = h->hop_limit;
	ip->tos = (uint8_t)(be32_get(&h->version_class_flow) >> 20);
	ip->header_len = IP_V6_HEADER_BYTES;
	ip->l4_offset = IP_V6_HEADER_BYTES;
	if (h->next_header == IP_PROTO_V6_FRAGMENT)
		fragment_v6(ip, data);
	else
		payload(ip, data);
	return 0;
}

int ip_parse_any(const uint8_t *data, size_t len, struct ip_info *out)
{
	*out = (struct ip_info){0};
	if (len == 0)
		return IP_PARSE_RUNT;
	switch (data[0] >> 4) {
	case 4:
		return parse_v4(data, len, out);
	case 6:
		return parse_v6(data, len, out);
	default:
		return len < IP_V4_HEADER_BYTES ? IP_PARSE_RUNT : IP_PARSE_BAD_VERSION;
	}
}

bool ip_udp_payload(const uint8_t *data, const struct ip_info *ip, uint32_t *offset, uint32_t *len)
{
	const struct ip_udp_header *udp;
	uint32_t udp_len;

	if (ip->proto != IP_PROTO_UDP || ip->is_fragment)
		return false;
	udp = (const struct ip_udp_header *)(data + ip->l4_offset);
	udp_len = be16_get(&udp->len);
	if (udp_len < IP_UDP_HEADER_BYTES || udp_len > ip->total_len - ip->l4_offset)
		return false;
	*offset = ip->l4_offset + IP_UDP_HEADER_BYTES;
	*len = udp_len - IP_UDP_HEADER_BYTES;
	return true;
}
