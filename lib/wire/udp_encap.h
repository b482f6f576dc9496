/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer IP and UDP header that a tunnel message leaves with, where the
 * dataplane makes frames itself. Any thread.
 */
#ifndef LIB_WIRE_UDP_ENCAP_H
#define LIB_WIRE_UDP_ENCAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/wire/ip.h"

#define UDP_ENCAP_V4_BYTES (IP_V4_HEADER_BYTES + IP_UDP_HEADER_BYTES)
#define UDP_ENCAP_V6_BYTES (IP_V6_HEADER_BYTES + IP_UDP_HEADER_BYTES)

struct udp_encap {
	const struct endpoint *src; /* both of one family */
	const struct endpoint *dst;
	uint16_t id;	     /* IPv4; may stay 0 with dont_fragment (RFC 6864) */
	uint32_t flow_label; /* IPv6, 20 bits */
	uint8_t ecn;	     /* ecn_encap() of the inner packet; DSCP is 0 */
	bool dont_fragment;  /* IPv4 */
};

/* What goes into the UDP checksum field. */
enum udp_encap_checksum {
	UDP_ENCAP_NONE,	   /* zero; IPv4 only, the AEAD protects more than the sum does */
	UDP_ENCAP_FULL,	   /* over header and payload; what IPv6 needs */
	UDP_ENCAP_PARTIAL, /* the pseudo header's sum, for hardware that finishes it */
};

/*
 * Writes 28 or 48 bytes at out, TTL 64, for a payload of len bytes (read with
 * UDP_ENCAP_FULL only, and then anywhere in memory). Returns the bytes written;
 * -EINVAL: mixed or no families, UDP_ENCAP_NONE with IPv6, or too long for the
 * length fields.
 */
int udp_encap_build(uint8_t *out, const struct udp_encap *e, enum udp_encap_checksum checksum,
		    const uint8_t *payload, uint32_t len);

#endif
