/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/disco.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/bug.h"
#include "lib/wire/be.h"

#define HEAD_BYTES	 2 /* type, version */
#define PONG_BYTES	 (DISCO_TX_ID_BYTES + DISCO_ADDR_BYTES)
#define BIND_BYTES	 72
#define RELAY_BYTES	 124 /* without the addresses */
#define REQUEST_BYTES	 68
#define GENERATION_BYTES 4

const uint8_t disco_magic[DISCO_MAGIC_BYTES] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

static const uint8_t mapped_v4[12] = {[10] = 0xff, [11] = 0xff};

/* Bodies as they lie in the plaintext. */
struct wire_addr {
	uint8_t ip[16];
	wire_be16 port;
};

struct wire_bind {
	wire_be32 vni;
	wire_be32 generation;
	uint8_t remote[DISCO_KEY_BYTES];
	uint8_t challenge[32];
};

struct wire_relay {
	uint8_t server[DISCO_KEY_BYTES];
	uint8_t client[2][DISCO_KEY_BYTES];
	wire_be64 lamport_id;
	wire_be32 vni;
	wire_be64 bind_lifetime_ns;
	wire_be64 steady_lifetime_ns;
};

struct wire_request {
	uint8_t client[2][DISCO_KEY_BYTES];
	wire_be32 generation;
};

static_assert(sizeof(struct disco_envelope) == DISCO_ENVELOPE_BYTES, "disco_envelope");
static_assert(sizeof(struct wire_addr) == DISCO_ADDR_BYTES, "wire_addr");
static_assert(sizeof(struct wire_bind) == BIND_BYTES, "wire_bind");
static_assert(sizeof(struct wire_relay) == RELAY_BYTES, "wire_relay");
static_assert(sizeof(struct wire_request) == REQUEST_BYTES, "wire_request");

bool disco_looks_like(const uint8_t *data, size_t len)
{
	return len >= DISCO_LOOKS_BYTES && !memcmp(data, disco_magic, DISCO_MAGIC_BYTES);
}

static bool is_all_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return !any;
}

static struct endpoint addr_get(const uint8_t *bytes)
{
	const struct wire_addr *a = (const struct wire_addr *)bytes;
	struct endpoint e = {.port = be16_get(&a->port)};

	if (!memcmp(a->ip, mapped_v4, sizeof(mapped_v4))) {
		e.addr.family = AF_INET;
		memcpy(e.addr.bytes, a->ip + sizeof(mapped_v4), 4);
	} else {
		e.addr.family = AF_INET6;
		memcpy(e.addr.bytes, a->ip, sizeof(a->ip));
	}
	return e;
}

static void addr_put(uint8_t *bytes, const struct endpoint *e)
{
	struct wire_addr *a = (struct wire_addr *)bytes;

	if (e->addr.family == AF_INET) {
		memcpy(a->ip, mapped_v4, sizeof(mapped_v4));
		memcpy(a->ip + sizeof(mapped_v4), e->addr.bytes, 4);
	} else {
		memcpy(a->ip, e->addr.bytes, sizeof(a->ip));
	}
	be16_put(&a->port, e->port);
}

struct endpoint disco_addr_at(const struct disco_addrs *a, size_t i)
{
	return a->bytes ? addr_get(a->bytes + i * DISCO_ADDR_BYTES) : a->endpoints[i];
}

static void ping_decode(const uint8_t *body, size_t len, struct disco_msg *out)
{
	size_t rest = len - DISCO_TX_ID_BYTES;

	memcpy(out->ping.tx_id, body, DISCO_TX_ID_BYTES);
	/* A key of zeros is the beginning of padding. */
	if (rest >= DISCO_KEY_BYTES && !is_all_zero(body + DISCO_TX_ID_BYTES, DISCO_KEY_BYTES)) {
		out->ping.has_node_key = true;
		memcpy(out->ping.node_key, body + DISCO_TX_ID_BYTES, DISCO_KEY_BYTES);
		rest -= DISCO_KEY_BYTES;
	}
	out->ping.padding = rest;
}

static void bind_decode(const uint8_t *body, struct disco_msg *out)
{
	const struct wire_bind *w = (const struct wire_bind *)body;

	out->bind.vni = be32_get(&w->vni);
	out->bind.generation = be32_get(&w->generation);
	memcpy(out->bind.remote, w->remote, sizeof(w->remote));
	memcpy(out->bind.challenge, w->challenge, sizeof(w->challenge));
}

/* 0 or -EBADMSG: at least one address, and nothing behind the last one. */
static int relay_decode(const uint8_t *body, size_t len, struct disco_relay *out)
{
	const struct wire_relay *w = (const struct wire_relay *)body;

	if (len < RELAY_BYTES + DISCO_ADDR_BYTES || (len - RELAY_BYTES) % DISCO_ADDR_BYTES)
		return -EBADMSG;
	memcpy(out->server, w->server, sizeof(w->server));
	memcpy(out->client, w->client, sizeof(w->client));
	out->lamport_id = be64_get(&w->lamport_id);
	out->vni = be32_get(&w->vni);
	out->bind_lifetime_ns = (int64_t)be64_get(&w->bind_lifetime_ns);
	out->steady_lifetime_ns = (int64_t)be64_get(&w->steady_lifetime_ns);
	out->addrs.bytes = body + RELAY_BYTES;
	out->addrs.count = (len - RELAY_BYTES) / DISCO_ADDR_BYTES;
	return 0;
}

static int request_decode(const uint8_t *body, size_t len, struct disco_msg *out)
{
	const struct wire_request *w = (const struct wire_request *)body;

	if (len < REQUEST_BYTES)
		return -EBADMSG;
	memcpy(out->request.client, w->client, sizeof(w->client));
	out->request.generation = be32_get(&w->generation);
	return 0;
}

static int response_decode(const uint8_t *body, size_t len, struct disco_msg *out)
{
	if (len < GENERATION_BYTES)
		return -EBADMSG;
	out->response.generation = be32_get((const wire_be32 *)body);
	return relay_decode(body + GENERATION_BYTES, len - GENERATION_BYTES, &out->response.relay);
}

int disco_decode(const uint8_t *plain, size_t len, struct disco_msg *out)
{
	const uint8_t *body = plain + HEAD_BYTES;

	*out = (struct disco_msg){0};
	if (len < HEAD_BYTES)
		return -EBADMSG;
	out->type = plain[0];
	out->version = plain[1];
	len -= HEAD_BYTES;
	switch ((enum disco_type)out->type) {
	case DISCO_PING:
		if (len < DISCO_TX_ID_BYTES)
			return -EBADMSG;
		ping_decode(body, len, out);
		return 0;
	case DISCO_PONG:
		if (len < PONG_BYTES)
			return -EBADMSG;
		memcpy(out->pong.tx_id, body, DISCO_TX_ID_BYTES);
		out->pong.src = addr_get(body + DISCO_TX_ID_BYTES);
		return 0;
	case DISCO_CALL_ME_MAYBE:
		if (!out->version && len % DISCO_ADDR_BYTES == 0) {
			out->call.bytes = body;
			out->call.count = len / DISCO_ADDR_BYTES;
		}
		return 0;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		if (len < BIND_BYTES)
			return -EBADMSG;
		bind_decode(body, out);
		return 0;
	case DISCO_CALL_ME_MAYBE_VIA:
		return out->version ? 0 : relay_decode(body, len, &out->via);
	case DISCO_ALLOCATE_REQUEST:
		return out->version ? 0 : request_decode(body, len, out);
	case DISCO_ALLOCATE_RESPONSE:
		return out->version ? 0 : response_decode(body, len, out);
	}
	return -ENOTSUP;
}

size_t disco_plain_bytes(const struct disco_msg *m)
{
	switch ((enum disco_type)m->type) {
	case DISCO_PING:
		return HEAD_BYTES + DISCO_TX_ID_BYTES +
		       (m->ping.has_node_key ? DISCO_KEY_BYTES : 0u) + m->ping.padding;
	case DISCO_PONG:
		return HEAD_BYTES + PONG_BYTES;
	case DISCO_CALL_ME_MAYBE:
		return HEAD_BYTES + m->call.count * DISCO_ADDR_BYTES;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		return HEAD_BYTES + BIND_BYTES;
	case DISCO_CALL_ME_MAYBE_VIA:
		return HEAD_BYTES + RELAY_BYTES + m->via.addrs.count * DISCO_ADDR_BYTES;
	case DISCO_ALLOCATE_REQUEST:
		return HEAD_BYTES + REQUEST_BYTES;
	case DISCO_ALLOCATE_RESPONSE:
		return HEAD_BYTES + GENERATION_BYTES + RELAY_BYTES +
		       m->response.relay.addrs.count * DISCO_ADDR_BYTES;
	}
	BUG_ON(true);
	return 0;
}

static void addrs_encode(uint8_t *out, const struct disco_addrs *a)
{
	for (size_t i = 0; i < a->count; i++) {
		struct endpoint e = disco_addr_at(a, i);

		addr_put(out + i * DISCO_ADDR_BYTES, &e);
	}
}

static void ping_encode(uint8_t *body, const struct disco_msg *m)
{
	uint8_t *at = body + DISCO_TX_ID_BYTES;

	memcpy(body, m->ping.tx_id, DISCO_TX_ID_BYTES);
	if (m->ping.has_node_key) {
		memcpy(at, m->ping.node_key, DISCO_KEY_BYTES);
		at += DISCO_KEY_BYTES;
	}
	memset(at, 0, m->ping.padding);
}

static void bind_encode(uint8_t *body, const struct disco_msg *m)
{
	struct wire_bind *w = (struct wire_bind *)body;

	be32_put(&w->vni, m->bind.vni);
	be32_put(&w->generation, m->bind.generation);
	memcpy(w->remote, m->bind.remote, sizeof(w->remote));
	memcpy(w->challenge, m->bind.challenge, sizeof(w->challenge));
}

static void relay_encode(uint8_t *body, const struct disco_relay *r)
{
	struct wire_relay *w = (struct wire_relay *)body;

	memcpy(w->server, r->server, sizeof(w->server));
	memcpy(w->client, r->client, sizeof(w->client));
	be64_put(&w->lamport_id, r->lamport_id);
	be32_put(&w->vni, r->vni);
	be64_put(&w->bind_lifetime_ns, (uint64_t)r->bind_lifetime_ns);
	be64_put(&w->steady_lifetime_ns, (uint64_t)r->steady_lifetime_ns);
	addrs_encode(body + RELAY_BYTES, &r->addrs);
}

static void request_encode(uint8_t *body, const struct disco_msg *m)
{
	struct wire_request *w = (struct wire_request *)body;

	memcpy(w->client, m->request.client, sizeof(w->client));
	be32_put(&w->generation, m->request.generation);
}

size_t disco_encode(uint8_t *out, const struct disco_msg *m)
{
	uint8_t *body = out + HEAD_BYTES;

	out[0] = m->type;
	out[1] = 0;
	switch ((enum disco_type)m->type) {
	case DISCO_PING:
		ping_encode(body, m);
		break;
	case DISCO_PONG:
		memcpy(body, m->pong.tx_id, DISCO_TX_ID_BYTES);
		addr_put(body + DISCO_TX_ID_BYTES, &m->pong.src);
		break;
	case DISCO_CALL_ME_MAYBE:
		addrs_encode(body, &m->call);
		break;
	case DISCO_BIND:
	case DISCO_BIND_CHALLENGE:
	case DISCO_BIND_ANSWER:
		bind_encode(body, m);
		break;
	case DISCO_CALL_ME_MAYBE_VIA:
		relay_encode(body, &m->via);
		break;
	case DISCO_ALLOCATE_REQUEST:
		request_encode(body, m);
		break;
	case DISCO_ALLOCATE_RESPONSE:
		be32_put((wire_be32 *)body, m->response.generation);
		relay_encode(body + GENERATION_BYTES, &m->response.relay);
		break;
	}
	return disco_plain_bytes(m);
}
