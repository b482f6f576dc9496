/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp_client/derp_conn_state.h"
#include "lib/base/clock.h"

#define REQUEST_MAX (DERP_TARGET_TEXT_MAX + DERP_TARGET_NAME_MAX + 160 + DERP_HELLO_MAX)

static void on_handle_closed(uv_handle_t *h)
{
	struct derp_conn *c = h->data;

	if (--c->handles)
		return;
	derp_reader_fini(&c->reader);
	free(c);
}

void derp_conn_close(struct derp_conn *c)
{
	if (!c || c->state == DERP_CONN_CLOSED)
		return;
	c->state = DERP_CONN_CLOSED;
	derp_dial_cancel(c->dial);
	net_stream_close(c->stream, false);
	free(c->answer);
	c->answer = NULL;
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
	uv_close((uv_handle_t *)&c->flush, on_handle_closed);
}

void derp_conn_fail(struct derp_conn *c, const char *why)
{
	char text[DERP_CONN_WHY_MAX];

	if (c->state == DERP_CONN_CLOSED)
		return;
	snprintf(text, sizeof(text), "%s", why);
	derp_conn_close(c);
	c->ev->on_close(c->arg, text);
}

/* ---- what is sent ---- */

void derp_conn_send(struct derp_conn *c, enum derp_type type, const void *body, size_t len)
{
	uint8_t frame[DERP_HEADER_BYTES + DERP_PING_BYTES];

	derp_header_put(frame, (uint8_t)type, (uint32_t)len);
	memcpy(frame + DERP_HEADER_BYTES, body, len);
	/* What fails here ends the stream, which tells. */
	net_stream_write(c->stream, frame, DERP_HEADER_BYTES + len);
}

static void note_home(struct derp_conn *c)
{
	uint8_t value = c->is_home;

	if (c->state < DERP_CONN_GREETING || c->state == DERP_CONN_CLOSED ||
	    c->told_home == c->is_home)
		return;
	c->told_home = c->is_home;
	derp_conn_send(c, DERP_NOTE_PREFERRED, &value, 1);
}

static void on_flush(uv_prepare_t *h)
{
	struct derp_conn *c = h->data;
	const uint8_t *data;
	size_t len;
	uint64_t now_ns = clock_now_ns(),
		 ms = c->has_drained ? DERP_SENDQ_OPEN_MS : DERP_SENDQ_WAIT_MS;

	uv_prepare_stop(h);
	while (net_stream_queued(c->stream) < DERP_CONN_STREAM_MAX) {
		data = derp_sendq_first(c->queue, now_ns, ms * NS_PER_MS, &len);
		if (!data) {
			c->has_drained = true;
			return;
		}
		if (net_stream_write(c->stream, data, len))
			return;
		derp_sendq_sent(c->queue);
	}
}

void derp_conn_kick(struct derp_conn *c)
{
	if (c->state == DERP_CONN_GREETING || c->state == DERP_CONN_OPEN)
		uv_prepare_start(&c->flush, on_flush);
}

static void on_drain(void *arg)
{
	derp_conn_kick(arg);
}

void derp_conn_set_home(struct derp_conn *c, bool is_home)
{
	c->is_home = is_home;
	note_home(c);
}

void derp_conn_greet(struct derp_conn *c, uint8_t *out, size_t len)
{
	size_t n = derp_hello_put(c->keys, &c->server, c->random, out + len);

	if (!n) {
		derp_conn_fail(c, "the relay's key cannot be one");
		return;
	}
	net_stream_write(c->stream, out, len + n);
	c->state = DERP_CONN_GREETING;
	note_home(c);
	derp_conn_kick(c);
}

/* ---- the watchdog ---- */

static void on_timer(uv_timer_t *t);

static void arm(struct derp_conn *c, uint64_t ms)
{
	uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void ask(struct derp_conn *c)
{
	uint8_t data[DERP_PING_BYTES];

	c->random->fill(c->random->ctx, data, sizeof(data));
	c->is_asked = true;
	derp_conn_send(c, DERP_PING, data, sizeof(data));
}

/* Armed once, not with each frame: it looks how old the last one is. */
static void on_timer(uv_timer_t *t)
{
	struct derp_conn *c = t->data;
	uint64_t silent_ms = (clock_now_ns() - c->last_frame_ns) / NS_PER_MS;
	char why[DERP_CONN_WHY_MAX];

	if (c->state != DERP_CONN_OPEN) {
		static const char *const step[] = {[DERP_CONN_DIALLING] = "connecting",
						   [DERP_CONN_UPGRADING] =
							   "the answer to the upgrade",
						   [DERP_CONN_AWAITING_KEY] = "ServerKey",
						   [DERP_CONN_GREETING] = "ServerInfo"};

		snprintf(why, sizeof(why), "%s took more than %u s", step[c->state],
			 DERP_DIAL_WHOLE_MS / 1000);
		derp_conn_fail(c, why);
	} else if (c->is_asked) {
		snprintf(why, sizeof(why), "the relay was silent for %llu s and answers no ping",
			 (unsigned long long)silent_ms / 1000);
		derp_conn_fail(c, why);
	} else if (silent_ms >= DERP_CONN_PING_AFTER_MS) {
		ask(c);
		arm(c, silent_ms < DERP_CONN_SILENT_MS ? DERP_CONN_SILENT_MS - silent_ms
						       : DERP_CONN_PROBE_MS);
	} else {
		arm(c, DERP_CONN_PING_AFTER_MS - silent_ms);
	}
}

void derp_conn_probe(struct derp_conn *c)
{
	if (c->state != DERP_CONN_OPEN)
		return;
	ask(c);
	arm(c, DERP_CONN_PROBE_MS);
}

void derp_conn_heard(struct derp_conn *c)
{
	c->last_frame_ns = clock_now_ns();
	if (!c->is_asked)
		return;
	c->is_asked = false;
	arm(c, DERP_CONN_PING_AFTER_MS);
}

void derp_conn_opened(struct derp_conn *c)
{
	c->state = DERP_CONN_OPEN;
	arm(c, DERP_CONN_PING_AFTER_MS);
	c->ev->on_open(c->arg);
}

/* ---- the way in ---- */

static void on_answer(struct derp_conn *c, const uint8_t *data, size_t len)
{
	char why[DERP_CONN_WHY_MAX], line[100], host[DERP_TARGET_TEXT_MAX];
	size_t used;
	int status = derp_http_add(c->answer, data, len, &used);

	if (status == 0)
		return;
	if (status == 101) {
		free(c->answer);
		c->answer = NULL;
		c->state = DERP_CONN_AWAITING_KEY;
		c->reader.wants_key = true;
		if (used < len)
			derp_conn_frames(c, data + used, len - used);
		return;
	}
	snprintf(why, sizeof(why), "%.100s does not speak DERP: %s",
		 derp_target_print(&c->target, false, host),
		 status > 0 ? derp_http_line(c->answer, line, sizeof(line)) : "no HTTP answer");
	derp_conn_fail(c, why);
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct derp_conn *c = arg;

	if (c->state == DERP_CONN_UPGRADING)
		on_answer(c, data, len);
	else
		derp_conn_frames(c, data, len);
}

static void on_stream_close(void *arg, int err, const char *why)
{
	struct derp_conn *c = arg;

	c->stream = NULL;
	derp_conn_fail(c, why);
}

static const struct net_stream_events stream_events = {
	.on_data = on_data, .on_drain = on_drain, .on_close = on_stream_close};

static void on_ready(void *arg, struct net_stream *s, const struct key *server_key)
{
	struct derp_conn *c = arg;
	char host[DERP_TARGET_TEXT_MAX], request[REQUEST_MAX];
	bool has_ideal = c->ideal_node[0];
	size_t len;

	c->dial = NULL;
	c->stream = s;
	net_stream_set_events(s, &stream_events, c);
	len = (size_t)snprintf(request, sizeof(request),
			       "GET /derp HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
			       "%s%s%s%sUpgrade: DERP\r\n\r\n",
			       derp_target_print(&c->target, true, host),
			       server_key ? "Derp-Fast-Start: 1\r\n" : "",
			       has_ideal ? "Ideal-Node: " : "", c->ideal_node,
			       has_ideal ? "\r\n" : "");
	if (server_key) {
		c->server = *server_key;
		derp_conn_greet(c, (uint8_t *)request, len);
		return;
	}
	c->answer = calloc(1, sizeof(*c->answer));
	c->state = DERP_CONN_UPGRADING;
	if (!c->answer || net_stream_write(s, request, len))
		derp_conn_fail(c, "no memory");
}

static void on_dial_failed(void *arg, const char *why)
{
	struct derp_conn *c = arg;

	c->dial = NULL;
	derp_conn_fail(c, why);
}

static const struct derp_dial_events dial_events = {.on_ready = on_ready,
						    .on_failed = on_dial_failed};

int derp_conn_open(const struct derp_conn_config *cfg, const struct derp_conn_events *ev, void *arg,
		   struct derp_conn **out, char why[DERP_CONN_WHY_MAX])
{
	struct derp_conn *c = calloc(1, sizeof(*c));
	int rc;

	if (!c) {
		snprintf(why, DERP_CONN_WHY_MAX, "no memory");
		return -ENOMEM;
	}
	c->keys = cfg->keys;
	c->random = cfg->random;
	c->target = *cfg->target;
	snprintf(c->ideal_node, sizeof(c->ideal_node), "%s",
		 cfg->ideal_node ? cfg->ideal_node : "");
	c->is_home = cfg->is_home;
	c->queue = cfg->queue;
	c->ev = ev;
	c->arg = arg;
	rc = derp_dial_start(cfg->env, cfg->target, &dial_events, c, &c->dial, why);
	if (rc) {
		free(c);
		return rc;
	}
	derp_sendq_limit(c->queue, NULL, 0);
	uv_timer_init(cfg->env->loop, &c->timer);
	uv_prepare_init(cfg->env->loop, &c->flush);
	c->timer.data = c->flush.data = c;
	c->handles = 2;
	arm(c, DERP_DIAL_WHOLE_MS);
	*out = c;
	return 0;
}

bool derp_conn_is_open(const struct derp_conn *c)
{
	return c && c->state == DERP_CONN_OPEN;
}

uint64_t derp_conn_last_frame_ns(const struct derp_conn *c)
{
	return c->last_frame_ns;
}
