/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about lanes (docs/protocol/lanes.md): payloads of WireGuard type 4
 * messages that are no IP packets, so that a peer that does not know them drops
 * them. Little-endian.
 *
 *   announce  f0 63 77 01 | version | flags | lanes | count | index 4 x count
 *   ping      f0 63 77 02 | flags   | lane  | 0  0  | token 8
 *   pong      f0 63 77 03 | flags   | lane  | 0  0  | token 8
 *   want      f0 63 77 04 | 0  0  0  0
 */
#ifndef LIB_WIRE_LANE_H
#define LIB_WIRE_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANE_MAX       16 /* lanes beside lane 0 */
#define LANE_VERSION   1
#define LANE_MSG_BYTES (8 + 4 * LANE_MAX) /* the longest */

enum lane_msg_type {
	LANE_MSG_ANNOUNCE = 1,
	LANE_MSG_PING = 2,
	LANE_MSG_PONG = 3,
	LANE_MSG_WANT = 4,
};

#define LANE_ANNOUNCE_HAVE_YOURS 1 /* the receiver's indices are here */
#define LANE_PING_HAS_DATA	 1 /* the sender has data to send */

struct lane_msg {
	uint8_t type;	/* enum lane_msg_type */
	uint8_t flags;	/* LANE_ANNOUNCE_*, LANE_PING_* */
	uint8_t lanes;	/* announce: offered, 0 .. LANE_MAX */
	uint8_t count;	/* announce: indices that follow */
	uint8_t lane;	/* ping, pong: 1 .. LANE_MAX */
	uint64_t token; /* ping, pong */
	uint32_t index[LANE_MAX];
};

/* Does it begin as one of these? */
static inline bool lane_msg_is(const uint8_t *data, size_t len)
{
	return len >= 4 && data[0] == 0xf0 && data[1] == 0x63 && data[2] == 0x77;
}

/*
 * 0, or -EBADMSG: none of these, cut, of an unknown type or version, or with
 * numbers out of range. Bytes behind the message are padding. Any thread.
 */
int lane_msg_decode(const uint8_t *data, size_t len, struct lane_msg *out);
/* Returns the length. */
size_t lane_msg_encode(uint8_t out[LANE_MSG_BYTES], const struct lane_msg *m);

#endif
