// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Which queue of the TUN device, and so which worker, a packet of the kernel goes
 * to: by the hash of its flow, and nothing else.
 *
 * The device's own choice follows whoever wrote the answers: all that a peer sends
 * comes by one UDP socket to one worker, which would have to seal all that goes
 * to that peer as well. It also moves flows that are under way, which reorders
 * them.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

#define FRAGMENT_MASK 0x3fff	  /* more-fragments flag and offset, RFC 791 */
#define MIX	      0x9e3779b1u /* odd, its bits spread: 2^32 divided by the golden ratio */

static __always_inline __u32 mix(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * MIX;
	return hash ^ hash >> 15;
}

/* Fragments have no ports, so what is fragmented goes by its addresses. */
static __always_inline __u32 mix_ports(struct __sk_buff *skb, __u32 hash, __u8 proto, __u32 offset)
{
	__u32 ports;

	if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) &&
	    !bpf_skb_load_bytes(skb, offset, &ports, sizeof(ports)))
		hash = mix(hash, ports);
	return hash;
}

static __always_inline __u32 hash_ipv4(struct __sk_buff *skb)
{
	struct iphdr ip;
	__u32 hash;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 0;
	hash = mix(mix(ip.protocol, ip.saddr), ip.daddr);
	if (ip.frag_off & bpf_htons(FRAGMENT_MASK))
		return hash;
	return mix_ports(skb, hash, ip.protocol, ip.ihl * 4u);
}

static __always_inline __u32 hash_ipv6(struct __sk_buff *skb)
{
	struct ipv6hdr ip6;
	__u32 hash = 0;

	if (bpf_skb_load_bytes(skb, 0, &ip6, sizeof(ip6)))
		return 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		hash = mix(hash, ip6.saddr.s6_addr32[i]);
		hash = mix(hash, ip6.daddr.s6_addr32[i]);
	}
	return mix_ports(skb, hash, ip6.nexthdr, sizeof(ip6));
}

/* The device takes the low 16 bits, modulo the number of its queues. */
SEC("socket")
int choose_queue(struct __sk_buff *skb)
{
	__u32 hash;
	__u8 first;

	if (bpf_skb_load_bytes(skb, 0, &first, sizeof(first)))
		return 0;
	hash = first >> 4 == 6 ? hash_ipv6(skb) : hash_ipv4(skb);
	return (hash ^ hash >> 16) & 0xffff;
}
