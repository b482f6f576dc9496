/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8-byte Geneve header (RFC 8926) before messages that go through a peer
 * relay: no options, a VNI of 24 bits, a control bit for messages to or from the
 * relay itself.
 *
 *	 0                   1                   2                   3
 *	|Ver 2 = 0|OptLen 6  | O | C=0 | Rsvd 6=0 |      Protocol 16       |
 *	|                    VNI 24                |       Rsvd 8 = 0      |
 */
#ifndef LIB_WIRE_GENEVE_H
#define LIB_WIRE_GENEVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENEVE_HEADER_BYTES 8
#define GENEVE_VNI_MAX	    0xffffffu

enum geneve_protocol {
	GENEVE_DISCO = 0x7a11,
	GENEVE_WIREGUARD = 0x7a12,
};

struct geneve {
	uint32_t vni;
	uint16_t protocol; /* enum geneve_protocol */
	bool is_control;
};

/*
 * Is this such a header? Version and reserved bits must be zero and the protocol
 * one of the two; option length and critical bit are not looked at, because the
 * stock nodes do not (they never send options, and strip 8 bytes). With
 * GENEVE_DISCO the caller still has to see the disco magic behind it: without,
 * the datagram is none of Geneve's. Reads no byte behind len.
 */
bool geneve_decode(const uint8_t *data, size_t len, struct geneve *out);

/* Writes 8 bytes. vni is at most GENEVE_VNI_MAX; higher bits are cut. */
void geneve_encode(uint8_t out[GENEVE_HEADER_BYTES], const struct geneve *g);

#endif
