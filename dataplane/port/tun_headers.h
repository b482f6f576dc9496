/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of an inner packet that splitting and coalescing rewrite: strict
 * where ip_parse() is lenient, since lengths must agree to the byte before
 * headers may be copied. Internal to the TUN code. Pure functions on bytes.
 */
#ifndef DATAPLANE_PORT_TUN_HEADERS_H
#define DATAPLANE_PORT_TUN_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"

#define TUN_PACKET_MAX 65535u

struct tun_headers {
	bool is_v6;
	bool has_options; /* IPv4 options or IPv6 extension headers */
	uint8_t proto;	  /* IP_PROTO_TCP or IP_PROTO_UDP */
	uint16_t l4;	  /* offset of the TCP or UDP header */
	uint16_t payload; /* offset of what follows it */
};

/*
 * Finds TCP or UDP in a packet whose IP length is exactly len. 0; -EBADMSG if a
 * header is cut short or a length lies; -EPROTONOSUPPORT for fragments and all
 * other protocols.
 */
int tun_headers_parse(struct tun_headers *h, const uint8_t *packet, size_t len);

/* Running sum (ip_sum.h) of the pseudo header for len bytes of TCP or UDP. */
uint64_t tun_headers_pseudo(const struct tun_headers *h, const uint8_t *packet, uint32_t len);

/* The packet is len bytes now: total length with header checksum, or payload length. */
void tun_headers_set_len(const struct tun_headers *h, uint8_t *packet, uint32_t len);

/* The transport's checksum field. */
static inline wire_be16 *tun_headers_checksum(const struct tun_headers *h, uint8_t *packet)
{
	if (h->proto == IP_PROTO_TCP)
		return &((struct ip_tcp_header *)(packet + h->l4))->checksum;
	return &((struct ip_udp_header *)(packet + h->l4))->checksum;
}

#endif
