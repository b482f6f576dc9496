/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/ebpf/packet.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

const uint8_t packet_our_mac[6] = {0x02, 0xca, 0x05, 0xe0, 0x00, 0x01};

struct writer {
	uint8_t *at, *end;
};

static uint8_t *put(struct writer *w, const void *data, size_t len)
{
	uint8_t *start = w->at;

	assert((size_t)(w->end - w->at) >= len);
	if (data)
		memcpy(w->at, data, len);
	else
		memset(w->at, 0, len);
	w->at += len;
	return start;
}

static void put16(struct writer *w, uint16_t v)
{
	put(w, (uint8_t[]){v >> 8, v & 0xff}, 2);
}

static void set16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put_eth(struct writer *w, const struct frame *f)
{
	static const uint16_t types[] = {
		[FRAME_IPV4] = 0x0800, [FRAME_IPV6] = 0x86dd, [FRAME_ARP] = 0x0806};
	static const uint8_t other[6] = {0x02, 0, 0, 0, 0, 0x99};
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	put(w, f->is_broadcast_mac ? all : f->is_other_mac ? other : packet_our_mac, 6);
	put(w, "\x02\x00\x00\x00\x00\x07", 6);
	if (f->vlan_tags == 2) {
		put16(w, 0x88a8);
		put16(w, 10);
	}
	if (f->vlan_tags) {
		put16(w, 0x8100);
		put16(w, 20);
	}
	put16(w, types[f->l3]);
}

static void put_ipv4(struct writer *w, const struct frame *f)
{
	uint8_t *h = put(w, NULL, 20);

	h[0] = (f->bad_version ? f->bad_version << 4 : 0x40) | (5 + f->option_words);
	h[5] = 1;
	set16(h + 6, f->frag);
	h[8] = f->ttl == NO_TTL ? 0 : f->ttl ? f->ttl : 64;
	h[9] = f->proto ? f->proto : IPPROTO_UDP;
	assert(inet_pton(AF_INET, f->src ? f->src : "198.51.100.7", h + 12) == 1);
	assert(inet_pton(AF_INET, f->dst, h + 16) == 1);
	for (int i = 0; i < f->option_words; i++)
		put(w, "\x01\x01\x01\x01", 4); /* no-operation */
}

static void put_ipv6(struct writer *w, const struct frame *f)
{
	uint8_t proto = f->proto ? f->proto : IPPROTO_UDP;
	uint8_t *h = put(w, NULL, 40);

	h[0] = f->bad_version ? f->bad_version << 4 : 0x60;
	h[6] = f->extension ? f->extension : proto;
	h[7] = f->ttl == NO_TTL ? 0 : f->ttl ? f->ttl : 64;
	assert(inet_pton(AF_INET6, f->src ? f->src : "2001:db8:7::7", h + 8) == 1);
	assert(inet_pton(AF_INET6, f->dst, h + 24) == 1);
	if (f->extension) {
		uint8_t *e = put(w, NULL, 8);

		e[0] = proto;
		/* AH counts words of 4 minus 2, the others words of 8 minus 1. */
		e[1] = 0;
	}
}

static void put_geneve(struct writer *w, enum frame_geneve kind)
{
	uint8_t *g;

	if (kind == FRAME_PLAIN)
		return;
	g = put(w, "\x00\x00\x7a\x12\x00\x00\x2a\x00", 8);
	if (kind == FRAME_GENEVE_DISCO)
		g[3] = 0x11;
	else if (kind == FRAME_GENEVE_CONTROL)
		g[1] = 0x80;
	else if (kind == FRAME_GENEVE_CRITICAL)
		g[1] = 0x40;
	else if (kind == FRAME_GENEVE_VERSION_1)
		g[0] = 0x40;
	else if (kind == FRAME_GENEVE_RESERVED)
		g[7] = 1;
}

static void put_message(struct writer *w, const struct frame *f)
{
	uint32_t type = f->type == NO_TYPE ? 0 : f->type ? f->type : 4;
	size_t len = f->message_bytes == NO_BYTES ? 0 : f->message_bytes ? f->message_bytes : 32;
	uint8_t *m = put(w, NULL, len);

	for (size_t i = 0; i < len; i++)
		m[i] = i < 4 ? (uint8_t)(type >> (8 * i)) : (uint8_t)(0xa0 + i);
}

uint32_t packet_build(const struct frame *f, uint8_t *buf)
{
	struct writer w = {buf, buf + PACKET_MAX_BYTES};
	uint8_t *ip, *udp = NULL;

	put_eth(&w, f);
	ip = w.at;
	if (f->l3 == FRAME_IPV4)
		put_ipv4(&w, f);
	else if (f->l3 == FRAME_IPV6)
		put_ipv6(&w, f);
	else
		put(&w, NULL, 28);
	if (f->l3 != FRAME_ARP) {
		udp = put(&w, NULL, 8);
		set16(udp, 40000);
		set16(udp + 2, f->port ? f->port : PACKET_PORT);
		put_geneve(&w, f->geneve);
		put_message(&w, f);
		set16(udp + 4, (size_t)(w.at - udp + f->udp_len_off));
	}
	if (f->l3 == FRAME_IPV4)
		set16(ip + 2, (size_t)(w.at - ip + f->l3_len_off));
	else if (f->l3 == FRAME_IPV6)
		set16(ip + 4, (size_t)(w.at - ip - 40 + f->l3_len_off));
	put(&w, NULL, f->trailer_bytes);
	return (uint32_t)(w.at - buf);
}
