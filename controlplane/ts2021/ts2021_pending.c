/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_pending.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/net/http.h"
#include "controlplane/tailcfg/key_text.h"

#define HEAD_MAX 8192
/* With the grace that a node has to come back, its routes move within 15 s. */
#define CUT_S	  9
#define LINGER_MS 5000 /* for an answer to leave */
#define YOUNG_MS  3000 /* not driven out by others of its source, if they are not too many */
#define CROWD	  8    /* times the limit of a source */
/* Answers that are not taken; with more the client only asks and never reads. */
#define UNREAD_MAX (16u << 10)
#define PROTOCOL   "tailscale-control-protocol"
#define TEXT_PLAIN "text/plain; charset=utf-8"

/* A connection that has proven nothing. */
struct ts2021_pending {
	TAILQ_ENTRY(ts2021_pending) of_all, of_source;
	struct ts2021_server *s;
	struct ts2021_source *source; /* NULL: not known yet */
	struct net_stream *stream;
	uv_timer_t timer;
	uint64_t begun_ms;
	uint8_t *data; /* HEAD_MAX, with the first bytes */
	size_t len;
	bool is_over;
	bool is_ending; /* answered for the last time; over when that has left */
};

static void on_closed(uv_handle_t *h)
{
	struct ts2021_pending *p = h->data;
	struct ts2021_server *s = p->s;

	free(p->data);
	free(p);
	s->handles--;
	ts2021_server_maybe_free(s);
}

/* Out of the lists; the stream is closed unless it was passed on (NULL). */
static void drop(struct ts2021_pending *p, bool is_gentle)
{
	struct ts2021_server *s = p->s;

	if (p->is_over)
		return;
	p->is_over = true;
	TAILQ_REMOVE(&s->pending, p, of_all);
	s->counts.pending--;
	if (p->source) {
		TAILQ_REMOVE(&p->source->pending, p, of_source);
		p->source->pending_count--;
		ts2021_source_put(&s->sources, p->source);
	}
	net_stream_close(p->stream, is_gentle);
	p->stream = NULL;
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

void ts2021_pending_drop(struct ts2021_pending *p)
{
	drop(p, false);
}

static void on_linger_end(uv_timer_t *t)
{
	drop(t->data, false);
}

/* It counts among the pending until the last answer has left. */
static void end(struct ts2021_pending *p)
{
	if (!net_stream_queued(p->stream)) {
		drop(p, true);
		return;
	}
	p->is_ending = true;
	net_stream_pause(p->stream, true);
	uv_timer_start(&p->timer, on_linger_end, LINGER_MS, 0);
}

static void answer(struct ts2021_pending *p, unsigned status, const char *type, const char *body,
		   size_t len, bool keep_alive)
{
	const char *reason = status == 200   ? "OK"
			     : status == 400 ? "Bad Request"
			     : status == 404 ? "Not Found"
			     : status == 405 ? "Method Not Allowed"
					     : "Error";
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
			 status, reason, type, len, keep_alive ? "" : "Connection: close\r\n");

	net_stream_write(p->stream, head, (size_t)n);
	net_stream_write(p->stream, body, len);
	if (!keep_alive)
		end(p);
}

static void bad(struct ts2021_pending *p, unsigned status, const char *why)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%s\n", why);

	p->s->counts.bad_http++;
	answer(p, status, TEXT_PLAIN, text, (size_t)n, false);
}

/* ---- what it asks ---- */

static void show_key(struct ts2021_pending *p, const struct http_request *req)
{
	char text[256], legacy[KEY_TEXT_MAX], public_text[KEY_TEXT_MAX];
	struct key public_key;
	int n;

	crypto_scalarmult_base(public_key.bytes, p->s->cfg.private_key.bytes);
	n = snprintf(text, sizeof(text), "{\"legacyPublicKey\":\"%s\",\"publicKey\":\"%s\"}",
		     key_text_print(&p->s->cfg.legacy_public, KEY_TEXT_MACHINE, legacy),
		     key_text_print(&public_key, KEY_TEXT_MACHINE, public_text));
	answer(p, 200, "application/json", text, (size_t)n, req->keep_alive);
}

/* Said inside the upgraded connection, so that the user of the client reads it. */
static void refuse_handshake(struct ts2021_pending *p, const char *why)
{
	uint8_t message[NOISE_IK_ERROR_MAX];

	p->s->counts.bad_handshake++;
	net_stream_write(p->stream, message, noise_ik_error(why, message));
	end(p);
}

static void upgrade(struct ts2021_pending *p, const struct http_request *req, uint8_t *rest,
		    size_t len)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " PROTOCOL
				   "\r\nConnection: upgrade\r\n\r\n";
	uint8_t initiation[sizeof(req->handshake)], out[sizeof(head) + NOISE_IK_RESPONSE_BYTES];
	struct ts2021_server *s = p->s;
	struct net_stream *stream = p->stream;
	struct noise_ik_stream noise;
	struct key machine;
	const char *error;
	uint16_t version;
	size_t n;
	int rc;

	if (!req->upgrade[0]) {
		bad(p, 400, "missing next protocol");
		return;
	}
	if (strcasecmp(req->upgrade, PROTOCOL) != 0) {
		bad(p, 400, "unknown next protocol");
		return;
	}
	if (!req->handshake[0]) {
		bad(p, 400, "missing Tailscale handshake header");
		return;
	}
	if (sodium_base642bin(initiation, sizeof(initiation), req->handshake,
			      strlen(req->handshake), NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL)) {
		bad(p, 400, "invalid tailscale handshake header");
		return;
	}
	if (!ts2021_server_has_room(s, p->source)) {
		answer(p, 503, TEXT_PLAIN, "too many connections\n", 21, false);
		return;
	}
	memcpy(out, head, sizeof(head) - 1);
	rc = noise_ik_respond(s->cfg.private_key.bytes, initiation, n, s->cfg.random, &version,
			      machine.bytes, out + sizeof(head) - 1, &noise, &error);
	if (rc == -EBADMSG) {
		/* Another server's key, or no key at all: nothing to say to that. */
		s->counts.bad_handshake++;
		net_stream_write(stream, head, sizeof(head) - 1);
		end(p);
		return;
	}
	if (rc || version < s->cfg.version_min) {
		net_stream_write(stream, head, sizeof(head) - 1);
		refuse_handshake(p, rc ? error : "this client is too old for this server");
		return;
	}
	net_stream_write(stream, out, sizeof(out) - 1);
	p->stream = NULL;
	/* rest lies in p's memory, which stays until the loop has closed its timer. */
	ts2021_server_secured(s, stream, p->source, &noise, &machine, version, rest, len);
	drop(p, false);
	noise_ik_stream_fini(&noise);
}

static void other(struct ts2021_pending *p, const struct http_request *req)
{
	const struct ts2021_handler *h = p->s->cfg.handler;
	struct ts2021_http_answer out = {.status = 200, .type = TEXT_PLAIN};

	if (!h->on_http || !h->on_http(p->s->cfg.arg, req->method, req->path, req->query, req->body,
				       req->body_len, &out)) {
		bad(p, 404, "404 page not found");
		return;
	}
	answer(p, out.status, out.type, out.body ? out.body : "", out.len, req->keep_alive);
	free(out.body);
}

/* One request at the start of p->data. False: not whole, or the connection is over. */
static bool one_request(struct ts2021_pending *p)
{
	struct http_request req;
	long n = http_parse(p->data, p->len, &req);
	size_t rest;

	if (n == 0) {
		if (p->len == HEAD_MAX)
			bad(p, 431, "the request is too long");
		return false;
	}
	if (n < 0) {
		bad(p, n == -EMSGSIZE ? 413 : 400, "this is no request that is served here");
		return false;
	}
	if (net_stream_queued(p->stream) > UNREAD_MAX) {
		p->s->counts.bad_http++;
		drop(p, false);
		return false;
	}
	rest = p->len - (size_t)n;
	if (strcmp(req.path, "/ts2021") == 0 && strcmp(req.method, "POST") == 0) {
		upgrade(p, &req, p->data + n, rest);
		return false;
	}
	if (strcmp(req.path, "/key") == 0 && strcmp(req.method, "GET") == 0)
		show_key(p, &req);
	else
		other(p, &req);
	if (p->is_over || p->is_ending)
		return false;
	memmove(p->data, p->data + n, rest);
	p->len = rest;
	return rest > 0;
}

/* ---- the stream ---- */

static void on_open(void *arg)
{
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct ts2021_pending *p = arg;

	/* TLS may have more of what was read before the pause. */
	if (p->is_ending)
		return;
	if (!p->data)
		p->data = malloc(HEAD_MAX);
	if (!p->data || len > HEAD_MAX - p->len) {
		bad(p, 431, "the request is too long");
		return;
	}
	memcpy(p->data + p->len, data, len);
	p->len += len;
	while (one_request(p))
		;
}

static void on_drain(void *arg)
{
	struct ts2021_pending *p = arg;

	if (p->is_ending)
		drop(p, true);
}

static void on_close(void *arg, int err, const char *why)
{
	struct ts2021_pending *p = arg;

	p->stream = NULL;
	drop(p, false);
}

static const struct net_stream_events events = {
	.on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static void on_timeout(uv_timer_t *t)
{
	struct ts2021_pending *p = t->data;

	p->s->counts.timed_out++;
	drop(p, false);
}

static bool is_young(const struct ts2021_pending *p)
{
	return uv_now(p->s->cfg.loop) - p->begun_ms < YOUNG_MS;
}

/*
 * Who is new may come in: the oldest goes, which had its time. A crowd that comes at
 * once, as behind one NAT after an interruption, gets a moment to say what it wants.
 */
static void make_room(struct ts2021_server *s, const struct ts2021_source *from)
{
	const struct ts2021_limits *l = &s->cfg.limits;
	struct ts2021_pending *oldest = TAILQ_FIRST(&from->pending);

	while (from->pending_count > l->pending_per_source &&
	       (!is_young(oldest) || from->pending_count > CROWD * l->pending_per_source)) {
		s->counts.refused_address++;
		drop(oldest, false);
		oldest = TAILQ_FIRST(&from->pending);
	}
	if (s->counts.pending > l->pending) {
		s->counts.refused_pending++;
		drop(TAILQ_FIRST(&s->pending), false);
	}
}

int ts2021_pending_accept(struct ts2021_server *s, uv_stream_t *listener, SSL_CTX *tls)
{
	struct ts2021_pending *p = calloc(1, sizeof(*p));
	uint64_t ms = s->cfg.limits.pending_ms;
	struct endpoint remote;
	int rc;

	if (!p)
		return -ENOMEM;
	p->s = s;
	p->begun_ms = uv_now(s->cfg.loop);
	uv_timer_init(s->cfg.loop, &p->timer);
	p->timer.data = p;
	s->handles++;
	TAILQ_INSERT_TAIL(&s->pending, p, of_all);
	s->counts.pending++;
	uv_timer_start(&p->timer, on_timeout, ms, 0);
	rc = net_stream_accept(listener, tls, ms, CUT_S, &events, p, &p->stream);
	if (rc) {
		drop(p, false);
		return rc;
	}
	s->counts.accepted++;
	if (p->is_over)
		return 0; /* closed from inside */
	net_stream_remote(p->stream, &remote);
	p->source = ts2021_source_get(&s->sources, &remote.addr);
	if (!p->source) {
		drop(p, false);
		return 0;
	}
	TAILQ_INSERT_TAIL(&p->source->pending, p, of_source);
	p->source->pending_count++;
	make_room(s, p->source);
	return 0;
}
