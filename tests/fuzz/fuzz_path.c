/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a path engine events, and messages that are sealed rightly or not at all: it sends nowhere
 * that is refused, keeps its bounds, and its timer does not stand still.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "controlplane/path/path_peer.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t last_tx[DISCO_TX_ID_BYTES];
static struct disco_box theirs;

static void fill(void *ctx, void *buf, size_t len)
{
	uint8_t *next = ctx;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(++*next * 37);
	if (len == sizeof(last_tx))
		memcpy(last_tx, buf, len);
}

static void act(void *ctx, const struct path_action *a)
{
	(void)ctx;
	BUG_ON(a->to.addr.family && !path_addr_is_allowed(&a->to));
	BUG_ON(a->type == PATH_SEND && !a->to.addr.family && !a->region);
	BUG_ON(a->type == PATH_SEND && (!a->len || a->len > DISCO_BOX_BYTES_MAX));
}

static void message(struct path_peer *p, const uint8_t *arg, size_t len, uint64_t now_ns)
{
	uint8_t buf[DISCO_BOX_BYTES_MAX] = {0};
	struct disco_msg m = {.type = DISCO_PONG};
	struct endpoint from = {{AF_INET, {arg[0], 1, 2, arg[1]}}, arg[2]};
	size_t n = len < DISCO_BOX_PLAIN_MAX ? len : DISCO_BOX_PLAIN_MAX;
	const struct endpoint *src = arg[3] & 1 ? &from : NULL;

	if (arg[3] & 2) { /* any plaintext in a good box */
		memcpy(buf, disco_magic, DISCO_MAGIC_BYTES);
		memcpy(buf + DISCO_MAGIC_BYTES, theirs.own.bytes, KEY_BYTES);
		crypto_box_easy_afternm(buf + DISCO_ENVELOPE_BYTES, arg, n,
					buf + DISCO_MAGIC_BYTES + KEY_BYTES, theirs.shared);
		n += DISCO_ENVELOPE_BYTES + DISCO_TAG_BYTES;
	} else if (arg[3] & 4) { /* the answer to the last ping */
		memcpy(m.pong.tx_id, last_tx, sizeof(last_tx));
		m.pong.src = from;
		n = disco_box_seal(&theirs, &m, buf, buf);
	} else {
		memcpy(buf, arg, n);
	}
	path_peer_on_disco(p, buf, n, src, arg[2], now_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct path_peer p;
	static const struct key ours = {{8}}, other = {{16}};
	struct endpoint own = {{AF_INET, {10, 1, 2, 3}}, 5}, e[2] = {own, {{AF_INET, {9, 9}}, 1}};
	struct path_self self = {.disco_private = ours, .endpoints = &own, .endpoint_count = 1};
	struct path_env env = {.random = fill, .act = act};
	uint64_t now_ns = 1;
	uint8_t next = 0;
	struct key peer;

	env.ctx = &next;
	crypto_scalarmult_base(self.disco.bytes, ours.bytes);
	crypto_scalarmult_base(peer.bytes, other.bytes);
	BUG_ON(disco_box_init(&theirs, &other, &peer, &self.disco));
	path_peer_init(&p, &env, &self);
	path_peer_set(&p, &peer, 1, e, 2, now_ns);
	while (size >= 8) {
		struct path_explanation x;
		uint8_t n = data[1];

		now_ns += (uint64_t)data[2] * data[2] * NS_PER_MS;
		e[0].addr.bytes[0] = data[3];
		switch (data[0] % 10) {
		case 0:
			path_peer_set(&p, n & 1 ? &peer : &ours, n, e, n % 3, now_ns);
			break;
		case 1:
			path_peer_on_activity(&p, now_ns);
			break;
		case 2:
			path_peer_on_silence(&p, now_ns);
			break;
		case 3:
			self.endpoints_ns = now_ns;
			path_peer_on_endpoints(&p, now_ns);
			break;
		case 4:
			path_peer_on_link_change(&p, now_ns);
			break;
		case 5:
			path_peer_on_unreachable(&p, &e[1], now_ns);
			break;
		case 6:
			path_peer_on_derp(&p, n, now_ns);
			break;
		default:
			n = n < size - 4 && n >= 4 ? n : 4;
			message(&p, data + 4, n, now_ns);
			data += n - 4;
			size -= n - 4u;
			break;
		}
		path_peer_on_timer(&p, now_ns);
		BUG_ON(path_peer_next_ns(&p) <= now_ns);
		BUG_ON(p.candidates.count > PATH_CANDIDATES_MAX);
		for (size_t i = 0; path_peer_explain(&p, i, now_ns, &x); i++)
			BUG_ON(!path_verdict_text(x.verdict));
		data += 8;
		size = size >= 8 ? size - 8 : 0;
	}
	path_peer_fini(&p);
	return 0;
}
