/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Header parsing for the XDP programs. A cursor walks the frame; each parser
 * returns the next protocol, or a negative parse_error that says why the packet
 * is not one of the simple ones the dataplane takes. Parsers check lengths both
 * against the bytes present (the verifier's business) and against the lengths
 * the headers claim (ours: the kernel would check them, and it sees none of the
 * packets that are redirected).
 */
#ifndef EBPF_PARSE_H
#define EBPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IPV4_FRAGMENT_MASK 0x3fff /* more-fragments flag and offset, RFC 791 */

enum parse_error {
	PARSE_MALFORMED = -1,
	PARSE_VLAN = -2,
	PARSE_NOT_IP = -3,
	PARSE_FRAGMENT = -4,
	PARSE_OPTIONS = -5,
};

struct cursor {
	void *pos;
	void *end;	  /* of the bytes that may be read directly */
	__u32 left_bytes; /* from pos to the end of the packet as its headers bound it so far */
};

static __always_inline void cursor_init(struct cursor *c, struct xdp_md *ctx)
{
	c->pos = (void *)(long)ctx->data;
	c->end = (void *)(long)ctx->data_end;
	c->left_bytes = bpf_xdp_get_buff_len(ctx);
}

/* ETH_P_IP or ETH_P_IPV6 (host order), or an error. */
static __always_inline int parse_eth(struct cursor *c, struct ethhdr **eth)
{
	struct ethhdr *h = c->pos;

	if ((void *)(h + 1) > c->end)
		return PARSE_MALFORMED;
	c->pos = h + 1;
	c->left_bytes -= sizeof(*h);
	*eth = h;

	switch (bpf_ntohs(h->h_proto)) {
	case ETH_P_IP:
		return ETH_P_IP;
	case ETH_P_IPV6:
		return ETH_P_IPV6;
	case ETH_P_8021Q:
	case ETH_P_8021AD:
		return PARSE_VLAN;
	default:
		return PARSE_NOT_IP;
	}
}

/* The IP protocol, or an error. Leaves left_bytes at the payload's length. */
static __always_inline int parse_ipv4(struct cursor *c, struct iphdr **ip)
{
	struct iphdr *h = c->pos;
	__u32 total_bytes;

	if ((void *)(h + 1) > c->end || h->version != 4 || h->ihl < 5)
		return PARSE_MALFORMED;
	total_bytes = bpf_ntohs(h->tot_len);
	if (total_bytes < h->ihl * 4u || total_bytes > c->left_bytes)
		return PARSE_MALFORMED;
	if (h->ihl != 5)
		return PARSE_OPTIONS;
	if (h->frag_off & bpf_htons(IPV4_FRAGMENT_MASK))
		return PARSE_FRAGMENT;
	c->pos = h + 1;
	c->left_bytes = total_bytes - sizeof(*h);
	*ip = h;
	return h->protocol;
}

static __always_inline int is_ipv6_extension(__u8 next_header)
{
	switch (next_header) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case 139: /* HIP, RFC 7401 */
	case 140: /* Shim6, RFC 5533 */
	case 253: /* experiments, RFC 4727 */
	case 254:
		return 1;
	default:
		return 0;
	}
}

/* The upper-layer protocol, or an error. Leaves left_bytes at the payload's length. */
static __always_inline int parse_ipv6(struct cursor *c, struct ipv6hdr **ip6)
{
	struct ipv6hdr *h = c->pos;
	__u32 payload_bytes;

	if ((void *)(h + 1) > c->end || h->version != 6)
		return PARSE_MALFORMED;
	payload_bytes = bpf_ntohs(h->payload_len);
	if (payload_bytes + sizeof(*h) > c->left_bytes)
		return PARSE_MALFORMED;
	if (h->nexthdr == IPPROTO_FRAGMENT)
		return PARSE_FRAGMENT;
	if (is_ipv6_extension(h->nexthdr))
		return PARSE_OPTIONS;
	c->pos = h + 1;
	c->left_bytes = payload_bytes;
	*ip6 = h;
	return h->nexthdr;
}

/* The destination port (network order), or an error. */
static __always_inline int parse_udp(struct cursor *c)
{
	struct udphdr *h = c->pos;
	__u32 len_bytes;

	if ((void *)(h + 1) > c->end)
		return PARSE_MALFORMED;
	len_bytes = bpf_ntohs(h->len);
	if (len_bytes < sizeof(*h) || len_bytes > c->left_bytes)
		return PARSE_MALFORMED;
	c->pos = h + 1;
	c->left_bytes = len_bytes - sizeof(*h);
	return h->dest;
}

#endif
