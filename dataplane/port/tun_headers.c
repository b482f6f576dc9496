/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/port/tun_headers.h"

#include <errno.h>
#include <netinet/in.h>

static int parse_v4(struct tun_headers *h, const uint8_t *packet, size_t len)
{
	const struct ip_v4_header *ip = (const struct ip_v4_header *)packet;
	unsigned header;

	if (len < sizeof(*ip))
		return -EBADMSG;
	header = (ip->version_ihl & 0x0f) * 4u;
	if (header < sizeof(*ip) || header > len || be16_get(&ip->total_len) != len)
		return -EBADMSG;
	if (be16_get(&ip->fragment) & (IP_V4_MF | IP_V4_OFFSET_MASK))
		return -EPROTONOSUPPORT;
	h->proto = ip->protocol;
	h->l4 = (uint16_t)header;
	h->has_options = header != sizeof(*ip);
	return 0;
}

/* A routing header is not passed over: it changes the pseudo header. */
static int parse_v6(struct tun_headers *h, const uint8_t *packet, size_t len)
{
	const struct ip_v6_header *ip = (const struct ip_v6_header *)packet;
	size_t at = sizeof(*ip);
	uint8_t next;

	if (len < sizeof(*ip) || be16_get(&ip->payload_len) != len - sizeof(*ip))
		return -EBADMSG;
	next = ip->next_header;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS) {
		if (len - at < 8)
			return -EBADMSG;
		next = packet[at];
		at += (packet[at + 1] + 1u) * 8u;
		if (at > len)
			return -EBADMSG;
	}
	h->proto = next;
	h->l4 = (uint16_t)at;
	h->has_options = at != sizeof(*ip);
	return 0;
}

int tun_headers_parse(struct tun_headers *h, const uint8_t *packet, size_t len)
{
	size_t l4_bytes = IP_UDP_HEADER_BYTES;
	int rc;

	if (len < 1 || len > TUN_PACKET_MAX)
		return -EBADMSG;
	*h = (struct tun_headers){.is_v6 = packet[0] >> 4 == 6};
	if (h->is_v6)
		rc = parse_v6(h, packet, len);
	else
		rc = packet[0] >> 4 == 4 ? parse_v4(h, packet, len) : -EBADMSG;
	if (rc)
		return rc;
	if (h->proto != IP_PROTO_TCP && h->proto != IP_PROTO_UDP)
		return -EPROTONOSUPPORT;
	if (h->proto == IP_PROTO_TCP) {
		if (len - h->l4 < IP_TCP_HEADER_BYTES)
			return -EBADMSG;
		l4_bytes = ((const struct ip_tcp_header *)(packet + h->l4))->offset / 16 * 4u;
		if (l4_bytes < IP_TCP_HEADER_BYTES)
			return -EBADMSG;
	}
	if (len - h->l4 < l4_bytes)
		return -EBADMSG;
	h->payload = (uint16_t)(h->l4 + l4_bytes);
	return 0;
}

uint64_t tun_headers_pseudo(const struct tun_headers *h, const uint8_t *packet, uint32_t len)
{
	const struct ip_v4_header *v4 = (const struct ip_v4_header *)packet;
	const struct ip_v6_header *v6 = (const struct ip_v6_header *)packet;

	if (h->is_v6)
		return ip_sum_pseudo_v6(v6->src, v6->dst, h->proto, len);
	return ip_sum_pseudo_v4(v4->src, v4->dst, h->proto, len);
}

void tun_headers_set_len(const struct tun_headers *h, uint8_t *packet, uint32_t len)
{
	struct ip_v4_header *v4 = (struct ip_v4_header *)packet;
	struct ip_v6_header *v6 = (struct ip_v6_header *)packet;

	if (h->is_v6) {
		be16_put(&v6->payload_len, (uint16_t)(len - sizeof(*v6)));
		return;
	}
	be16_put(&v4->total_len, (uint16_t)len);
	ip_checksum_v4_set(v4);
}
