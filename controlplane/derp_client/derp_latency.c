/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_latency.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/net/http_reply.h"
#include "lib/base/clock.h"

#define ANSWER_MAX 16384

struct derp_latency {
	struct derp_dial_env env;
	derp_latency_fn *fn;
	void *arg;
	uint16_t region;
	struct derp_dial *dial;
	struct net_stream *stream;
	uint64_t asked_ns;
	uv_timer_t timer;
	bool is_over;
	char answer[ANSWER_MAX];
	size_t len;
	size_t at, count;
	struct derp_target target[];
};

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void end(struct derp_latency *l)
{
	l->is_over = true;
	derp_dial_cancel(l->dial);
	net_stream_close(l->stream, false);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

void derp_latency_cancel(struct derp_latency *l)
{
	if (l && !l->is_over)
		end(l);
}

static void failed(struct derp_latency *l, const char *why)
{
	const struct endpoint none = {0};
	char text[DERP_DIAL_WHY_MAX];

	snprintf(text, sizeof(text), "%s", why);
	end(l);
	l->fn(l->arg, l->region, 0, &none, text);
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct derp_latency *l = arg;
	struct http_reply reply = {0};
	struct endpoint remote;
	char why[64];
	uint64_t ns;
	int rc;

	if (len > sizeof(l->answer) - l->len) {
		failed(l, "the answer to the latency check is too long");
		return;
	}
	memcpy(l->answer + l->len, data, len);
	l->len += len;
	rc = http_reply_parse(l->answer, l->len, false, &reply);
	if (rc == 0)
		return;
	/* An answer of another kind comes from something between. */
	if (rc < 0 || reply.status < 200 || reply.status > 299) {
		snprintf(why, sizeof(why), "latency check: http %d", reply.status);
		failed(l, rc < 0 ? "latency check: no HTTP answer" : why);
		return;
	}
	ns = clock_now_ns() - l->asked_ns;
	net_stream_remote(l->stream, &remote);
	end(l);
	l->fn(l->arg, l->region, ns ? ns : 1, &remote, "");
}

static void on_close(void *arg, int err, const char *why)
{
	struct derp_latency *l = arg;

	l->stream = NULL;
	failed(l, why);
}

static const struct net_stream_events stream_events = {.on_data = on_data, .on_close = on_close};

static void on_ready(void *arg, struct net_stream *s, const struct key *server_key)
{
	struct derp_latency *l = arg;
	char host[DERP_TARGET_TEXT_MAX], request[DERP_TARGET_TEXT_MAX + 64];
	int n;

	l->dial = NULL;
	l->stream = s;
	net_stream_set_events(s, &stream_events, l);
	n = snprintf(request, sizeof(request),
		     "GET /derp/latency-check HTTP/1.1\r\nHost: %s\r\n\r\n",
		     derp_target_print(&l->target[l->at], true, host));
	l->asked_ns = clock_now_ns();
	if (net_stream_write(s, request, (size_t)n))
		failed(l, "no memory");
}

static void on_dial_failed(void *arg, const char *why);

static const struct derp_dial_events dial_events = {.on_ready = on_ready,
						    .on_failed = on_dial_failed};

/* The first relay from l->at on that can be dialled. */
static int dial(struct derp_latency *l, char why[DERP_DIAL_WHY_MAX])
{
	int rc = -EADDRNOTAVAIL;

	for (; l->at < l->count; l->at++) {
		rc = derp_dial_start(&l->env, &l->target[l->at], &dial_events, l, &l->dial, why);
		if (rc == 0)
			break;
	}
	return rc;
}

static void on_dial_failed(void *arg, const char *why)
{
	struct derp_latency *l = arg;
	char text[DERP_DIAL_WHY_MAX];

	snprintf(text, sizeof(text), "%s", why);
	l->dial = NULL;
	l->at++;
	if (dial(l, text))
		failed(l, text);
}

static void on_timer(uv_timer_t *t)
{
	failed(t->data, "the latency check took too long");
}

int derp_latency_start(const struct derp_dial_env *env, const struct derp_map_region *region,
		       derp_latency_fn *fn, void *arg, struct derp_latency **out,
		       char why[DERP_DIAL_WHY_MAX])
{
	struct derp_latency *l = calloc(1, sizeof(*l) + region->node_count * sizeof(l->target[0]));
	int rc;

	snprintf(why, DERP_DIAL_WHY_MAX, "%s", l ? "no relay in this region" : "no memory");
	if (!l)
		return -ENOMEM;
	for (size_t i = 0; i < region->node_count; i++)
		if (!region->node[i].is_stun_only &&
		    derp_target_init(&l->target[l->count], &region->node[i], !env->tls) == 0)
			l->count++;
	l->env = *env;
	l->fn = fn;
	l->arg = arg;
	l->region = region->id;
	rc = dial(l, why);
	if (rc) {
		free(l);
		return rc;
	}
	uv_timer_init(env->loop, &l->timer);
	l->timer.data = l;
	uv_timer_start(&l->timer, on_timer, DERP_LATENCY_MS, 0);
	*out = l;
	return 0;
}
