/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small inner packets with right checksums. The family follows from the
 * addresses' text. Every function returns the packet's length.
 */
#ifndef TESTS_UNIT_DP_PACKETS_H
#define TESTS_UNIT_DP_PACKETS_H

#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/bug.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"

#define PK_MAX 9100

static inline size_t pk_ip(uint8_t *out, const char *src, const char *dst, uint8_t proto,
			   const void *payload, size_t len)
{
	struct ip_v4_header *v4 = (struct ip_v4_header *)out;
	struct ip_v6_header *v6 = (struct ip_v6_header *)out;
	struct ip_addr s, d;

	BUG_ON(addr_parse(src, &s) < 0 || addr_parse(dst, &d) < 0 || s.family != d.family);
	if (s.family == AF_INET) {
		*v4 = (struct ip_v4_header){.version_ihl = 0x45, .ttl = 64, .protocol = proto};
		be16_put(&v4->total_len, (uint16_t)(IP_V4_HEADER_BYTES + len));
		memcpy(v4->src, s.bytes, 4);
		memcpy(v4->dst, d.bytes, 4);
		ip_checksum_v4_set(v4);
		memcpy(out + IP_V4_HEADER_BYTES, payload, len);
		return IP_V4_HEADER_BYTES + len;
	}
	*v6 = (struct ip_v6_header){.next_header = proto, .hop_limit = 64};
	be32_put(&v6->version_class_flow, 6u << 28);
	be16_put(&v6->payload_len, (uint16_t)len);
	memcpy(v6->src, s.bytes, 16);
	memcpy(v6->dst, d.bytes, 16);
	memcpy(out + IP_V6_HEADER_BYTES, payload, len);
	return IP_V6_HEADER_BYTES + len;
}

/* Is every checksum in it right? */
static inline bool pk_is_sound(const uint8_t *packet, size_t len)
{
	struct ip_info ip;

	if (ip_parse(packet, len, &ip) < 0)
		return false;
	if (ip.family == AF_INET && !ip_checksum_v4_ok((const struct ip_v4_header *)packet))
		return false;
	return ip_sum_transport(packet, &ip) == 0xffff;
}

static inline void pk_sum(uint8_t *packet, size_t len, size_t field)
{
	struct ip_info ip;

	BUG_ON(ip_parse(packet, len, &ip) < 0);
	be16_put((wire_be16 *)(packet + ip.l4_offset + field),
		 (uint16_t)~ip_sum_transport(packet, &ip));
}

static inline size_t pk_udp(uint8_t *out, const char *src, uint16_t sport, const char *dst,
			    uint16_t dport, size_t payload)
{
	static uint8_t l4[PK_MAX];
	struct ip_udp_header *udp = (struct ip_udp_header *)l4;
	size_t len = sizeof(*udp) + payload;

	memset(l4, 0, len);
	be16_put(&udp->src_port, sport);
	be16_put(&udp->dst_port, dport);
	be16_put(&udp->len, (uint16_t)len);
	for (size_t i = 0; i < payload; i++)
		l4[sizeof(*udp) + i] = (uint8_t)(i * 7 + 1);
	len = pk_ip(out, src, dst, IP_PROTO_UDP, l4, len);
	pk_sum(out, len, offsetof(struct ip_udp_header, checksum));
	return len;
}

/* options: len bytes, a multiple of four. */
static inline size_t pk_tcp(uint8_t *out, const char *src, const char *dst, uint8_t flags,
			    const uint8_t *options, size_t options_len, size_t payload)
{
	static uint8_t l4[PK_MAX];
	struct ip_tcp_header *tcp = (struct ip_tcp_header *)l4;
	size_t header = sizeof(*tcp) + options_len, len = header + payload;

	memset(l4, 0, len);
	be16_put(&tcp->src_port, 1000);
	be16_put(&tcp->dst_port, 22);
	be32_put(&tcp->seq, 0x12345678);
	tcp->offset = (uint8_t)(header / 4 << 4);
	tcp->flags = flags;
	be16_put(&tcp->window, 1024);
	if (options_len)
		memcpy(l4 + sizeof(*tcp), options, options_len);
	for (size_t i = 0; i < payload; i++)
		l4[header + i] = (uint8_t)(i * 11 + 3);
	len = pk_ip(out, src, dst, IP_PROTO_TCP, l4, len);
	pk_sum(out, len, offsetof(struct ip_tcp_header, checksum));
	return len;
}

/* TOS or traffic class of a packet made above. */
static inline void pk_set_tos(uint8_t *packet, uint8_t tos)
{
	struct ip_v4_header *v4 = (struct ip_v4_header *)packet;

	if (packet[0] >> 4 == 4) {
		v4->tos = tos;
		ip_checksum_v4_set(v4);
	} else {
		packet[0] = (uint8_t)(0x60 | tos >> 4);
		packet[1] = (uint8_t)((packet[1] & 0x0f) | tos << 4);
	}
}

static inline uint8_t pk_tos(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? packet[1] : (uint8_t)(packet[0] << 4 | packet[1] >> 4);
}

static inline void pk_set_ttl(uint8_t *packet, uint8_t ttl)
{
	struct ip_v4_header *v4 = (struct ip_v4_header *)packet;

	if (packet[0] >> 4 == 4) {
		v4->ttl = ttl;
		ip_checksum_v4_set(v4);
	} else {
		((struct ip_v6_header *)packet)->hop_limit = ttl;
	}
}

static inline uint8_t pk_ttl(const uint8_t *packet)
{
	return packet[0] >> 4 == 4 ? packet[8] : packet[7];
}

#endif
