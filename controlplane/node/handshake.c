/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/handshake.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/packets.h"
#include "controlplane/node/peer.h"
#include "controlplane/node/timestamps.h"
#include "controlplane/node/ways.h"
#include "controlplane/noise/wg_limiter.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

/* Some 150 us each with a full handshake: a turn of the loop stays under 5 ms. */
#define BURST 32

struct queued {
	uint8_t type;
	uint16_t len;
	struct dpapi_path from;
	_Alignas(8) uint8_t data[sizeof(struct wg_msg_initiation)];
};

struct handshake {
	struct node *node;
	uv_idle_t idle; /* runs while something is queued */
	struct wg_cookie_checker checker;
	struct wg_limiter limiter;
	uint32_t head, count;
	struct queued queue[WG_HANDSHAKE_QUEUE_MAX];
};

static void count(struct handshake *h, enum counter which)
{
	counters_add(&h->node->counters, which);
}

static void send_cookie(struct handshake *h, const struct queued *q, const struct endpoint *source,
			uint64_t now_ns)
{
	struct wg_msg_cookie reply;

	wg_cookie_reply(&h->checker, &h->node->identity, &node_random, q->data, q->len, source,
			now_ns, &reply);
	count(h, CONTROL_COOKIE_SENT);
	if (packets_send(h->node->packets, &q->from, &reply, sizeof(reply)))
		count(h, CONTROL_SEND_FAILED);
}

/* mac1 always; under load mac2 and the source's rate. Types 1 and 2. */
static bool is_admitted(struct handshake *h, const struct queued *q, uint64_t now_ns,
			bool under_load)
{
	struct endpoint source = dp_path_endpoint(&q->from);

	if (!wg_cookie_mac1_verify(&h->node->identity, q->data, q->len)) {
		count(h, CONTROL_BAD_MAC1);
		return false;
	}
	if (!under_load)
		return true;
	if (!wg_cookie_mac2_verify(&h->checker, q->data, q->len, &source, now_ns)) {
		send_cookie(h, q, &source, now_ns);
		return false;
	}
	if (!wg_limiter_allow(&h->limiter, &source.addr, now_ns)) {
		count(h, CONTROL_RATE_LIMITED);
		return false;
	}
	return true;
}

static void count_refusal(struct handshake *h, int err, enum counter bad_tag)
{
	switch (err) {
	case -EBADMSG:
		count(h, bad_tag);
		return;
	case -EKEYREJECTED:
		count(h, CONTROL_LOW_ORDER);
		return;
	case -ESTALE:
		count(h, CONTROL_REPLAY);
		return;
	case -EBUSY:
		count(h, CONTROL_TOO_FAST);
		return;
	case -ENOSPC:
		count(h, CONTROL_NO_INDEX);
		return;
	default:
		count(h, CONTROL_UNKNOWN_INDEX);
		return;
	}
}

/*
 * A valid message says where the peer is, and the answer goes there. What the
 * engine sends in answer waits for the dataplane, so the place is known by then.
 */
static int deliver(struct node_peer *p, const struct wg_peer_event *ev,
		   const struct dpapi_path *from)
{
	int err = peer_event(p, ev);

	if (!err && peer_has_ways(p))
		peer_ways_on_heard(p, from);
	else if (!err)
		peer_set_path(p, from);
	return err;
}

static void on_initiation(struct handshake *h, const struct queued *q)
{
	struct node *n = h->node;
	struct wg_initiation_in in;
	struct wg_peer_event ev = {.type = WG_EV_INITIATION, .initiation = &in};
	struct node_peer *p;
	int err = wg_initiation_open(&in, &n->identity, (const void *)q->data);

	if (err) {
		count_refusal(h, err, CONTROL_BAD_INITIATION);
		return;
	}
	p = node_peer_by_key(n, in.remote_static);
	if (!p) {
		count(h, CONTROL_UNKNOWN_PEER);
	} else {
		err = deliver(p, &ev, &q->from);
		if (err)
			count_refusal(h, err, CONTROL_BAD_INITIATION);
		/* The response waits for the dataplane, so this comes before it. */
		else if (timestamps_put(n->timestamps, p->cfg->public_key.bytes,
					p->engine.remote.last_accepted))
			count(h, CONTROL_DISK);
	}
	sodium_memzero(&in, sizeof(in));
}

static void on_answer(struct handshake *h, const struct queued *q)
{
	const struct wg_msg_response *response = (const void *)q->data;
	const struct wg_msg_cookie *cookie = (const void *)q->data;
	bool is_cookie = q->type == WG_MSG_COOKIE;
	struct wg_peer_event ev = {.type = is_cookie ? WG_EV_COOKIE : WG_EV_RESPONSE};
	uint32_t index = le32_get(is_cookie ? &cookie->receiver : &response->receiver);
	struct node_peer *p = node_peer_by_id(h->node, index_table_owner(&h->node->indices, index));
	int err;

	if (!p) {
		count(h, CONTROL_UNKNOWN_INDEX);
		return;
	}
	if (is_cookie) {
		ev.cookie = cookie;
		if (peer_event(p, &ev))
			count(h, CONTROL_BAD_COOKIE);
		return;
	}
	ev.response = response;
	err = deliver(p, &ev, &q->from);
	if (err)
		count_refusal(h, err, CONTROL_BAD_RESPONSE);
	else
		log_info("peer.handshake", "peer=%s role=initiator", p->cfg->name);
}

static void work_on(struct handshake *h, const struct queued *q)
{
	uint64_t now_ns = clock_now_ns();
	bool under_load = wg_limiter_under_load(&h->limiter, h->count, now_ns);

	switch ((enum wg_msg_type)q->type) {
	case WG_MSG_INITIATION:
		if (is_admitted(h, q, now_ns, under_load))
			on_initiation(h, q);
		return;
	case WG_MSG_RESPONSE:
		if (is_admitted(h, q, now_ns, under_load))
			on_answer(h, q);
		return;
	case WG_MSG_COOKIE:
		on_answer(h, q);
		return;
	case WG_MSG_DATA:
		return; /* never queued */
	}
}

static void on_idle(uv_idle_t *idle)
{
	struct handshake *h = idle->data;

	for (int i = 0; i < BURST && h->count; i++) {
		const struct queued *q = &h->queue[h->head];

		work_on(h, q);
		h->head = (h->head + 1) % WG_HANDSHAKE_QUEUE_MAX;
		h->count--;
	}
	if (!h->count)
		uv_idle_stop(idle);
}

void handshake_push(void *arg, int type, const uint8_t *data, size_t len,
		    const struct dpapi_path *from)
{
	struct handshake *h = arg;
	struct queued *q;

	if (h->count == WG_HANDSHAKE_QUEUE_MAX) {
		count(h, CONTROL_QUEUE_FULL);
		return;
	}
	q = &h->queue[(h->head + h->count) % WG_HANDSHAKE_QUEUE_MAX];
	h->count++;
	q->type = (uint8_t)type;
	q->len = (uint16_t)len;
	q->from = *from;
	memcpy(q->data, data, len);
	uv_idle_start(&h->idle, on_idle);
}

bool handshake_is_under_load(const struct handshake *h)
{
	return clock_now_ns() < h->limiter.load_until_ns;
}

int handshake_open(struct node *n, struct handshake **out)
{
	struct handshake *h = calloc(1, sizeof(*h));
	uint8_t seed[WG_LIMITER_SEED_BYTES];

	if (!h)
		return -ENOMEM;
	h->node = n;
	randombytes_buf(seed, sizeof(seed));
	wg_limiter_init(&h->limiter, seed);
	uv_idle_init(n->loop, &h->idle);
	h->idle.data = h;
	*out = h;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct handshake *h = handle->data;

	sodium_memzero(&h->checker, sizeof(h->checker));
	free(h);
}

void handshake_close(struct handshake *h)
{
	if (h)
		uv_close((uv_handle_t *)&h->idle, on_closed);
}
