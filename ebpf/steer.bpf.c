// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * The XDP programs of the `xdp` port: which frames the dataplane takes from the
 * interfaces it shares with the kernel.
 *
 *   steer_wan   data messages (WireGuard type 4, plain or inside Geneve) to one of
 *               our ports at one of this host's addresses -> the queue's socket;
 *               handshake messages through a flood limiter -> kernel
 *   steer_lan   packets to a mesh prefix that need nothing special -> the queue's
 *               socket
 *
 * Everything else passes: what is rare or needs judgement (fragments, options,
 * extension headers, VLANs, ICMP errors to send) is the kernel's. Without a
 * socket, packets pass as well: the kernel holds `unreachable` routes for every
 * mesh prefix, so nothing leaves in the clear, and its UDP sockets get the
 * data messages. Every verdict is counted.
 *
 * One object holds both programs, so both sides share the maps; each is attached
 * by its own link. Needs Linux 5.18 (bpf_xdp_get_buff_len).
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "ebpf/limit.h"
#include "ebpf/maps.h"
#include "ebpf/message.h"
#include "ebpf/parse.h"

/* "GPL" is how the kernel spells its half of the dual licence. */
char LICENSE[] SEC("license") = "GPL";

/* UDP ports that are ours, network order; 0 = unused. Set before loading. */
const volatile __be16 listen_ports[STEER_PORTS_MAX];
/* And these, in a row, host order (docs/protocol/lanes.md). */
const volatile __u16 lane_first;
const volatile __u16 lane_count;

static __always_inline int verdict(enum steer_verdict v, int action)
{
	__u32 key = v;
	__u64 *count = bpf_map_lookup_elem(&counters, &key);

	if (count)
		(*count)++; /* per CPU, and XDP does not nest on one */
	return action;
}

#define PASS(name) verdict(STEER_##name, XDP_PASS)

static __always_inline int to_socket(struct xdp_md *ctx, const struct steer_iface *iface,
				     enum steer_verdict taken, enum steer_verdict no_socket)
{
	__u32 queue = ctx->rx_queue_index;
	int action = XDP_PASS;

	if (queue < STEER_QUEUES_MAX)
		action = bpf_redirect_map(&xsks_map, iface->xsk_base + queue, XDP_PASS);
	return verdict(action == XDP_REDIRECT ? taken : no_socket, action);
}

static __always_inline int is_for(const struct ethhdr *eth, const struct steer_iface *iface)
{
	const __u16 *a = (const void *)eth->h_dest, *b = (const void *)iface->mac;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2]; /* there is no memcmp in BPF */
}

static __always_inline void addr_from_ipv4(struct steer_addr *a, __be32 addr)
{
	__builtin_memset(a->addr, 0, 10);
	a->addr[10] = 0xff;
	a->addr[11] = 0xff;
	__builtin_memcpy(a->addr + 12, &addr, 4);
}

static __always_inline int is_our_port(__be16 port)
{
	if (!port)
		return 0;
#pragma unroll
	for (int i = 0; i < STEER_PORTS_MAX; i++)
		if (listen_ports[i] == port)
			return 1;
	return (__u32)bpf_ntohs(port) - lane_first < lane_count;
}

static __always_inline int wan_error(int error)
{
	switch (error) {
	case PARSE_VLAN:
		return PASS(WAN_VLAN);
	case PARSE_NOT_IP:
		return PASS(WAN_NOT_IP);
	case PARSE_FRAGMENT:
		return PASS(WAN_FRAGMENT);
	case PARSE_OPTIONS:
		return PASS(WAN_OPTIONS);
	default:
		return PASS(WAN_MALFORMED);
	}
}

static __always_inline int lan_error(int error)
{
	switch (error) {
	case PARSE_VLAN:
		return PASS(LAN_VLAN);
	case PARSE_NOT_IP:
		return PASS(LAN_NOT_IP);
	case PARSE_FRAGMENT:
		return PASS(LAN_FRAGMENT);
	case PARSE_OPTIONS:
		return PASS(LAN_OPTIONS);
	default:
		return PASS(LAN_MALFORMED);
	}
}

/* A datagram to our port and host; source is the one that the limiter knows. */
static __always_inline int wan_message(struct xdp_md *ctx, const struct steer_iface *iface,
				       struct cursor *c, const struct steer_addr *source)
{
	const __u8 *payload = c->pos;
	enum steer_verdict v;

	/* Shorter ones (NAT keepalives of one byte) are nobody's data or handshake. */
	if (c->left_bytes < MESSAGE_PEEK_BYTES || payload + MESSAGE_PEEK_BYTES > (__u8 *)c->end)
		return PASS(WAN_OTHER_MESSAGE);

	switch (message_kind(payload, c->left_bytes)) {
	case MESSAGE_DATA:
		return to_socket(ctx, iface, STEER_WAN_DATA, STEER_WAN_NO_SOCKET);
	case MESSAGE_DATA_GENEVE:
		return to_socket(ctx, iface, STEER_WAN_DATA_GENEVE, STEER_WAN_NO_SOCKET);
	case MESSAGE_HANDSHAKE:
		v = limit_handshake(source);
		return verdict(v, v == STEER_WAN_HANDSHAKE ? XDP_PASS : XDP_DROP);
	case MESSAGE_OTHER:
		break;
	}
	return PASS(WAN_OTHER_MESSAGE);
}

SEC("xdp")
int steer_wan(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct steer_iface *iface = bpf_map_lookup_elem(&ifaces, &ifindex);
	struct steer_addr source, local;
	struct ipv6hdr *ip6;
	struct ethhdr *eth;
	struct iphdr *ip;
	struct cursor c;
	int next;

	if (!iface)
		return PASS(WAN_NO_IFACE);
	cursor_init(&c, ctx);
	next = parse_eth(&c, &eth);
	if (next < 0)
		return wan_error(next);
	if (!is_for(eth, iface))
		return PASS(WAN_OTHER_MAC);

	if (next == ETH_P_IP) {
		next = parse_ipv4(&c, &ip);
		if (next < 0)
			return wan_error(next);
		addr_from_ipv4(&source, ip->saddr);
		addr_from_ipv4(&local, ip->daddr);
	} else {
		next = parse_ipv6(&c, &ip6);
		if (next < 0)
			return wan_error(next);
		/* One host owns a /64, so that is what the limiter counts. */
		__builtin_memcpy(source.addr, &ip6->saddr, 8);
		__builtin_memset(source.addr + 8, 0, 8);
		__builtin_memcpy(local.addr, &ip6->daddr, 16);
	}
	if (next != IPPROTO_UDP)
		return PASS(WAN_OTHER_PROTO);
	next = parse_udp(&c);
	if (next < 0)
		return wan_error(next);
	if (!is_our_port(next))
		return PASS(WAN_OTHER_PORT);
	if (!bpf_map_lookup_elem(&locals, &local))
		return PASS(WAN_OTHER_ADDR);
	return wan_message(ctx, iface, &c, &source);
}

static __always_inline int lan_forward(struct xdp_md *ctx, const struct steer_iface *iface,
				       const struct steer_prefix *prefix, __u8 hops, __u32 l3_bytes)
{
	if (!prefix)
		return PASS(LAN_NO_PREFIX);
	if (prefix->flags & STEER_PREFIX_KERNEL)
		return PASS(LAN_KERNEL_PREFIX);
	if (hops <= 1)
		return PASS(LAN_TTL);
	if (l3_bytes > prefix->mtu_bytes)
		return PASS(LAN_TOO_BIG);
	return to_socket(ctx, iface, STEER_LAN_MESH, STEER_LAN_NO_SOCKET);
}

/*
 * 224.0.0.0/3 holds multicast, reserved and broadcast; 127/8 and 0/8 are no one
 * else's destination; 169.254/16 ends at its link.
 */
static __always_inline int is_ipv4_forwardable(__be32 addr)
{
	__u32 a = bpf_ntohl(addr);

	return a < 0xe0000000 && a >> 24 != 127 && a >> 24 != 0 && a >> 16 != 0xa9fe;
}

static __always_inline int is_ipv6_forwardable(const struct in6_addr *a)
{
	const __u8 *b = a->s6_addr;

	return b[0] != 0xff && !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}

static __always_inline int lan_ipv4(struct xdp_md *ctx, const struct steer_iface *iface,
				    struct cursor *c)
{
	struct steer_key4 key = {.prefix_len = 32};
	struct steer_addr local;
	struct iphdr *ip;
	int next = parse_ipv4(c, &ip);

	if (next < 0)
		return lan_error(next);
	if (!is_ipv4_forwardable(ip->daddr))
		return PASS(LAN_SCOPE);
	addr_from_ipv4(&local, ip->daddr);
	if (bpf_map_lookup_elem(&locals, &local))
		return PASS(LAN_LOCAL);
	__builtin_memcpy(key.addr, &ip->daddr, 4);
	return lan_forward(ctx, iface, bpf_map_lookup_elem(&mesh4, &key), ip->ttl,
			   bpf_ntohs(ip->tot_len));
}

static __always_inline int lan_ipv6(struct xdp_md *ctx, const struct steer_iface *iface,
				    struct cursor *c)
{
	struct steer_key6 key = {.prefix_len = 128};
	struct steer_addr local;
	struct ipv6hdr *ip6;
	int next = parse_ipv6(c, &ip6);

	if (next < 0)
		return lan_error(next);
	/* A router never forwards from a link-local source either (RFC 4291 2.5.6). */
	if (!is_ipv6_forwardable(&ip6->daddr) || !is_ipv6_forwardable(&ip6->saddr))
		return PASS(LAN_SCOPE);
	__builtin_memcpy(local.addr, &ip6->daddr, 16);
	if (bpf_map_lookup_elem(&locals, &local))
		return PASS(LAN_LOCAL);
	__builtin_memcpy(key.addr, &ip6->daddr, 16);
	return lan_forward(ctx, iface, bpf_map_lookup_elem(&mesh6, &key), ip6->hop_limit,
			   sizeof(*ip6) + bpf_ntohs(ip6->payload_len));
}

SEC("xdp")
int steer_lan(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex;
	struct steer_iface *iface = bpf_map_lookup_elem(&ifaces, &ifindex);
	struct ethhdr *eth;
	struct cursor c;
	int next;

	if (!iface)
		return PASS(LAN_NO_IFACE);
	cursor_init(&c, ctx);
	next = parse_eth(&c, &eth);
	if (next < 0)
		return lan_error(next);
	if (!is_for(eth, iface))
		return PASS(LAN_OTHER_MAC);
	return next == ETH_P_IP ? lan_ipv4(ctx, iface, &c) : lan_ipv6(ctx, iface, &c);
}
