/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ts2021/ts2021_dial.h"
#include "controlplane/ts2021/ts2021_h2.h"

#define SKIP_PLAIN_MS 120000
#define PATH_MAX_LEN  256
#define NOBODYS	      (-1)

struct request {
	struct ts2021_client *c;
	struct request *next;
	int id;
	int32_t stream; /* 0: waits for the connection */
	char path[PATH_MAX_LEN];
	char *body; /* until it is sent */
	size_t len;
	const struct ts2021_events *ev;
	void *arg;
	uv_timer_t timer;
};

struct ts2021_client {
	struct ts2021_client_config cfg;
	struct key server;
	struct ts2021_dial *dial; /* at most one of these two */
	struct ts2021_h2 *h2;
	struct request *requests; /* oldest first */
	int next_id;
	uint64_t dialled_ms; /* when last; 0: never */
	bool is_freed;
	unsigned timers; /* of requests, not closed yet */
};

static void maybe_free(struct ts2021_client *c)
{
	if (!c->is_freed || c->timers)
		return;
	SSL_CTX_free(c->cfg.tls);
	key_wipe(&c->cfg.machine_private);
	free(c);
}

static void on_timer_closed(uv_handle_t *h)
{
	struct request *r = h->data;
	struct ts2021_client *c = r->c;

	free(r);
	c->timers--;
	maybe_free(c);
}

/* Out of the list; its memory goes with its timer. */
static void drop(struct request *r)
{
	struct request **p = &r->c->requests;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	free(r->body);
	r->body = NULL;
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

static void end(struct request *r, const char *why)
{
	const struct ts2021_events *ev = r->ev;
	void *arg = r->arg;

	drop(r);
	ev->on_end(arg, why);
}

/* Those that are there now; what their callbacks send anew waits behind them. */
static void end_all(struct ts2021_client *c, bool only_sent, const char *why)
{
	int last = c->next_id;

	for (;;) {
		struct request *r = c->requests;

		while (r && (r->id > last || (only_sent && !r->stream)))
			r = r->next;
		if (!r || c->is_freed)
			return;
		end(r, why);
	}
}

static struct request *by_stream(struct ts2021_client *c, int32_t stream)
{
	for (struct request *r = c->requests; r; r = r->next)
		if (r->stream == stream)
			return r;
	return NULL;
}

static void on_head(void *arg, int32_t stream, unsigned status, unsigned retry_after_s)
{
	struct request *r = by_stream(arg, stream);

	if (r && r->ev->on_head)
		r->ev->on_head(r->arg, status, retry_after_s);
}

static void on_body(void *arg, int32_t stream, const uint8_t *data, size_t len)
{
	struct request *r = by_stream(arg, stream);

	if (r && r->ev->on_body)
		r->ev->on_body(r->arg, data, len);
}

static void on_end(void *arg, int32_t stream, const char *why)
{
	struct request *r = by_stream(arg, stream);

	if (r)
		end(r, why);
}

static void need_connection(struct ts2021_client *c);

static void on_closed(void *arg, const char *why)
{
	struct ts2021_client *c = arg;
	char text[256];

	snprintf(text, sizeof(text), "%s", why);
	ts2021_h2_free(c->h2);
	c->h2 = NULL;
	end_all(c, true, text);
	if (!c->is_freed && c->requests)
		need_connection(c);
}

static const struct ts2021_h2_events h2_events = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_closed = on_closed};

/* A connection that takes no more streams is left to those that it has. */
static void send_request(struct request *r)
{
	struct ts2021_client *c = r->c;
	int32_t stream = ts2021_h2_post(c->h2, c->cfg.url.authority, r->path, r->body, r->len);

	if (stream < 0) {
		end(r, stream == -ENOMEM ? "no memory" : "the connection takes no more requests");
		return;
	}
	r->stream = stream;
	free(r->body);
	r->body = NULL;
}

static void send_waiting(struct ts2021_client *c)
{
	for (;;) {
		struct request *r = c->requests;

		while (r && r->stream)
			r = r->next;
		if (!r || !c->h2)
			return;
		send_request(r);
	}
}

static void on_secured(void *arg, struct net_stream *s, struct noise_ik_stream *noise,
		       uint8_t *rest, size_t len)
{
	struct ts2021_client *c = arg;

	c->dial = NULL;
	c->h2 = ts2021_h2_new(s, noise, &h2_events, c);
	if (!c->h2) {
		end_all(c, false, "no memory");
		return;
	}
	send_waiting(c);
	if (c->h2 && len)
		ts2021_h2_feed(c->h2, rest, len);
}

static void on_failed(void *arg, const char *why)
{
	struct ts2021_client *c = arg;

	c->dial = NULL;
	end_all(c, false, why);
	if (!c->is_freed && c->requests)
		need_connection(c);
}

static const struct ts2021_dial_events dial_events = {.on_secured = on_secured,
						      .on_failed = on_failed};

static void need_connection(struct ts2021_client *c)
{
	uint64_t now = uv_now(c->cfg.loop) + 1;
	bool skip_plain = c->dialled_ms && now - c->dialled_ms < SKIP_PLAIN_MS;

	if (c->dial || c->h2)
		return;
	c->dialled_ms = now;
	if (ts2021_dial_start(&c->cfg, &c->server, skip_plain, &dial_events, c, &c->dial))
		end_all(c, false, "no memory");
}

int ts2021_client_new(const struct ts2021_client_config *cfg, struct ts2021_client **out)
{
	struct ts2021_client *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	if (c->cfg.tls)
		SSL_CTX_up_ref(c->cfg.tls);
	*out = c;
	return 0;
}

void ts2021_client_free(struct ts2021_client *c)
{
	if (!c)
		return;
	ts2021_cancel_all(c);
	c->is_freed = true;
	maybe_free(c);
}

/* Its end is not told of: the stream is nobody's any more. */
static void cancel_stream(struct request *r)
{
	int32_t stream = r->stream;

	r->stream = NOBODYS;
	if (stream > 0 && r->c->h2)
		ts2021_h2_cancel(r->c->h2, stream);
}

static void on_timeout(uv_timer_t *t)
{
	struct request *r = t->data;

	cancel_stream(r);
	end(r, "timed out");
}

/* What was asked for in a callback is sent from the loop. */
static void on_begin(uv_timer_t *t)
{
	struct request *r = t->data;
	uint64_t timeout_ms = uv_timer_get_repeat(t);

	uv_timer_stop(t);
	if (timeout_ms)
		uv_timer_start(t, on_timeout, timeout_ms, 0);
	if (r->stream)
		return; /* it left with the connection's first ones */
	if (r->c->h2)
		send_request(r);
	else
		need_connection(r->c);
}

int ts2021_post(struct ts2021_client *c, const char *path, const char *body, size_t len,
		uint64_t timeout_ms, const struct ts2021_events *ev, void *arg)
{
	struct request *r = calloc(1, sizeof(*r)), **p = &c->requests;

	if (r)
		r->body = malloc(len + 1);
	if (!r || !r->body) {
		free(r);
		return -ENOMEM;
	}
	memcpy(r->body, body, len);
	r->len = len;
	r->c = c;
	r->id = ++c->next_id;
	r->ev = ev;
	r->arg = arg;
	snprintf(r->path, sizeof(r->path), "%s", path);
	while (*p)
		p = &(*p)->next;
	*p = r;
	c->timers++;
	uv_timer_init(c->cfg.loop, &r->timer);
	r->timer.data = r;
	uv_timer_start(&r->timer, on_begin, 0, timeout_ms);
	return r->id;
}

void ts2021_cancel(struct ts2021_client *c, int id)
{
	for (struct request *r = c->requests; r; r = r->next) {
		if (r->id != id)
			continue;
		cancel_stream(r);
		drop(r);
		return;
	}
}

void ts2021_cancel_all(struct ts2021_client *c)
{
	ts2021_dial_cancel(c->dial);
	c->dial = NULL;
	ts2021_h2_free(c->h2);
	c->h2 = NULL;
	while (c->requests)
		drop(c->requests);
}
