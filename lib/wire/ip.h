/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv4 and IPv6 packets: the headers as structs of bytes, and the one parser
 * that stages, filter and captures share. What it calls a packet's protocol is
 * what the packet filter of a tailnet means by it (docs/protocol/tunnel.md, the
 * section on the packet parser); WireGuard's own needs (family, total length,
 * source) are the fields before.
 *
 * No allocation, no clock, one pass; any thread. Integers in struct ip_info are
 * in host order.
 */
#ifndef LIB_WIRE_IP_H
#define LIB_WIRE_IP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/wire/be.h"

#define IP_V4_HEADER_BYTES   20
#define IP_V6_HEADER_BYTES   40
#define IP_V6_FRAGMENT_BYTES 8
#define IP_UDP_HEADER_BYTES  8
#define IP_TCP_HEADER_BYTES  20
#define IP_TTL_DEFAULT	     64

struct ip_v4_header {
	uint8_t version_ihl; /* 4 bits each; the second in units of 4 bytes */
	uint8_t tos;	     /* DSCP 6, ECN 2 */
	wire_be16 total_len;
	wire_be16 id;
	wire_be16 fragment; /* IP_V4_DF, IP_V4_MF, offset in units of 8 bytes */
	uint8_t ttl;
	uint8_t protocol;
	wire_be16 checksum;
	uint8_t src[4];
	uint8_t dst[4];
};

#define IP_V4_DF	  0x4000
#define IP_V4_MF	  0x2000
#define IP_V4_OFFSET_MASK 0x1fff

struct ip_v6_header {
	wire_be32 version_class_flow; /* 4, 8 and 20 bits */
	wire_be16 payload_len;
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t src[16];
	uint8_t dst[16];
};

struct ip_v6_fragment_header {
	uint8_t next_header;
	uint8_t reserved;
	wire_be16 fragment; /* offset in units of 8 bytes << 3, IP_V6_MF */
	wire_be32 id;
};

#define IP_V6_MF 0x0001

struct ip_udp_header {
	wire_be16 src_port;
	wire_be16 dst_port;
	wire_be16 len; /* header included */
	wire_be16 checksum;
};

struct ip_tcp_header {
	wire_be16 src_port;
	wire_be16 dst_port;
	wire_be32 seq;
	wire_be32 ack;
	uint8_t offset; /* upper 4 bits: header length in units of 4 bytes */
	uint8_t flags;
	wire_be16 window;
	wire_be16 checksum;
	wire_be16 urgent;
};

struct ip_icmp_header {
	uint8_t type;
	uint8_t code;
	wire_be16 checksum;
	wire_be32 rest; /* echo: identifier and sequence; too big: the MTU */
};

static_assert(sizeof(struct ip_v4_header) == IP_V4_HEADER_BYTES, "IPv4");
static_assert(offsetof(struct ip_v4_header, ttl) == 8, "IPv4 ttl");
static_assert(offsetof(struct ip_v4_header, src) == 12, "IPv4 src");
static_assert(sizeof(struct ip_v6_header) == IP_V6_HEADER_BYTES, "IPv6");
static_assert(offsetof(struct ip_v6_header, hop_limit) == 7, "IPv6 hop limit");
static_assert(offsetof(struct ip_v6_header, src) == 8, "IPv6 src");
static_assert(sizeof(struct ip_v6_fragment_header) == IP_V6_FRAGMENT_BYTES, "IPv6 fragment");
static_assert(sizeof(struct ip_udp_header) == IP_UDP_HEADER_BYTES, "UDP");
static_assert(sizeof(struct ip_tcp_header) == IP_TCP_HEADER_BYTES, "TCP");
static_assert(offsetof(struct ip_tcp_header, flags) == 13, "TCP flags");
static_assert(offsetof(struct ip_tcp_header, checksum) == 16, "TCP checksum");
static_assert(sizeof(struct ip_icmp_header) == 8, "ICMP");

#define IP_TCP_FIN 0x01
#define IP_TCP_SYN 0x02
#define IP_TCP_RST 0x04
#define IP_TCP_PSH 0x08
#define IP_TCP_ACK 0x10
#define IP_TCP_URG 0x20
#define IP_TCP_ECE 0x40
#define IP_TCP_CWR 0x80

/* What ip_info.proto may hold besides any number of the registry. */
enum ip_proto {
	IP_PROTO_UNKNOWN = 0, /* not to be let through: see ip_parse */
	IP_PROTO_ICMP = 1,
	IP_PROTO_IGMP = 2,
	IP_PROTO_TCP = 6,
	IP_PROTO_UDP = 17,
	IP_PROTO_V6_FRAGMENT = 44,
	IP_PROTO_ICMPV6 = 58,
	IP_PROTO_TSMP = 99,
	IP_PROTO_SCTP = 132,
	IP_PROTO_FRAGMENT = 255, /* a fragment that is not the first */
};

enum ip_parse_error {
	IP_PARSE_RUNT = -1,	   /* empty, or less than the base header of its version */
	IP_PARSE_BAD_VERSION = -2, /* neither 4 nor 6 */
	IP_PARSE_BAD_LENGTH = -3,  /* total length beyond the data or below the base header,
				      or an IPv4 header length below 20 */
};

struct ip_info {
	const uint8_t *src;	  /* 4 or 16 bytes inside the packet */
	const uint8_t *dst;	  /* the same */
	uint32_t total_len;	  /* header and payload; at most the len that was given */
	uint16_t header_len;	  /* IPv4 with options, IPv6 base header; at most total_len */
	uint16_t l4_offset;	  /* behind options or fragment header; at most total_len */
	uint16_t fragment_offset; /* bytes */
	uint16_t src_port;	  /* TCP, UDP, SCTP; else 0 */
	uint16_t dst_port;
	uint8_t family;	   /* AF_INET or AF_INET6 */
	uint8_t proto;	   /* enum ip_proto, as the filter sees it */
	uint8_t tcp_flags; /* TCP, else 0 */
	uint8_t icmp_type; /* ICMP of the packet's own family, else 0 */
	uint8_t icmp_code;
	uint8_t ttl; /* or hop limit */
	uint8_t tos; /* or traffic class; the low 2 bits are ECN */
	bool is_fragment;
	bool more_fragments;
	bool dont_fragment; /* IPv4 */
};

/*
 * 0, or a (negative) ip_parse_error. Bytes behind the total length are ignored.
 * proto becomes IP_PROTO_UNKNOWN, with the rest of the fields set, where
 *   - the transport header is cut (ICMP 4, IGMP 8, TCP 20, UDP 8, SCTP 12, TSMP 7
 *     bytes must be there, also in a first fragment),
 *   - the IPv4 header length points beyond the total length,
 *   - a later fragment begins below 80 bytes, so could overwrite that header,
 *   - TSMP over IPv4 is fragmented,
 *   - the number on the wire is 0 or 255.
 * Of IPv6's extension headers only a fragment header right behind the base
 * header is understood; another one's number is the protocol.
 */
int ip_parse_any(const uint8_t *data, size_t len, struct ip_info *out);

/*
 * IPv4 without options, no fragment, UDP or TCP whose header is there: nothing of
 * it can be wrong but the total length. False: not that, and *out is untouched.
 */
static inline bool ip_parse_plain(const uint8_t *data, size_t len, struct ip_info *out)
{
	const struct ip_v4_header *h = (const struct ip_v4_header *)data;
	const struct ip_tcp_header *l4 = (const struct ip_tcp_header *)(h + 1);
	uint32_t total_len, l4_min;
	uint16_t fragment;

	if (len < IP_V4_HEADER_BYTES + IP_UDP_HEADER_BYTES || h->version_ihl != 0x45)
		return false;
	fragment = be16_get(&h->fragment);
	total_len = be16_get(&h->total_len);
	if (h->protocol == IP_PROTO_UDP)
		l4_min = IP_UDP_HEADER_BYTES;
	else if (h->protocol == IP_PROTO_TCP)
		l4_min = IP_TCP_HEADER_BYTES;
	else
		return false;
	if ((fragment & (IP_V4_MF | IP_V4_OFFSET_MASK)) || total_len > len ||
	    total_len < IP_V4_HEADER_BYTES + l4_min)
		return false;
	*out = (struct ip_info){
		.src = h->src,
		.dst = h->dst,
		.total_len = total_len,
		.header_len = IP_V4_HEADER_BYTES,
		.l4_offset = IP_V4_HEADER_BYTES,
		.src_port = be16_get(&l4->src_port),
		.dst_port = be16_get(&l4->dst_port),
		.family = AF_INET,
		.proto = h->protocol,
		.tcp_flags = l4_min == IP_TCP_HEADER_BYTES ? l4->flags : 0,
		.ttl = h->ttl,
		.tos = h->tos,
		.dont_fragment = fragment & IP_V4_DF,
	};
	return true;
}

/* As ip_parse_any, with a short cut for what most packets are. */
static inline int ip_parse(const uint8_t *data, size_t len, struct ip_info *out)
{
	return ip_parse_plain(data, len, out) ? 0 : ip_parse_any(data, len, out);
}

static inline bool ip_is_tcp_syn(const struct ip_info *ip)
{
	return ip->proto == IP_PROTO_TCP &&
	       (ip->tcp_flags & (IP_TCP_SYN | IP_TCP_ACK)) == IP_TCP_SYN;
}

/*
 * Where the payload of an unfragmented UDP packet lies and how long it is by the
 * UDP header. False: not such a packet, or a length field that does not fit.
 */
bool ip_udp_payload(const uint8_t *data, const struct ip_info *ip, uint32_t *offset, uint32_t *len);

#endif
