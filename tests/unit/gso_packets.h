/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds TCP and UDP packets for the tests of tun_split and tun_coalesce, with
 * checksums from a loop that shares no code with the dataplane.
 */
#ifndef TESTS_UNIT_GSO_PACKETS_H
#define TESTS_UNIT_GSO_PACKETS_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GSO_PACKET_MAX 65535u

struct gso_flow {
	bool is_v6;
	bool is_udp;
	bool is_df;
	uint8_t tos;
	uint8_t ttl;
	uint8_t flags;	     /* TCP */
	uint8_t ip_options;  /* bytes behind the IP header, a multiple of 8 */
	uint8_t tcp_options; /* bytes, a multiple of 4 */
	uint8_t host;	     /* last byte of the source address */
	uint16_t sport;
	uint16_t id;
	uint32_t seq;
	uint32_t ack;
	uint16_t window;
};

static uint64_t gso_rand_state = 88172645463325252ull;

static inline uint32_t gso_rand(uint32_t below)
{
	gso_rand_state ^= gso_rand_state << 13;
	gso_rand_state ^= gso_rand_state >> 7;
	gso_rand_state ^= gso_rand_state << 17;
	return (uint32_t)((gso_rand_state >> 16) % below);
}

static inline uint16_t gso_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint32_t gso_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return gso_fold(sum);
}

static inline void gso_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void gso_put32(uint8_t *p, uint32_t v)
{
	gso_put16(p, v >> 16);
	gso_put16(p + 2, v);
}

static inline size_t gso_l4(const struct gso_flow *f)
{
	return (f->is_v6 ? 40u : 20u) + f->ip_options;
}

static inline size_t gso_headers(const struct gso_flow *f)
{
	return gso_l4(f) + (f->is_udp ? 8u : 20u + f->tcp_options);
}

static inline size_t gso_check_at(const struct gso_flow *f)
{
	return gso_l4(f) + (f->is_udp ? 6u : 16u);
}

static inline uint16_t gso_pseudo(const struct gso_flow *f, const uint8_t *p, size_t len)
{
	uint32_t sum = f->is_v6 ? gso_sum(p + 8, 32) : gso_sum(p + 12, 8);

	return gso_fold(sum + (uint32_t)(len - gso_l4(f)) + (f->is_udp ? 17 : 6));
}

/* Writes the checksums that a complete packet has; is_partial: the pseudo sum only. */
static inline void gso_checksums(const struct gso_flow *f, uint8_t *p, size_t len, bool is_partial)
{
	size_t l4 = gso_l4(f), at = gso_check_at(f);
	uint16_t check = gso_pseudo(f, p, len);

	gso_put16(p + at, 0);
	if (!is_partial)
		check = (uint16_t)~gso_fold(check + gso_sum(p + l4, len - l4));
	if (!check && f->is_udp && !is_partial)
		check = 0xffff;
	gso_put16(p + at, check);
	if (f->is_v6)
		return;
	gso_put16(p + 10, 0);
	gso_put16(p + 10, (uint16_t)~gso_sum(p, l4));
}

/*
 * Segment k, whose payload begins at byte `at` of the flow's data (whose byte n
 * is (n * 7 + host) % 251). Returns its length.
 */
static inline size_t gso_build(const struct gso_flow *f, uint8_t *p, unsigned k, size_t at,
			       size_t payload, bool is_partial)
{
	size_t l4 = gso_l4(f), headers = gso_headers(f), len = headers + payload;

	memset(p, 0, headers);
	if (f->is_v6) {
		p[0] = (uint8_t)(0x60 | f->tos >> 4);
		p[1] = (uint8_t)(f->tos << 4);
		gso_put16(p + 4, (uint32_t)len - 40);
		p[6] = f->is_udp ? 17 : 6;
		p[7] = f->ttl;
		p[8] = p[24] = 0xfd;
		p[23] = f->host;
		p[39] = 2;
		if (f->ip_options) { /* destination options: one PadN */
			p[40] = p[6];
			p[6] = 60;
			p[41] = (uint8_t)(f->ip_options / 8 - 1);
			p[42] = 1;
			p[43] = (uint8_t)(f->ip_options - 4);
		}
	} else {
		p[0] = (uint8_t)(0x40 | l4 / 4);
		p[1] = f->tos;
		gso_put16(p + 2, (uint32_t)len);
		gso_put16(p + 4, f->id + k);
		p[6] = f->is_df ? 0x40 : 0;
		p[8] = f->ttl;
		p[9] = f->is_udp ? 17 : 6;
		memcpy(p + 12, (uint8_t[]){10, 1, 0, f->host, 10, 2, 0, 1}, 8);
		memset(p + 20, 1, f->ip_options); /* no-operation */
	}
	gso_put16(p + l4, f->sport);
	gso_put16(p + l4 + 2, 443);
	if (f->is_udp) {
		gso_put16(p + l4 + 4, (uint32_t)(len - l4));
	} else {
		gso_put32(p + l4 + 4, f->seq + (uint32_t)at);
		gso_put32(p + l4 + 8, f->ack);
		p[l4 + 12] = (uint8_t)((20u + f->tcp_options) / 4 << 4);
		p[l4 + 13] = f->flags;
		gso_put16(p + l4 + 14, f->window);
		memset(p + l4 + 20, 1, f->tcp_options);
	}
	for (size_t i = 0; i < payload; i++)
		p[headers + i] = (uint8_t)(((at + i) * 7 + f->host) % 251);
	gso_checksums(f, p, len, is_partial);
	return len;
}

static inline struct virtio_net_hdr gso_vnet(const struct gso_flow *f, size_t gso_size)
{
	struct virtio_net_hdr v = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = 5, /* UDP_L4 */
		.hdr_len = (uint16_t)gso_headers(f),
		.gso_size = (uint16_t)gso_size,
		.csum_start = (uint16_t)gso_l4(f),
		.csum_offset = f->is_udp ? 6 : 16,
	};

	if (!f->is_udp)
		v.gso_type = f->is_v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	return v;
}

/* A flow that coalesces: plain ACKs, no IP options. */
static inline struct gso_flow gso_random_flow(void)
{
	return (struct gso_flow){
		.is_v6 = gso_rand(2),
		.is_udp = gso_rand(2),
		.is_df = gso_rand(2),
		.tos = (uint8_t)gso_rand(256),
		.ttl = (uint8_t)(1 + gso_rand(255)),
		.flags = 0x10,
		.tcp_options = (uint8_t)(gso_rand(4) * 4),
		.host = (uint8_t)(1 + gso_rand(250)),
		.sport = (uint16_t)(1024 + gso_rand(60000)),
		.id = (uint16_t)gso_rand(65536),
		.seq = gso_rand(UINT32_MAX),
		.ack = gso_rand(UINT32_MAX),
		.window = (uint16_t)gso_rand(65536),
	};
}

#endif
