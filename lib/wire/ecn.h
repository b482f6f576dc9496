/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Explicit congestion notification across the tunnel, RFC 6040 normal mode: the
 * outer header starts with the inner codepoint, and a mark set on the way is
 * carried over to the inner header at the far end.
 */
#ifndef LIB_WIRE_ECN_H
#define LIB_WIRE_ECN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/wire/ip.h"

/* The low two bits of TOS or traffic class. */
enum ecn {
	ECN_NOT_ECT = 0,
	ECN_ECT1 = 1,
	ECN_ECT0 = 2,
	ECN_CE = 3,
};
#define ECN_MASK 3

/* RFC 6040 figure 3: the outer codepoint for an inner TOS. */
static inline uint8_t ecn_encap(uint8_t inner)
{
	return inner & ECN_MASK;
}

/*
 * RFC 6040 figure 4: the codepoint that the inner packet leaves with; bits above
 * the low two are ignored. *drop: marked on the way, but its sender would not
 * understand the mark.
 */
uint8_t ecn_decap(uint8_t inner, uint8_t outer, bool *drop);

/* Writes the codepoint into a parsed packet; keeps the IPv4 checksum right. */
void ecn_set(uint8_t *data, const struct ip_info *ip, uint8_t ecn);

#endif
