/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STUN (RFC 5389) as far as nodes and relays of the mesh use it: one binding
 * request with a fixed SOFTWARE attribute and a FINGERPRINT, and the success
 * response with the address from which the request came. Any thread.
 */
#ifndef LIB_WIRE_STUN_H
#define LIB_WIRE_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"

#define STUN_PORT		3478
#define STUN_HEADER_BYTES	20
#define STUN_TX_ID_BYTES	12
#define STUN_REQUEST_BYTES	40
#define STUN_RESPONSE_BYTES_MAX 44 /* IPv6; with IPv4 32 */

enum stun_parse {
	STUN_OK = 0,
	STUN_NOT_STUN = -1,	  /* too short, or no magic cookie */
	STUN_NOT_REQUEST = -2,	  /* another type */
	STUN_NOT_RESPONSE = -3,	  /* another type */
	STUN_BAD_ATTRIBUTES = -4, /* they do not fit the stated length, or say no address */
	STUN_OTHER_SOFTWARE = -5, /* the SOFTWARE attribute is not a mesh node's, or missing */
	STUN_NO_FINGERPRINT = -6, /* FINGERPRINT is missing, or not the last attribute */
	STUN_WRONG_FINGERPRINT = -7,
};

/* "wrong fingerprint" */
const char *stun_parse_text(int rc);

/* Is this datagram STUN at all (RFC 5389 section 6)? Reads no byte behind len. */
bool stun_is(const uint8_t *data, size_t len);

/* Writes STUN_REQUEST_BYTES. */
void stun_request(uint8_t *out, const uint8_t tx_id[STUN_TX_ID_BYTES]);
/*
 * Is this a request that a server answers? STUN_OK with tx_id filled, else a
 * negative stun_parse. Anything else gets no answer, so that the server is no
 * amplifier and of no use to others.
 */
int stun_request_parse(const uint8_t *data, size_t len, uint8_t tx_id[STUN_TX_ID_BYTES]);

/* Writes 32 (IPv4) or 44 (IPv6) bytes and returns how many. */
size_t stun_response(uint8_t *out, const uint8_t tx_id[STUN_TX_ID_BYTES],
		     const struct endpoint *mapped);
/*
 * XOR-MAPPED-ADDRESS (or its old number 0x8020) wins over MAPPED-ADDRESS; an IPv4
 * address mapped into IPv6 becomes IPv4. Bytes behind the stated length are not
 * looked at. STUN_OK, or a negative stun_parse.
 */
int stun_response_parse(const uint8_t *data, size_t len, uint8_t tx_id[STUN_TX_ID_BYTES],
			struct endpoint *mapped);

#endif
