/* SPDX-License-Identifier: Apache-2.0 */
/* The DERP handshake of a client: ServerKey, ClientInfo, perhaps a question, ServerInfo. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp/client.h"
#include "controlplane/derp/hello.h"
#include "lib/base/clock.h"

#define KEEPALIVE_NS	   (60 * NS_PER_SEC)
#define KEEPALIVE_JITTER_S 5

int client_send_server_key(struct client *c)
{
	size_t body = DERP_MAGIC_BYTES + DERP_KEY_BYTES;
	uint8_t *p = client_control(c, DERP_HEADER_BYTES + body);

	if (!p)
		return -ENOMEM;
	derp_header_put(p, DERP_SERVER_KEY, (uint32_t)body);
	derp_server_key_put(p + DERP_HEADER_BYTES, c->worker->relay->identity.public_key.bytes);
	c->deadline_ns = c->worker->now_ns + SET_UP_NS;
	/* At once: even a client whose ClientInfo is refused has seen who refuses. */
	client_write(c);
	return 0;
}

void client_set_keepalive(struct client *c)
{
	c->keepalive_ns = c->worker->now_ns + KEEPALIVE_NS +
			  randombytes_uniform(KEEPALIVE_JITTER_S * 1000) * NS_PER_MS;
}

static int welcome(struct client *c, const struct hello *h)
{
	uint8_t answer[HELLO_SERVER_INFO_MAX], *p;
	size_t n = hello_answer(&c->worker->relay->identity, h->key, answer);
	uint8_t flags = (h->is_mesh ? DERP_PRESENT_MESH_PEER : 0) |
			(h->is_prober ? DERP_PRESENT_PROBER : 0);

	p = n ? client_control(c, n) : NULL;
	if (!p)
		return -EPROTO;
	memcpy(p, answer, n);
	c->is_mesh = h->is_mesh;
	c->state = CLIENT_UP;
	c->deadline_ns = 0;
	c->tokens = (int64_t)c->worker->relay->limits.client_burst;
	c->tokens_ns = c->worker->now_ns;
	client_set_keepalive(c);
	COUNT(c->worker, joined, 1);
	return frames_join(c, h->key, flags ? flags : DERP_PRESENT_REGULAR);
}

/* Nothing more is read of the client until the answer is there. */
static int ask(struct client *c, const struct hello *h)
{
	struct admission_question q = {.id = c->id, .from = c->from.addr};

	c->asked = malloc(sizeof(*c->asked));
	if (!c->asked)
		return -ENOMEM;
	*c->asked = *h;
	memcpy(q.key.bytes, h->key, KEY_BYTES);
	c->state = CLIENT_ASKED;
	return admission_ask(c->worker->relay->admission, &q) ? 0 : -EBUSY;
}

void client_on_answer(struct client *c, bool is_allowed)
{
	struct hello h;

	if (c->state != CLIENT_ASKED)
		return;
	h = *c->asked;
	free(c->asked);
	c->asked = NULL;
	if (!is_allowed) {
		COUNT(c->worker, not_admitted, 1);
		client_close(c);
		return;
	}
	if (welcome(c, &h))
		client_close(c);
	else
		client_go_on(c);
}

long client_take_info(struct client *c, const uint8_t *data, size_t len)
{
	const struct relay *r = c->worker->relay;
	struct derp_header h;
	struct hello hello;

	if (len < DERP_HEADER_BYTES)
		return 0;
	h = derp_header_get(data);
	if (h.type != DERP_CLIENT_INFO || h.len > HELLO_CLIENT_INFO_MAX)
		return -EPROTO;
	if (len < DERP_HEADER_BYTES + h.len)
		return h.len < DERP_KEY_BYTES + DERP_NONCE_BYTES ? -EPROTO : 0;
	if (hello_open(&r->identity, r->mesh_key, data + DERP_HEADER_BYTES, h.len, &hello) ||
	    (r->admission && !hello.is_mesh ? ask(c, &hello) : welcome(c, &hello)))
		return -EPROTO;
	return DERP_HEADER_BYTES + (long)h.len;
}
