/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/dp_refresh.h"

#include <errno.h>
#include <stdlib.h>

#include <jansson.h>

#include "controlplane/node/dp_sync.h"
#include "controlplane/node/peer.h"
#include "lib/base/clock.h"

#define TEXT_MAX   (64u << 20)
#define TIMEOUT_MS 1000

struct refresh_wait {
	struct refresh_wait *next;
	void (*cb)(void *arg);
	void *arg;
};

struct dp_refresh {
	struct node *node;
	bool busy;
	bool is_late; /* the last question was not answered in time */
	char *text;   /* of the answer, as far as it has come */
	size_t len;
	struct refresh_wait *waits;
	uv_timer_t timeout;
};

void dp_refresh_cancel(struct dp_refresh *r)
{
	struct refresh_wait *w = r->waits;

	uv_timer_stop(&r->timeout);
	r->busy = false;
	free(r->text);
	r->text = NULL;
	r->len = 0;
	r->waits = NULL;
	while (w) {
		struct refresh_wait *next = w->next;

		w->cb(w->arg);
		free(w);
		w = next;
	}
}

static void on_timeout(uv_timer_t *t)
{
	struct dp_refresh *r = t->data;

	r->is_late = true;
	dp_refresh_cancel(r);
}

bool dp_refresh_is_late(const struct dp_refresh *r)
{
	return r->is_late;
}

void dp_refresh_start(struct dp_refresh *r, void (*cb)(void *arg), void *arg)
{
	struct dpapi_show msg = {.hdr = {.type = DPAPI_SHOW}, .what = "peers"};
	struct refresh_wait *w = malloc(sizeof(*w));

	if (!w || !dp_sync_is_ready(r->node)) {
		free(w);
		cb(arg);
		return;
	}
	*w = (struct refresh_wait){r->waits, cb, arg};
	r->waits = w;
	if (r->busy)
		return;
	r->busy = true;
	uv_timer_start(&r->timeout, on_timeout, TIMEOUT_MS, 0);
	dp_sync_send(r->node, &msg, sizeof(msg));
}

static uint64_t json_u64(const json_t *row, const char *key, uint64_t otherwise)
{
	const json_t *v = json_object_get(row, key);

	return json_is_integer(v) ? (uint64_t)json_integer_value(v) : otherwise;
}

/* Seconds ago, 0 = never, as boot time. */
static uint64_t json_age(const json_t *row, const char *key, uint64_t otherwise)
{
	const json_t *v = json_object_get(row, key);
	uint64_t now = clock_now_ns();
	double age = json_is_number(v) ? json_number_value(v) * NS_PER_SEC : 0;

	return age > 0 && age < (double)now ? now - (uint64_t)age : otherwise;
}

static void take_peer_row(struct node *n, const json_t *row)
{
	struct node_peer *p = node_peer_by_id(n, (uint32_t)json_u64(row, "id", 0));

	if (!p)
		return;
	p->rx_bytes = json_u64(row, "rx_bytes", p->rx_bytes);
	p->tx_bytes = json_u64(row, "tx_bytes", p->tx_bytes);
	p->rx_packets = json_u64(row, "rx_packets", p->rx_packets);
	p->tx_packets = json_u64(row, "tx_packets", p->tx_packets);
	p->last_rx_ns = json_age(row, "last_rx_s", p->last_rx_ns);
	p->last_tx_ns = json_age(row, "last_tx_s", p->last_tx_ns);
}

void dp_refresh_reply(struct dp_refresh *r, const struct dpapi_show_reply *reply,
		      const uint8_t *body, size_t body_len)
{
	json_t *root, *row;
	char *text;
	size_t i;

	r->is_late = false;
	if (!r->busy || reply->error || r->len + body_len > TEXT_MAX) {
		dp_refresh_cancel(r);
		return;
	}
	text = realloc(r->text, r->len + body_len + 1);
	if (!text) {
		dp_refresh_cancel(r);
		return;
	}
	r->text = text;
	memcpy(text + r->len, body, body_len);
	r->len += body_len;
	if (reply->more)
		return;
	root = json_loadb(r->text, r->len, 0, NULL);
	json_array_foreach(json_object_get(root, "peers"), i, row) take_peer_row(r->node, row);
	json_decref(root);
	dp_refresh_cancel(r);
}

int dp_refresh_open(struct node *n, struct dp_refresh **out)
{
	struct dp_refresh *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->node = n;
	uv_timer_init(n->loop, &r->timeout);
	r->timeout.data = r;
	*out = r;
	return 0;
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void dp_refresh_close(struct dp_refresh *r)
{
	if (!r)
		return;
	dp_refresh_cancel(r);
	uv_close((uv_handle_t *)&r->timeout, on_closed);
}
