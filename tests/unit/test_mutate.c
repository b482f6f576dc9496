/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a million mutated packets (WireGuard messages, IP of both families,
 * Geneve) run through every parser of lib/wire without a fault, a read outside
 * the packet (with the address sanitizer) or an offset behind its end.
 * Usage: test_mutate [number of packets]
 */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/bug.h"
#include "lib/wire/ecn.h"
#include "lib/wire/geneve.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"
#include "lib/wire/udp_encap.h"
#include "lib/wire/wg.h"

#define PACKET_MAX 320
#define ROUNDS	   1000000ul

static uint64_t random_state = 0x452821e638d01377ull;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

/* How often each outcome came: a test that never gets past the door shows nothing. */
static struct {
	unsigned long wg_ok, wg_bad, ip_ok, ip_bad, transport, fragments, unknown, geneve, udp;
} seen;

static size_t make_wg(uint8_t *p)
{
	static const uint16_t sizes[] = {148, 92, 64, 32, 48, 128};
	uint32_t kind = random_u32() % ARRAY_SIZE(sizes);

	memset(p, 0, 4);
	p[0] = (uint8_t)(kind < 3 ? kind + 1 : 4);
	return sizes[kind];
}

static size_t make_ip(uint8_t *p, unsigned family)
{
	static const uint8_t protos[] = {1, 2, 6, 17, 47, 58, 99, 132, 255, 0};
	uint8_t proto = protos[random_u32() % ARRAY_SIZE(protos)];
	uint32_t body = random_u32() % 64;
	bool is_fragment = random_u32() % 4 == 0;

	if (family == AF_INET) {
		struct ip_v4_header *h = (struct ip_v4_header *)p;
		uint32_t options = random_u32() % 4;

		h->version_ihl = (uint8_t)(0x45 + options);
		h->protocol = proto;
		be16_put(&h->total_len, (uint16_t)(20 + options * 4 + body));
		be16_put(&h->fragment, is_fragment ? (uint16_t)random_u32() & 0x201f : 0);
		ip_checksum_v4_set(h);
		return 20 + options * 4 + body;
	}
	struct ip_v6_header *h = (struct ip_v6_header *)p;

	be32_put(&h->version_class_flow, 6u << 28 | (random_u32() & 0xfffffff));
	h->next_header = is_fragment ? IP_PROTO_V6_FRAGMENT : proto;
	be16_put(&h->payload_len, (uint16_t)body);
	if (is_fragment) {
		p[IP_V6_HEADER_BYTES] = proto;
		p[IP_V6_HEADER_BYTES + 2] = 0;
	}
	return IP_V6_HEADER_BYTES + body;
}

/* A WireGuard message inside UDP inside IP, or behind Geneve. */
static size_t make_outer(uint8_t *p, unsigned family)
{
	uint8_t message[160];
	size_t len = make_wg(message);
	struct endpoint src = {.addr.family = (uint8_t)family, .port = 1};
	struct endpoint dst = {.addr.family = (uint8_t)family, .port = 2};
	struct udp_encap e = {.src = &src, .dst = &dst, .ecn = (uint8_t)random_u32()};
	int bytes;

	memset(message + 4, 0x55, len - 4);
	bytes = udp_encap_build(p, &e, UDP_ENCAP_FULL, message, (uint32_t)len);
	BUG_ON(bytes < 0);
	memcpy(p + bytes, message, len);
	return (size_t)bytes + len;
}

static size_t make_geneve(uint8_t *p)
{
	struct geneve g = {.vni = random_u32() & GENEVE_VNI_MAX,
			   .protocol = random_u32() & 1 ? GENEVE_WIREGUARD : GENEVE_DISCO,
			   .is_control = random_u32() & 1};

	geneve_encode(p, &g);
	return GENEVE_HEADER_BYTES + make_wg(p + GENEVE_HEADER_BYTES);
}

static size_t make(uint8_t *p)
{
	for (int i = 0; i < PACKET_MAX; i++)
		p[i] = (uint8_t)random_u32();
	switch (random_u32() % 6) {
	case 0:
		return make_wg(p);
	case 1:
		return make_ip(p, AF_INET);
	case 2:
		return make_ip(p, AF_INET6);
	case 3:
		return make_outer(p, AF_INET);
	case 4:
		return make_outer(p, AF_INET6);
	default:
		return make_geneve(p);
	}
}

/* Zero to three changes: flipped bits, other bytes, cut, longer. Returns the new length. */
static size_t mutate(uint8_t *p, size_t len)
{
	for (uint32_t n = random_u32() % 4; n > 0; n--) {
		/* Header bytes decide more than the rest. */
		size_t at = random_u32() % (random_u32() & 1 && len > 48 ? 48 : len ? len : 1);

		switch (random_u32() % 5) {
		case 0:
			p[at] ^= (uint8_t)(1u << random_u32() % 8);
			break;
		case 1:
			p[at] = (uint8_t)random_u32();
			break;
		case 2:
			p[at] = random_u32() & 1 ? 0xff : 0;
			break;
		case 3:
			len = random_u32() % (len + 1);
			break;
		default:
			len += random_u32() % (PACKET_MAX - len + 1);
			break;
		}
	}
	return len;
}

static void run_wg(const uint8_t *p, size_t len)
{
	int type = wg_msg_classify(p, len);

	if (type < 0) {
		BUG_ON(type < WG_PARSE_BAD_LENGTH);
		seen.wg_bad++;
		return;
	}
	BUG_ON(type < WG_MSG_INITIATION || type > WG_MSG_DATA);
	BUG_ON(type == WG_MSG_DATA	   ? len < WG_DATA_MIN_BYTES
	       : type == WG_MSG_INITIATION ? len != sizeof(struct wg_msg_initiation)
					   : len < sizeof(struct wg_msg_cookie));
	seen.wg_ok++;
}

static void run_geneve(const uint8_t *p, size_t len)
{
	struct geneve g;

	if (!geneve_decode(p, len, &g))
		return;
	BUG_ON(len < GENEVE_HEADER_BYTES || g.vni > GENEVE_VNI_MAX);
	BUG_ON(g.protocol != GENEVE_DISCO && g.protocol != GENEVE_WIREGUARD);
	seen.geneve++;
	run_wg(p + GENEVE_HEADER_BYTES, len - GENEVE_HEADER_BYTES);
}

static void check_info(const uint8_t *p, size_t len, const struct ip_info *ip)
{
	size_t addr = ip->family == AF_INET ? 4 : 16;

	BUG_ON(ip->family != AF_INET && ip->family != AF_INET6);
	BUG_ON(ip->total_len > len);
	BUG_ON(ip->header_len < 20 || ip->header_len > ip->total_len);
	BUG_ON(ip->l4_offset < ip->header_len || ip->l4_offset > ip->total_len);
	BUG_ON(ip->src < p || ip->src + addr > p + ip->header_len);
	BUG_ON(ip->dst < p || ip->dst + addr > p + ip->header_len);
	BUG_ON(ip->proto == IP_PROTO_TCP && ip->total_len - ip->l4_offset < IP_TCP_HEADER_BYTES);
	BUG_ON(ip->proto == IP_PROTO_FRAGMENT && ip->fragment_offset < 80);
	BUG_ON(ip->proto == IP_PROTO_UNKNOWN && (ip->src_port || ip->dst_port || ip->tcp_flags));
	seen.transport += ip->proto == IP_PROTO_TCP || ip->proto == IP_PROTO_UDP;
	seen.fragments += ip->proto == IP_PROTO_FRAGMENT;
	seen.unknown += ip->proto == IP_PROTO_UNKNOWN;
}

static void run_ip(uint8_t *p, size_t len)
{
	struct ip_info ip, again;
	uint32_t offset, payload;
	bool drop;

	if (ip_parse(p, len, &ip) < 0) {
		seen.ip_bad++;
		return;
	}
	seen.ip_ok++;
	check_info(p, len, &ip);
	ip_sum_transport(p, &ip);
	if (ip_udp_payload(p, &ip, &offset, &payload)) {
		BUG_ON(offset > len || payload > len - offset);
		seen.udp++;
		run_geneve(p + offset, payload);
		run_wg(p + offset, payload);
	}
	ecn_set(p, &ip, ecn_decap(ip.tos, (uint8_t)random_u32(), &drop));
	ip_ttl_decrement(p, &ip);
	/* Rewriting TTL and ECN changes nothing else. */
	BUG_ON(ip_parse(p, len, &again) < 0);
	BUG_ON(again.proto != ip.proto || again.total_len != ip.total_len);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	uint8_t packet[PACKET_MAX];

	for (unsigned long i = 0; i < rounds; i++) {
		size_t len = mutate(packet, make(packet));
		/* Its own allocation, exactly as long. */
		uint8_t *p = malloc(len ? len : 1);

		BUG_ON(!p);
		memcpy(p, packet, len);
		run_wg(p, len);
		run_geneve(p, len);
		run_ip(p, len);
		free(p);
	}
	printf("%lu packets: wireguard %lu ok %lu refused, geneve %lu, ip %lu ok %lu refused, "
	       "transport %lu, udp payload %lu, fragments %lu, unknown %lu\n",
	       rounds, seen.wg_ok, seen.wg_bad, seen.geneve, seen.ip_ok, seen.ip_bad,
	       seen.transport, seen.udp, seen.fragments, seen.unknown);
	return seen.wg_ok && seen.wg_bad && seen.geneve && seen.ip_ok && seen.ip_bad &&
			       seen.transport && seen.udp && seen.fragments && seen.unknown
		       ? 0
		       : 1;
}
