/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DERP frames (docs/protocol/derp.md): a relay's client and server exchange them
 * on one byte stream. A frame is 5 bytes of header and a body; all integers are
 * big-endian. Here are their layouts and the length that each side wants; buffers
 * and sockets are the caller's. Any thread.
 *
 *    | type 1 | length of the body 4 | body |
 */
#ifndef LIB_WIRE_DERP_FRAME_H
#define LIB_WIRE_DERP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"

#define DERP_VERSION	  2
#define DERP_KEY_BYTES	  32
#define DERP_NONCE_BYTES  24
#define DERP_TAG_BYTES	  16
#define DERP_MAGIC_BYTES  8
#define DERP_HEADER_BYTES 5
#define DERP_PING_BYTES	  8
#define DERP_PACKET_MAX	  65536u /* of a packet that is relayed */
/* A server skips frames of types that it does not know up to this length. */
#define DERP_SKIP_MAX (DERP_PACKET_MAX + DERP_KEY_BYTES)
/* A client takes no frame that is longer. */
#define DERP_CLIENT_MAX	     (1u << 20)
#define DERP_CLIENT_INFO_MAX 262144u
#define DERP_SERVER_KEY_MAX  1024u

extern const uint8_t derp_magic[DERP_MAGIC_BYTES];

enum derp_type {
	DERP_SERVER_KEY = 0x01,
	DERP_CLIENT_INFO = 0x02,
	DERP_SERVER_INFO = 0x03,
	DERP_SEND_PACKET = 0x04,
	DERP_RECV_PACKET = 0x05,
	DERP_KEEP_ALIVE = 0x06,
	DERP_NOTE_PREFERRED = 0x07,
	DERP_PEER_GONE = 0x08,
	DERP_PEER_PRESENT = 0x09,
	DERP_FORWARD_PACKET = 0x0a,
	DERP_WATCH_CONNS = 0x10,
	DERP_CLOSE_PEER = 0x11,
	DERP_PING = 0x12,
	DERP_PONG = 0x13,
	DERP_HEALTH = 0x14,
	DERP_RESTARTING = 0x15,
};

enum derp_gone_reason {
	DERP_GONE_DISCONNECTED = 0,
	DERP_GONE_NOT_HERE = 1,
};

enum derp_present_flags {
	DERP_PRESENT_REGULAR = 1, /* only if none of the others is set */
	DERP_PRESENT_MESH_PEER = 2,
	DERP_PRESENT_PROBER = 4,
	DERP_PRESENT_NOT_IDEAL = 8,
};

struct derp_header {
	uint8_t type; /* enum derp_type, or one that is not known */
	uint32_t len; /* of the body */
};

/* Reads DERP_HEADER_BYTES. */
struct derp_header derp_header_get(const uint8_t *in);
/* Writes DERP_HEADER_BYTES. */
void derp_header_put(uint8_t *out, uint8_t type, uint32_t body_len);
/* "SendPacket", "?" */
const char *derp_type_name(uint8_t type);

/* What a receiver does with a frame of this type and length, before it has the body. */
enum derp_verdict {
	DERP_TAKE,
	DERP_IGNORE, /* read over the body */
	DERP_CLOSE,  /* the connection ends */
};

/*
 * The server's, once the handshake is over. is_mesh: the client has shown the mesh
 * key, without which WatchConns, ClosePeer and ForwardPacket close the connection.
 */
enum derp_verdict derp_server_verdict(const struct derp_header *h, bool is_mesh);
/* The client's, once it has seen ServerKey. */
enum derp_verdict derp_client_verdict(const struct derp_header *h);

/* Bodies. All _get: 0, or -EBADMSG; later parts that are missing are zero. */

struct derp_present {
	uint8_t key[DERP_KEY_BYTES];
	struct endpoint where; /* family 0 = not said */
	uint8_t flags;	       /* enum derp_present_flags, 0 = an old server's */
	char app_name[33];     /* printable ASCII, empty = none */
};

#define DERP_PRESENT_BYTES_MAX (DERP_KEY_BYTES + 18 + 1 + 1 + 32)

int derp_server_key_get(const uint8_t *body, size_t len, uint8_t key[DERP_KEY_BYTES]);
/* Writes DERP_MAGIC_BYTES + DERP_KEY_BYTES. */
void derp_server_key_put(uint8_t *out, const uint8_t key[DERP_KEY_BYTES]);
int derp_gone_get(const uint8_t *body, size_t len, uint8_t key[DERP_KEY_BYTES], uint8_t *reason);
int derp_present_get(const uint8_t *body, size_t len, struct derp_present *out);
/* Writes the body and returns its bytes; without an app name it ends with the flags. */
size_t derp_present_put(uint8_t *out, const struct derp_present *p);
/* Writes 8 bytes. */
void derp_restarting_put(uint8_t *out, uint32_t reconnect_ms, uint32_t try_for_ms);
int derp_restarting_get(const uint8_t *body, size_t len, uint32_t *reconnect_ms,
			uint32_t *try_for_ms);

/* 1 to 32 bytes of 0x20 to 0x7e: what a server takes for the name of an application. */
bool derp_app_name_ok(const char *name, size_t len);

#endif
