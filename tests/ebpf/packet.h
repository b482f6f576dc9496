/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small builder of frames: a struct frame says what is special about a packet,
 * zero means the ordinary case (UDP from 198.51.100.7 or 2001:db8:7::7, TTL 64, a
 * data message of 32 bytes), and packet_build lays it out, lengths and all.
 */
#ifndef TESTS_EBPF_PACKET_H
#define TESTS_EBPF_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define PACKET_MAX_BYTES 4000

enum frame_l3 {
	FRAME_IPV4,
	FRAME_IPV6,
	FRAME_ARP,
};

enum frame_geneve {
	FRAME_PLAIN,
	FRAME_GENEVE,		/* 0x7a12 */
	FRAME_GENEVE_DISCO,	/* 0x7a11 */
	FRAME_GENEVE_CONTROL,	/* 0x7a12 with the O bit */
	FRAME_GENEVE_CRITICAL,	/* 0x7a12 with the C bit, which says nothing without options */
	FRAME_GENEVE_VERSION_1, /* 0x7a12, version field 1 */
	FRAME_GENEVE_RESERVED,	/* 0x7a12, last byte not zero */
};

struct frame {
	enum frame_l3 l3;
	enum frame_geneve geneve;
	const char *src, *dst;
	bool is_other_mac;
	bool is_broadcast_mac;
	uint8_t vlan_tags;	/* 1: 802.1Q; 2: 802.1ad around it */
	uint8_t proto;		/* 0: UDP */
	uint8_t ttl;		/* 0: 64; NO_TTL: 0 */
	uint16_t frag;		/* IPv4: the flags-and-offset word */
	uint8_t option_words;	/* IPv4 */
	uint8_t extension;	/* IPv6: next-header value of one 8-byte header put in between */
	uint16_t port;		/* 0: the default, PACKET_PORT */
	uint32_t type;		/* 0: 4; NO_TYPE: 0 */
	uint16_t message_bytes; /* 0: 32; NO_BYTES: none */
	uint16_t trailer_bytes; /* behind the IP packet, as padding to 60 leaves them */
	int16_t l3_len_off;	/* added to the IP header's length field */
	int16_t udp_len_off;	/* added to the UDP header's */
	uint8_t bad_version;	/* put into the IP version nibble */
};

#define NO_TTL	    255
#define NO_TYPE	    0xffffffffu
#define NO_BYTES    0xffff
#define PACKET_PORT 41641

#define IPV4_MF 0x2000
#define IPV4_DF 0x4000

extern const uint8_t packet_our_mac[6];

/* Writes the frame into buf (PACKET_MAX_BYTES) and returns its length. */
uint32_t packet_build(const struct frame *f, uint8_t *buf);

#endif
