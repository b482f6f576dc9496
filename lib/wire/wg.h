/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WireGuard messages as they stand on the wire (WireGuard whitepaper section
 * 5.4; docs/protocol/wireguard.md). All integers are little-endian. The structs
 * have no padding and alignment 1.
 */
#ifndef LIB_WIRE_WG_H
#define LIB_WIRE_WG_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define WG_KEY_BYTES	   32
#define WG_TAG_BYTES	   16
#define WG_MAC_BYTES	   16
#define WG_TIMESTAMP_BYTES 12
#define WG_COOKIE_BYTES	   16
#define WG_XNONCE_BYTES	   24

enum wg_msg_type {
	WG_MSG_INITIATION = 1,
	WG_MSG_RESPONSE = 2,
	WG_MSG_COOKIE = 3,
	WG_MSG_DATA = 4,
};

/* An integer as it lies in memory, read and written with le*_get/le*_put. */
typedef struct {
	uint8_t b[4];
} wire_le32;
typedef struct {
	uint8_t b[8];
} wire_le64;

static inline uint32_t le32_get(const wire_le32 *v)
{
	return (uint32_t)v->b[0] | (uint32_t)v->b[1] << 8 | (uint32_t)v->b[2] << 16 |
	       (uint32_t)v->b[3] << 24;
}

static inline void le32_put(wire_le32 *v, uint32_t x)
{
	v->b[0] = (uint8_t)x;
	v->b[1] = (uint8_t)(x >> 8);
	v->b[2] = (uint8_t)(x >> 16);
	v->b[3] = (uint8_t)(x >> 24);
}

static inline uint64_t le64_get(const wire_le64 *v)
{
	uint64_t x = 0;

	for (int i = 7; i >= 0; i--)
		x = x << 8 | v->b[i];
	return x;
}

static inline void le64_put(wire_le64 *v, uint64_t x)
{
	for (int i = 0; i < 8; i++)
		v->b[i] = (uint8_t)(x >> (8 * i));
}

struct wg_msg_initiation {
	wire_le32 type;
	wire_le32 sender;
	uint8_t ephemeral[WG_KEY_BYTES];
	uint8_t enc_static[WG_KEY_BYTES + WG_TAG_BYTES];
	uint8_t enc_timestamp[WG_TIMESTAMP_BYTES + WG_TAG_BYTES];
	uint8_t mac1[WG_MAC_BYTES];
	uint8_t mac2[WG_MAC_BYTES];
};

struct wg_msg_response {
	wire_le32 type;
	wire_le32 sender;
	wire_le32 receiver;
	uint8_t ephemeral[WG_KEY_BYTES];
	uint8_t enc_empty[WG_TAG_BYTES];
	uint8_t mac1[WG_MAC_BYTES];
	uint8_t mac2[WG_MAC_BYTES];
};

struct wg_msg_cookie {
	wire_le32 type;
	wire_le32 receiver;
	uint8_t nonce[WG_XNONCE_BYTES];
	uint8_t enc_cookie[WG_COOKIE_BYTES + WG_TAG_BYTES];
};

struct wg_msg_data {
	wire_le32 type;
	wire_le32 receiver;
	wire_le64 counter;
	uint8_t ciphertext[]; /* padded payload and tag */
};

static_assert(sizeof(struct wg_msg_initiation) == 148, "initiation");
static_assert(offsetof(struct wg_msg_initiation, mac1) == 116, "initiation mac1");
static_assert(sizeof(struct wg_msg_response) == 92, "response");
static_assert(offsetof(struct wg_msg_response, mac1) == 60, "response mac1");
static_assert(sizeof(struct wg_msg_cookie) == 64, "cookie");
static_assert(sizeof(struct wg_msg_data) == 16, "data");

#define WG_DATA_HEADER_BYTES 16
#define WG_DATA_MIN_BYTES    (WG_DATA_HEADER_BYTES + WG_TAG_BYTES)
#define WG_PADDING	     16

/* Constants of the protocol (whitepaper section 6; docs/protocol/wireguard.md 3). */
#define WG_REKEY_AFTER_MESSAGES	 (1ull << 60)
#define WG_REJECT_AFTER_MESSAGES (UINT64_MAX - (1ull << 13))
#define WG_REKEY_AFTER_TIME_S	 120
#define WG_REJECT_AFTER_TIME_S	 180
#define WG_REKEY_TIMEOUT_S	 5
#define WG_KEEPALIVE_TIMEOUT_S	 10
#define WG_MAX_HANDSHAKES	 20 /* initiations in a row before giving up: 90 s + first */
#define WG_COOKIE_LIFETIME_S	 120
#define WG_REPLAY_WINDOW	 8128

enum wg_parse_error {
	WG_PARSE_RUNT = -1,	    /* fewer than 4 bytes, or a type 4 under 32 */
	WG_PARSE_UNKNOWN_TYPE = -2, /* type not 1..4, or reserved bytes not zero */
	WG_PARSE_BAD_LENGTH = -3,   /* type 1..3 of another length than its own */
};

/*
 * What a UDP payload is: its enum wg_msg_type, or a (negative) wg_parse_error.
 * Every length is checked here, once. Touches no byte behind len. Any thread.
 */
int wg_msg_classify(const uint8_t *data, size_t len);

/*
 * Bytes of zeros to append to a payload of len bytes (docs/protocol/wireguard.md
 * section 4 "padding"): up to a multiple of 16, but not beyond mtu; above the
 * MTU only the remainder counts.
 */
static inline uint32_t wg_padding(uint32_t len, uint32_t mtu)
{
	uint32_t to_round = -len % WG_PADDING;
	uint32_t last = len;

	/* No MTU known: round up without a limit. */
	if (!mtu)
		return to_round;
	if (last > mtu)
		last %= mtu;
	to_round = -last % WG_PADDING;
	return to_round > mtu - last ? mtu - last : to_round;
}

#endif
