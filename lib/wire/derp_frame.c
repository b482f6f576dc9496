/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/derp_frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/wire/be.h"

#define ADDR_BYTES	 18 /* IPv6, IPv4 mapped into it; port */
#define APP_NAME_MAX	 32
#define SERVER_PING_MAX	 1000
#define SERVER_INFO_MAX	 (DERP_NONCE_BYTES + (1u << 20))
#define RESTARTING_BYTES 8

const uint8_t derp_magic[DERP_MAGIC_BYTES] = {0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91};

static const uint8_t mapped_v4[12] = {[10] = 0xff, [11] = 0xff};

struct derp_header derp_header_get(const uint8_t *in)
{
	return (struct derp_header){
		.type = in[0],
		.len = be32_get((const wire_be32 *)(in + 1)),
	};
}

void derp_header_put(uint8_t *out, uint8_t type, uint32_t body_len)
{
	out[0] = type;
	be32_put((wire_be32 *)(out + 1), body_len);
}

const char *derp_type_name(uint8_t type)
{
	switch ((enum derp_type)type) {
	case DERP_SERVER_KEY:
		return "ServerKey";
	case DERP_CLIENT_INFO:
		return "ClientInfo";
	case DERP_SERVER_INFO:
		return "ServerInfo";
	case DERP_SEND_PACKET:
		return "SendPacket";
	case DERP_RECV_PACKET:
		return "RecvPacket";
	case DERP_KEEP_ALIVE:
		return "KeepAlive";
	case DERP_NOTE_PREFERRED:
		return "NotePreferred";
	case DERP_PEER_GONE:
		return "PeerGone";
	case DERP_PEER_PRESENT:
		return "PeerPresent";
	case DERP_FORWARD_PACKET:
		return "ForwardPacket";
	case DERP_WATCH_CONNS:
		return "WatchConns";
	case DERP_CLOSE_PEER:
		return "ClosePeer";
	case DERP_PING:
		return "Ping";
	case DERP_PONG:
		return "Pong";
	case DERP_HEALTH:
		return "Health";
	case DERP_RESTARTING:
		return "Restarting";
	}
	return "?";
}

static enum derp_verdict take_if(bool is_right)
{
	return is_right ? DERP_TAKE : DERP_CLOSE;
}

enum derp_verdict derp_server_verdict(const struct derp_header *h, bool is_mesh)
{
	switch ((enum derp_type)h->type) {
	case DERP_SEND_PACKET:
		return take_if(h->len >= DERP_KEY_BYTES &&
			       h->len <= DERP_KEY_BYTES + DERP_PACKET_MAX);
	case DERP_FORWARD_PACKET:
		return take_if(is_mesh && h->len >= 2 * DERP_KEY_BYTES &&
			       h->len <= 2 * DERP_KEY_BYTES + DERP_PACKET_MAX);
	case DERP_NOTE_PREFERRED:
		return take_if(h->len == 1);
	case DERP_WATCH_CONNS:
		return take_if(is_mesh && h->len == 0);
	case DERP_CLOSE_PEER:
		return take_if(is_mesh && h->len == DERP_KEY_BYTES);
	case DERP_PING:
		return take_if(h->len >= DERP_PING_BYTES && h->len <= SERVER_PING_MAX);
	default:
		return h->len <= DERP_SKIP_MAX ? DERP_IGNORE : DERP_CLOSE;
	}
}

enum derp_verdict derp_client_verdict(const struct derp_header *h)
{
	uint32_t least = 0;

	switch ((enum derp_type)h->type) {
	case DERP_SERVER_INFO:
		return take_if(h->len >= DERP_NONCE_BYTES && h->len <= SERVER_INFO_MAX);
	case DERP_RECV_PACKET:
	case DERP_PEER_GONE:
	case DERP_PEER_PRESENT:
		least = DERP_KEY_BYTES;
		break;
	case DERP_PING:
	case DERP_PONG:
		least = DERP_PING_BYTES;
		break;
	case DERP_RESTARTING:
		least = RESTARTING_BYTES;
		break;
	case DERP_KEEP_ALIVE:
	case DERP_HEALTH:
		break;
	default:
		return h->len <= DERP_CLIENT_MAX ? DERP_IGNORE : DERP_CLOSE;
	}
	if (h->len > DERP_CLIENT_MAX)
		return DERP_CLOSE;
	return h->len >= least ? DERP_TAKE : DERP_IGNORE;
}

int derp_server_key_get(const uint8_t *body, size_t len, uint8_t key[DERP_KEY_BYTES])
{
	if (len < DERP_MAGIC_BYTES + DERP_KEY_BYTES || len > DERP_SERVER_KEY_MAX ||
	    memcmp(body, derp_magic, DERP_MAGIC_BYTES) != 0)
		return -EBADMSG;
	memcpy(key, body + DERP_MAGIC_BYTES, DERP_KEY_BYTES);
	return 0;
}

void derp_server_key_put(uint8_t *out, const uint8_t key[DERP_KEY_BYTES])
{
	memcpy(out, derp_magic, DERP_MAGIC_BYTES);
	memcpy(out + DERP_MAGIC_BYTES, key, DERP_KEY_BYTES);
}

int derp_gone_get(const uint8_t *body, size_t len, uint8_t key[DERP_KEY_BYTES], uint8_t *reason)
{
	if (len < DERP_KEY_BYTES)
		return -EBADMSG;
	memcpy(key, body, DERP_KEY_BYTES);
	*reason = len > DERP_KEY_BYTES ? body[DERP_KEY_BYTES] : DERP_GONE_DISCONNECTED;
	return 0;
}

bool derp_app_name_ok(const char *name, size_t len)
{
	if (!len || len > APP_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] < 0x20 || name[i] > 0x7e)
			return false;
	return true;
}

static void where_get(const uint8_t *in, struct endpoint *out)
{
	out->port = be16_get((const wire_be16 *)(in + 16));
	if (!memcmp(in, mapped_v4, sizeof(mapped_v4))) {
		out->addr.family = AF_INET;
		memcpy(out->addr.bytes, in + sizeof(mapped_v4), 4);
	} else {
		out->addr.family = AF_INET6;
		memcpy(out->addr.bytes, in, 16);
	}
}

int derp_present_get(const uint8_t *body, size_t len, struct derp_present *out)
{
	size_t at = DERP_KEY_BYTES;
	uint8_t name_len;

	*out = (struct derp_present){0};
	if (len < at)
		return -EBADMSG;
	memcpy(out->key, body, DERP_KEY_BYTES);
	if (len < at + ADDR_BYTES)
		return 0;
	where_get(body + at, &out->where);
	at += ADDR_BYTES;
	if (len <= at)
		return 0;
	out->flags = body[at++];
	if (len <= at)
		return 0;
	name_len = body[at++];
	/* One that is not valid is as good as none. */
	if (name_len <= len - at && derp_app_name_ok((const char *)body + at, name_len))
		memcpy(out->app_name, body + at, name_len);
	return 0;
}

size_t derp_present_put(uint8_t *out, const struct derp_present *p)
{
	size_t name_len = strnlen(p->app_name, APP_NAME_MAX), at = DERP_KEY_BYTES;

	memcpy(out, p->key, DERP_KEY_BYTES);
	memset(out + at, 0, ADDR_BYTES);
	if (p->where.addr.family == AF_INET) {
		memcpy(out + at, mapped_v4, sizeof(mapped_v4));
		memcpy(out + at + sizeof(mapped_v4), p->where.addr.bytes, 4);
	} else if (p->where.addr.family == AF_INET6) {
		memcpy(out + at, p->where.addr.bytes, 16);
	}
	be16_put((wire_be16 *)(out + at + 16), p->where.port);
	at += ADDR_BYTES;
	out[at++] = p->flags;
	if (name_len) {
		out[at++] = (uint8_t)name_len;
		memcpy(out + at, p->app_name, name_len);
		at += name_len;
	}
	return at;
}

void derp_restarting_put(uint8_t *out, uint32_t reconnect_ms, uint32_t try_for_ms)
{
	be32_put((wire_be32 *)out, reconnect_ms);
	be32_put((wire_be32 *)(out + 4), try_for_ms);
}

int derp_restarting_get(const uint8_t *body, size_t len, uint32_t *reconnect_ms,
			uint32_t *try_for_ms)
{
	if (len < RESTARTING_BYTES)
		return -EBADMSG;
	*reconnect_ms = be32_get((const wire_be32 *)body);
	*try_for_ms = be32_get((const wire_be32 *)(body + 4));
	return 0;
}
