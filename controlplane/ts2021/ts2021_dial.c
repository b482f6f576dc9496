/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_dial.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/net/http_reply.h"
#include "controlplane/tailcfg/json_in.h"
#include "controlplane/tailcfg/key_text.h"

#define TLS_HEAD_START_MS 500
#define KEY_MS		  10000
#define KEY_BYTES_MAX	  65536
#define HEAD_MAX	  8192
#define CUT_S		  14
#define WHY_MAX		  256
#define PROTOCOL	  "tailscale-control-protocol"
#define ATTEMPTS	  2 /* plain, TLS */

/* One connection on its way to be secured. */
struct attempt {
	struct ts2021_dial *d;
	struct net_stream *stream; /* NULL: not begun, or over */
	struct noise_ik_client noise;
	bool has_begun, is_upgraded;
	uint8_t data[HEAD_MAX]; /* the answer's head, then the response */
	size_t len;
};

struct ts2021_dial {
	const struct ts2021_client_config *cfg;
	struct key *server;
	bool skip_plain;
	const struct ts2021_dial_events *ev;
	void *arg;
	struct net_stream *key_stream;
	char *key_data;
	size_t key_len;
	struct attempt attempt[ATTEMPTS];
	uv_timer_t timer;
	bool is_over;
	bool is_key_in_doubt; /* somebody answered who has not got it; the other attempt may */
	char why[WHY_MAX];
};

static void begin_attempts(struct ts2021_dial *d);

static void on_timer_closed(uv_handle_t *h)
{
	struct ts2021_dial *d = h->data;

	for (unsigned i = 0; i < ATTEMPTS; i++)
		noise_ik_client_fini(&d->attempt[i].noise);
	free(d->key_data);
	free(d);
}

static void end(struct ts2021_dial *d)
{
	if (d->is_over)
		return;
	d->is_over = true;
	net_stream_close(d->key_stream, false);
	for (unsigned i = 0; i < ATTEMPTS; i++)
		net_stream_close(d->attempt[i].stream, false);
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

void ts2021_dial_cancel(struct ts2021_dial *d)
{
	if (d)
		end(d);
}

static void failed(struct ts2021_dial *d)
{
	const struct ts2021_dial_events *ev = d->ev;
	void *arg = d->arg;
	char why[WHY_MAX];

	memcpy(why, d->why, sizeof(why));
	/* Perhaps it has another key now: asked for again the next time. */
	if (d->is_key_in_doubt)
		memset(d->server, 0, sizeof(*d->server));
	end(d);
	ev->on_failed(arg, why);
}

/* ---- the key ---- */

/* {"publicKey":"mkey:..."}; an answer without it comes from a server that is too old. */
static bool read_key(struct ts2021_dial *d, const struct http_reply *reply)
{
	struct json_in in;
	json_t *root;

	if (reply->status != 200) {
		snprintf(d->why, sizeof(d->why), "GET /key: http %d", reply->status);
		return false;
	}
	root = json_in_parse(&in, reply->body, reply->body_len);
	if (root && !json_in_key(&in, root, "publicKey", KEY_TEXT_MACHINE, d->server) &&
	    !json_in_failed(&in))
		json_in_fail(&in, "publicKey", "a key (the server is too old)");
	json_decref(root);
	if (json_in_failed(&in)) {
		snprintf(d->why, sizeof(d->why), "GET /key: %.200s", in.error);
		return false;
	}
	if (key_is_zero(d->server)) {
		snprintf(d->why, sizeof(d->why), "GET /key: the server has no key (too old)");
		return false;
	}
	return true;
}

/* True: the whole answer is there, or never will be. */
static bool key_answer(struct ts2021_dial *d, bool at_end, const char *why)
{
	struct http_reply reply;
	int rc = http_reply_parse(d->key_data ? d->key_data : d->why, d->key_len, at_end, &reply);

	if (rc == 0 && !at_end)
		return false;
	net_stream_close(d->key_stream, false);
	d->key_stream = NULL;
	if (rc == 1 && read_key(d, &reply)) {
		begin_attempts(d);
		return true;
	}
	if (rc != 1)
		snprintf(d->why, sizeof(d->why), "GET /key: %.200s", why ? why : "no HTTP answer");
	memset(d->server, 0, sizeof(*d->server));
	failed(d);
	return true;
}

static void on_key_open(void *arg)
{
	struct ts2021_dial *d = arg;
	char request[TS2021_HOST_MAX + 128];
	int n = snprintf(request, sizeof(request),
			 "GET /key?v=%u HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
			 d->cfg->version, d->cfg->url.authority);

	net_stream_write(d->key_stream, request, (size_t)n);
}

static void on_key_data(void *arg, uint8_t *data, size_t len)
{
	struct ts2021_dial *d = arg;

	if (!d->key_data)
		d->key_data = malloc(KEY_BYTES_MAX);
	if (!d->key_data || len > KEY_BYTES_MAX - d->key_len) {
		key_answer(d, true, "the answer is too long");
		return;
	}
	memcpy(d->key_data + d->key_len, data, len);
	d->key_len += len;
	key_answer(d, false, NULL);
}

static void on_key_close(void *arg, int err, const char *why)
{
	struct ts2021_dial *d = arg;

	d->key_stream = NULL;
	key_answer(d, true, err ? why : NULL);
}

static const struct net_stream_events key_events = {
	.on_open = on_key_open, .on_data = on_key_data, .on_close = on_key_close};

static int fetch_key(struct ts2021_dial *d)
{
	struct net_dial to = {.host = d->cfg->url.host,
			      .port = d->cfg->url.port,
			      .tls = d->cfg->url.is_https ? d->cfg->tls : NULL,
			      .timeout_ms = KEY_MS};

	return net_stream_dial(d->cfg->loop, &to, &key_events, d, &d->key_stream);
}

/* ---- the upgrade ---- */

static void attempt_failed(struct attempt *a, const char *why)
{
	struct ts2021_dial *d = a->d;
	bool is_plain = a == &d->attempt[0];

	net_stream_close(a->stream, false);
	a->stream = NULL;
	/* What is said last is the TLS attempt's: that is the one which must work. */
	if (!d->why[0] || !is_plain)
		snprintf(d->why, sizeof(d->why), "%.250s", why);
	if (is_plain && !d->attempt[1].has_begun)
		begin_attempts(d);
	else if (!d->attempt[0].stream && !d->attempt[1].stream)
		failed(d);
}

static void on_upgrade_open(void *arg)
{
	struct attempt *a = arg;
	const struct ts2021_client_config *cfg = a->d->cfg;
	uint8_t initiation[NOISE_IK_INITIATION_BYTES];
	char text[sodium_base64_ENCODED_LEN(NOISE_IK_INITIATION_BYTES,
					    sodium_base64_VARIANT_ORIGINAL)];
	char request[TS2021_HOST_MAX + 512];
	int n;

	if (noise_ik_initiate(&a->noise, cfg->version, cfg->machine_private.bytes,
			      a->d->server->bytes, cfg->random, initiation)) {
		attempt_failed(a, "the server's key cannot be one");
		return;
	}
	sodium_bin2base64(text, sizeof(text), initiation, sizeof(initiation),
			  sodium_base64_VARIANT_ORIGINAL);
	n = snprintf(request, sizeof(request),
		     "POST /ts2021 HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\n"
		     "Upgrade: " PROTOCOL "\r\nContent-Length: 0\r\n"
		     "X-Tailscale-Handshake: %s\r\n\r\n",
		     cfg->url.authority, text);
	net_stream_write(a->stream, request, (size_t)n);
}

/* Where the head ends; 0: not there yet. */
static size_t head_end(const uint8_t *data, size_t len)
{
	const uint8_t *p = memmem(data, len, "\r\n\r\n", 4);

	return p ? (size_t)(p - data) + 4 : 0;
}

/* "HTTP/1.1 101 ..." with the right Upgrade; the status line is the error text. */
static bool read_head(struct attempt *a, size_t head, char why[WHY_MAX])
{
	char *text = (char *)a->data, *line, *rest = NULL;
	bool has_upgrade = false;
	char first[128];

	text[head - 1] = 0;
	line = strtok_r(text, "\r\n", &rest);
	snprintf(first, sizeof(first), "%s", line ? line : "");
	if (strncmp(first, "HTTP/1.1 101", 12) != 0) {
		snprintf(why, WHY_MAX, "POST /ts2021: %s", first);
		return false;
	}
	while ((line = strtok_r(NULL, "\r\n", &rest)))
		if (strncasecmp(line, "Upgrade:", 8) == 0)
			has_upgrade = strcmp(line + 8 + strspn(line + 8, " \t"), PROTOCOL) == 0;
	if (!has_upgrade)
		snprintf(why, WHY_MAX, "POST /ts2021: upgraded to another protocol");
	return has_upgrade;
}

static void secured(struct attempt *a, struct noise_ik_stream *noise, uint8_t *rest, size_t len)
{
	struct ts2021_dial *d = a->d;
	const struct ts2021_dial_events *ev = d->ev;
	struct net_stream *stream = a->stream;
	void *arg = d->arg;

	a->stream = NULL;
	end(d);
	ev->on_secured(arg, stream, noise, rest, len);
}

/* What the server says instead of a response, in the clear. */
static void server_error(struct attempt *a)
{
	size_t n = a->len > NOISE_IK_HEADER_BYTES ? a->len - NOISE_IK_HEADER_BYTES : 0;
	char why[WHY_MAX];

	snprintf(why, sizeof(why), "server error: \"%.*s\"", (int)(n < 128 ? n : 128),
		 (const char *)a->data + NOISE_IK_HEADER_BYTES);
	for (char *p = why; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
	attempt_failed(a, why);
}

static void read_response(struct attempt *a)
{
	struct noise_ik_stream noise;

	if (a->len && a->data[0] == NOISE_IK_ERROR) {
		server_error(a);
		return;
	}
	if (a->len < NOISE_IK_RESPONSE_BYTES)
		return;
	if (noise_ik_finish(&a->noise, a->data, &noise)) {
		a->d->is_key_in_doubt = true;
		attempt_failed(a, "the server did not prove that it has its key");
		return;
	}
	secured(a, &noise, a->data + NOISE_IK_RESPONSE_BYTES, a->len - NOISE_IK_RESPONSE_BYTES);
	noise_ik_stream_fini(&noise);
}

static void on_upgrade_data(void *arg, uint8_t *data, size_t len)
{
	struct attempt *a = arg;
	char why[WHY_MAX];

	if (len > sizeof(a->data) - a->len) {
		attempt_failed(a, "POST /ts2021: the answer is too long");
		return;
	}
	memcpy(a->data + a->len, data, len);
	a->len += len;
	if (!a->is_upgraded) {
		size_t head = head_end(a->data, a->len);

		if (!head)
			return;
		if (!read_head(a, head, why)) {
			attempt_failed(a, why);
			return;
		}
		a->is_upgraded = true;
		a->len -= head;
		memmove(a->data, a->data + head, a->len);
	}
	read_response(a);
}

static void on_upgrade_close(void *arg, int err, const char *why)
{
	struct attempt *a = arg;
	char text[WHY_MAX];

	a->stream = NULL;
	snprintf(text, sizeof(text), "POST /ts2021: %.200s", why);
	attempt_failed(a, text);
}

static const struct net_stream_events upgrade_events = {
	.on_open = on_upgrade_open, .on_data = on_upgrade_data, .on_close = on_upgrade_close};

static void begin(struct attempt *a, uint16_t port, SSL_CTX *tls)
{
	struct net_dial to = {.host = a->d->cfg->url.host,
			      .port = port,
			      .tls = tls,
			      .is_unverified = true, /* Noise proves who it is */
			      .timeout_ms = TS2021_DIAL_MS,
			      .cut_s = CUT_S};

	a->has_begun = true;
	if (net_stream_dial(a->d->cfg->loop, &to, &upgrade_events, a, &a->stream))
		attempt_failed(a, "no memory");
}

static void on_timer(uv_timer_t *t)
{
	struct ts2021_dial *d = t->data;

	if (!d->attempt[1].has_begun && d->cfg->url.tls_port) {
		begin_attempts(d);
		return;
	}
	snprintf(d->why, sizeof(d->why), "no answer from %.200s", d->cfg->url.host);
	failed(d);
}

/* Plain first, if it is to be tried; called again when that failed or took too long. */
static void begin_attempts(struct ts2021_dial *d)
{
	const struct ts2021_url *u = &d->cfg->url;
	bool plain = !d->attempt[0].has_begun && !(d->skip_plain && u->tls_port);

	if (plain) {
		uv_timer_start(&d->timer, on_timer,
			       u->tls_port ? TLS_HEAD_START_MS : TS2021_DIAL_MS, 0);
		begin(&d->attempt[0], u->plain_port, NULL);
	} else if (u->tls_port) {
		uv_timer_start(&d->timer, on_timer, TS2021_DIAL_MS, 0);
		begin(&d->attempt[1], u->tls_port, d->cfg->tls);
	} else {
		failed(d);
	}
}

/* Later, so that nothing is told from inside of ts2021_dial_start. */
static void on_start(uv_timer_t *t)
{
	struct ts2021_dial *d = t->data;

	if (!key_is_zero(d->server)) {
		begin_attempts(d);
	} else if (fetch_key(d)) {
		snprintf(d->why, sizeof(d->why), "no memory");
		failed(d);
	}
}

int ts2021_dial_start(const struct ts2021_client_config *cfg, struct key *server, bool skip_plain,
		      const struct ts2021_dial_events *ev, void *arg, struct ts2021_dial **out)
{
	struct ts2021_dial *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->cfg = cfg;
	d->server = server;
	d->skip_plain = skip_plain;
	d->ev = ev;
	d->arg = arg;
	for (unsigned i = 0; i < ATTEMPTS; i++)
		d->attempt[i].d = d;
	uv_timer_init(cfg->loop, &d->timer);
	d->timer.data = d;
	uv_timer_start(&d->timer, on_start, 0, 0);
	*out = d;
	return 0;
}
