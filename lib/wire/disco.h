/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disco: the messages by which nodes find paths to each other
 * (docs/protocol/disco.md). Here is what stands in the clear: the envelope, and the
 * plaintext inside its box; sealing and opening is the path engine's. All integers
 * are big-endian. No clock, no memory of its own; any thread.
 *
 *    0        6                  38        62    78
 *    | magic  | sender's key 32  | nonce 24 | tag | ciphertext of: type 1 | version 1 | body |
 */
#ifndef LIB_WIRE_DISCO_H
#define LIB_WIRE_DISCO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"

#define DISCO_MAGIC_BYTES    6
#define DISCO_KEY_BYTES	     32u
#define DISCO_NONCE_BYTES    24
#define DISCO_TAG_BYTES	     16
#define DISCO_ENVELOPE_BYTES (DISCO_MAGIC_BYTES + DISCO_KEY_BYTES + DISCO_NONCE_BYTES)
#define DISCO_TX_ID_BYTES    12
#define DISCO_ADDR_BYTES     18
/* What a datagram must have at least to be taken for disco at a node's socket. */
#define DISCO_LOOKS_BYTES (DISCO_MAGIC_BYTES + DISCO_KEY_BYTES)
/* A ping with a node key and no padding, as UDP payload. */
#define DISCO_PING_BYTES 124

extern const uint8_t disco_magic[DISCO_MAGIC_BYTES];

/* The bytes before the ciphertext, as they lie in a datagram. */
struct disco_envelope {
	uint8_t magic[DISCO_MAGIC_BYTES];
	uint8_t sender[DISCO_KEY_BYTES];
	uint8_t nonce[DISCO_NONCE_BYTES];
};

enum disco_type {
	DISCO_PING = 1,
	DISCO_PONG = 2,
	DISCO_CALL_ME_MAYBE = 3,
	DISCO_BIND = 4,		  /* client to relay: bind me to this endpoint */
	DISCO_BIND_CHALLENGE = 5, /* relay to client */
	DISCO_BIND_ANSWER = 6,	  /* client to relay, with the challenge */
	DISCO_CALL_ME_MAYBE_VIA = 7,
	DISCO_ALLOCATE_REQUEST = 8,
	DISCO_ALLOCATE_RESPONSE = 9,
};

/* A list of addresses of 18 bytes each; disco_addr_at() reads it. */
struct disco_addrs {
	const uint8_t *bytes; /* decoded: into the plaintext. To encode: NULL, see endpoints */
	const struct endpoint *endpoints; /* to encode */
	size_t count;
};

/* An endpoint on a peer relay. */
struct disco_relay {
	uint8_t server[DISCO_KEY_BYTES];
	uint8_t client[2][DISCO_KEY_BYTES]; /* the smaller one first */
	uint64_t lamport_id;
	uint32_t vni;
	int64_t bind_lifetime_ns;
	int64_t steady_lifetime_ns;
	struct disco_addrs addrs;
};

struct disco_msg {
	uint8_t type;	 /* enum disco_type */
	uint8_t version; /* decoded: as it stands; encoded: always 0 */
	union {
		struct {
			uint8_t tx_id[DISCO_TX_ID_BYTES];
			uint8_t node_key[DISCO_KEY_BYTES]; /* the sender's */
			bool has_node_key;
			size_t padding; /* zero bytes behind */
		} ping;
		struct {
			uint8_t tx_id[DISCO_TX_ID_BYTES];
			struct endpoint src; /* where the ping was seen to come from */
		} pong;
		struct disco_addrs call; /* CALL_ME_MAYBE */
		struct {
			uint32_t vni;
			uint32_t generation;
			uint8_t remote[DISCO_KEY_BYTES]; /* the other client's disco key */
			uint8_t challenge[32];
		} bind; /* BIND, BIND_CHALLENGE, BIND_ANSWER */
		struct disco_relay via;
		struct {
			uint8_t client[2][DISCO_KEY_BYTES];
			uint32_t generation;
		} request;
		struct {
			uint32_t generation;
			struct disco_relay relay;
		} response;
	};
};

/* Magic and at least a sender's key: disco as far as can be seen. Reads no byte behind len. */
bool disco_looks_like(const uint8_t *data, size_t len);

/*
 * Decodes an opened box. Versions other than 0 and bytes behind the body are taken
 * as the stock nodes take them: relay messages (types 7 to 9) of another version, and
 * an address list of another version or of odd length, come out empty.
 * 0; -EBADMSG: too short for its type; -ENOTSUP: unknown type. *out refers to
 * plain. Reads no byte behind len.
 */
int disco_decode(const uint8_t *plain, size_t len, struct disco_msg *out);

/* Bytes that disco_encode() writes for m. */
size_t disco_plain_bytes(const struct disco_msg *m);
/* Writes type, version and body at out; returns disco_plain_bytes(m). */
size_t disco_encode(uint8_t *out, const struct disco_msg *m);

/* Address i of a decoded list, i < count; IPv4 mapped into IPv6 becomes IPv4. */
struct endpoint disco_addr_at(const struct disco_addrs *a, size_t i);

#endif
