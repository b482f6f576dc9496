/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A running sum is an opaque uint64_t: begin with 0, add to it in any order with
 * ip_sum() and the pseudo headers, then fold once. Folded values and checksums
 * are in host order, to be stored with be16_put(). All parts of a sum but the
 * last one added have an even number of bytes. Any thread.
 */
#ifndef LIB_WIRE_IP_SUM_H
#define LIB_WIRE_IP_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/wire/ip.h"

/* sum, with the len bytes at data added. */
uint64_t ip_sum(uint64_t sum, const void *data, size_t len);

/* Sums of the pseudo headers of TCP, UDP and ICMPv6 (not of ICMPv4); addresses in network order. */
uint64_t ip_sum_pseudo_v4(const uint8_t src[4], const uint8_t dst[4], uint8_t proto, uint32_t len);
uint64_t ip_sum_pseudo_v6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto,
			  uint32_t len);

/*
 * The 16-bit ones' complement sum, not inverted: what a checksum field holds for
 * a receiver that finishes it (vnet header, offload), and 0xffff for a packet
 * whose checksum, included in the sum, is right.
 */
uint16_t ip_sum_fold(uint64_t sum);

/* Folded and inverted: what goes into the field. For UDP write 0xffff where it is 0. */
static inline uint16_t ip_sum_finish(uint64_t sum)
{
	return (uint16_t)~ip_sum_fold(sum);
}

static inline uint16_t ip_checksum(const void *data, size_t len)
{
	return ip_sum_finish(ip_sum(0, data, len));
}

/*
 * The folded sum over pseudo header, transport header and payload of a parsed
 * packet that is no fragment (TCP, UDP, ICMPv6, and ICMPv4 without pseudo
 * header): 0xffff if its checksum is right. With the field zeroed before, its
 * complement is the value to write. Writes nothing.
 */
uint16_t ip_sum_transport(const uint8_t *data, const struct ip_info *ip);

/* RFC 1624: the checksum after old has become new in what it covers. */
static inline uint16_t ip_checksum_update(uint16_t checksum, uint16_t old, uint16_t new)
{
	uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/* The same for len bytes, len even (an address). */
uint16_t ip_checksum_update_bytes(uint16_t checksum, const uint8_t *old, const uint8_t *new,
				  size_t len);

/* IPv4 header checksum, options included; the header is complete in memory. */
void ip_checksum_v4_set(struct ip_v4_header *h);
bool ip_checksum_v4_ok(const struct ip_v4_header *h);

/* The same for a header without options, in line: is the sum over all of it right? */
static inline bool ip_checksum_v4_plain_ok(const struct ip_v4_header *h)
{
	uint64_t a, b, sum;
	uint32_t c;

	memcpy(&a, h, sizeof(a));
	memcpy(&b, (const uint8_t *)h + 8, sizeof(b));
	memcpy(&c, (const uint8_t *)h + 16, sizeof(c));
	sum = (a & 0xffffffff) + (a >> 32) + (b & 0xffffffff) + (b >> 32) + c;
	/* Ones' complement sums are congruent modulo 2^16 - 1 in any byte order. */
	return sum && sum % 0xffff == 0;
}

/*
 * One off TTL or hop limit, the IPv4 checksum kept right. False, and nothing
 * changed, where the packet may not be forwarded any more (0 or 1).
 */
static inline bool ip_ttl_decrement(uint8_t *data, const struct ip_info *ip)
{
	struct ip_v4_header *h = (struct ip_v4_header *)data;
	uint32_t sum;

	if (ip->ttl <= 1)
		return false;
	if (ip->family == AF_INET6) {
		((struct ip_v6_header *)data)->hop_limit = ip->ttl - 1;
		return true;
	}
	h->ttl = ip->ttl - 1;
	/* RFC 1624 for a word that has become 0x100 less. */
	sum = be16_get(&h->checksum) + 0x100u;
	be16_put(&h->checksum, (uint16_t)(sum + (sum >= 0xffff)));
	return true;
}

/* Undoes ip_ttl_decrement: another router forwards the packet instead. */
void ip_ttl_restore(uint8_t *data, const struct ip_info *ip);

#endif
