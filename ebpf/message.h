/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What a UDP payload on our port is, from its first 12 bytes: the same question
 * for the XDP and for the reuseport program. Formats: docs/protocol/wireguard.md
 * section 1; the Geneve header (RFC 8926) as relays use it: lib/wire/geneve.h.
 */
#ifndef EBPF_MESSAGE_H
#define EBPF_MESSAGE_H

#include <linux/types.h>

#define MESSAGE_PEEK_BYTES     12 /* Geneve header and the message type behind it */
#define MESSAGE_DATA_MIN_BYTES 32 /* type 4: header 16, tag 16 */
#define GENEVE_BYTES	       8

enum message_kind {
	MESSAGE_OTHER, /* disco, STUN, anything that is for causewayd to judge */
	MESSAGE_DATA,
	MESSAGE_DATA_GENEVE,
	MESSAGE_HANDSHAKE, /* types 1 to 3, of any length, naked or inside Geneve */
};

/*
 * Geneve as Tailscale uses it for WireGuard: version 0, protocol 0x7a12, not a
 * control message (O bit), reserved bits zero. No naked WireGuard message looks
 * so: its bytes 1 to 3 are zero.
 */
static __always_inline int is_geneve_wireguard(const __u8 *p)
{
	return (p[0] & 0xc0) == 0 && (p[1] & 0xbf) == 0 && p[2] == 0x7a && p[3] == 0x12 &&
	       p[7] == 0;
}

/* The type is one little-endian u32: set reserved bytes make another, unknown type. */
static __always_inline __u32 message_type(const __u8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (__u32)p[3] << 24;
}

/* p: MESSAGE_PEEK_BYTES readable bytes; len_bytes: the whole payload's length. */
static __always_inline enum message_kind message_kind(const __u8 *p, __u32 len_bytes)
{
	int is_geneve = is_geneve_wireguard(p);
	__u32 type;

	if (is_geneve) {
		type = message_type(p + GENEVE_BYTES);
		len_bytes -= GENEVE_BYTES;
	} else {
		type = message_type(p);
	}
	if (type == 4 && len_bytes >= MESSAGE_DATA_MIN_BYTES)
		return is_geneve ? MESSAGE_DATA_GENEVE : MESSAGE_DATA;
	if (type >= 1 && type <= 3)
		return MESSAGE_HANDSHAKE;
	return MESSAGE_OTHER;
}

#endif
