/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_server.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/net/http.h"
#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/ts2021/ts2021_serve.h"

#define PENDING_MS 10000 /* TLS, head and handshake together */
#define HEAD_MAX   8192
#define BACKLOG	   1024
#define CUT_S	   14
#define PROTOCOL   "tailscale-control-protocol"
#define TEXT_PLAIN "text/plain; charset=utf-8"

struct listener {
	struct listener *next;
	uv_tcp_t tcp;
	struct ts2021_server *s;
	SSL_CTX *tls;
};

/* A connection that has proven nothing. */
struct pending {
	struct pending *next, **prev;
	struct ts2021_server *s;
	struct net_stream *stream;
	struct endpoint remote;
	uv_timer_t timer;
	uint8_t *data; /* HEAD_MAX, with the first bytes */
	size_t len;
};

struct secured {
	struct secured *next;
	struct ts2021_serve *serve;
};

struct ts2021_server {
	struct ts2021_server_config cfg;
	struct listener *listeners;
	struct pending *pending;
	struct secured *secured;
	struct ts2021_server_counts counts;
	bool is_closed;
	unsigned handles;
};

static void maybe_free(struct ts2021_server *s)
{
	if (!s->is_closed || s->handles || s->secured)
		return;
	key_wipe(&s->cfg.private_key);
	free(s);
}

/* ---- pending connections ---- */

static void on_pending_closed(uv_handle_t *h)
{
	struct pending *p = h->data;
	struct ts2021_server *s = p->s;

	free(p->data);
	free(p);
	s->handles--;
	maybe_free(s);
}

/* Out of the list; the stream is closed unless it was passed on (NULL). */
static void drop(struct pending *p, bool is_gentle)
{
	if (!p->prev)
		return;
	*p->prev = p->next;
	if (p->next)
		p->next->prev = p->prev;
	p->prev = NULL;
	p->s->counts.pending--;
	net_stream_close(p->stream, is_gentle);
	p->stream = NULL;
	uv_close((uv_handle_t *)&p->timer, on_pending_closed);
}

static void answer(struct pending *p, unsigned status, const char *type, const char *body,
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
		drop(p, true);
}

static void bad(struct pending *p, unsigned status, const char *why)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%s\n", why);

	p->s->counts.bad_http++;
	answer(p, status, TEXT_PLAIN, text, (size_t)n, false);
}

/* ---- what it asks ---- */

static void show_key(struct pending *p, const struct http_request *req)
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

static void on_secured_gone(void *owner, struct ts2021_serve *serve)
{
	struct ts2021_server *s = owner;
	struct secured **p = &s->secured, *x;

	while ((*p)->serve != serve)
		p = &(*p)->next;
	x = *p;
	*p = x->next;
	free(x);
	s->counts.connections--;
	maybe_free(s);
}

static void secure(struct pending *p, const struct noise_ik_stream *noise,
		   const struct key *machine, uint16_t version, uint8_t *rest, size_t len)
{
	struct ts2021_server *s = p->s;
	struct secured *x = calloc(1, sizeof(*x));
	struct ts2021_serve_config cfg = {.handler = s->cfg.handler,
					  .arg = s->cfg.arg,
					  .requests = &s->counts.requests,
					  .machine = *machine,
					  .version = version,
					  .remote = p->remote,
					  .on_gone = on_secured_gone,
					  .owner = s};
	struct net_stream *stream = p->stream;

	if (!x) {
		drop(p, false);
		return;
	}
	p->stream = NULL;
	x->serve = ts2021_serve_new(stream, noise, &cfg);
	if (!x->serve) {
		free(x);
		drop(p, false);
		return;
	}
	x->next = s->secured;
	s->secured = x;
	s->counts.connections++;
	/* rest lies in p's memory, which stays until the loop has closed its timer. */
	drop(p, false);
	ts2021_serve_feed(x->serve, rest, len);
}

/* Said inside the upgraded connection, so that the user of the client reads it. */
static void refuse_handshake(struct pending *p, const char *why)
{
	uint8_t message[NOISE_IK_ERROR_MAX];

	p->s->counts.bad_handshake++;
	net_stream_write(p->stream, message, noise_ik_error(why, message));
	drop(p, true);
}

static void upgrade(struct pending *p, const struct http_request *req, uint8_t *rest, size_t len)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " PROTOCOL
				   "\r\nConnection: upgrade\r\n\r\n";
	uint8_t initiation[sizeof(req->handshake)], out[sizeof(head) + NOISE_IK_RESPONSE_BYTES];
	const struct ts2021_server_config *cfg = &p->s->cfg;
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
	memcpy(out, head, sizeof(head) - 1);
	rc = noise_ik_respond(cfg->private_key.bytes, initiation, n, cfg->random, &version,
			      machine.bytes, out + sizeof(head) - 1, &noise, &error);
	if (rc == -EBADMSG) {
		/* Another server's key, or no key at all: nothing to say to that. */
		p->s->counts.bad_handshake++;
		net_stream_write(p->stream, head, sizeof(head) - 1);
		drop(p, true);
		return;
	}
	if (rc || version < cfg->version_min) {
		net_stream_write(p->stream, head, sizeof(head) - 1);
		refuse_handshake(p, rc ? error : "this client is too old for this server");
		return;
	}
	net_stream_write(p->stream, out, sizeof(out) - 1);
	secure(p, &noise, &machine, version, rest, len);
	noise_ik_stream_fini(&noise);
}

static void other(struct pending *p, const struct http_request *req)
{
	const struct ts2021_handler *h = p->s->cfg.handler;
	struct ts2021_http_answer out = {.status = 200, .type = TEXT_PLAIN};

	if (!h->on_http || !h->on_http(p->s->cfg.arg, req->method, req->path, req->query, &out)) {
		bad(p, 404, "404 page not found");
		return;
	}
	answer(p, out.status, out.type, out.body ? out.body : "", out.len, req->keep_alive);
	free(out.body);
}

/* One request at the start of p->data. False: not whole, or the connection is over. */
static bool one_request(struct pending *p)
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
	rest = p->len - (size_t)n;
	if (strcmp(req.path, "/ts2021") == 0 && strcmp(req.method, "POST") == 0) {
		upgrade(p, &req, p->data + n, rest);
		return false;
	}
	if (strcmp(req.path, "/key") == 0 && strcmp(req.method, "GET") == 0)
		show_key(p, &req);
	else
		other(p, &req);
	if (!p->prev)
		return false;
	memmove(p->data, p->data + n, rest);
	p->len = rest;
	return rest > 0;
}

static void on_open(void *arg)
{
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct pending *p = arg;

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

static void on_close(void *arg, int err, const char *why)
{
	struct pending *p = arg;

	p->stream = NULL;
	drop(p, false);
}

static const struct net_stream_events pending_events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_close};

static void on_timeout(uv_timer_t *t)
{
	struct pending *p = t->data;

	p->s->counts.timed_out++;
	drop(p, false);
}

static unsigned pending_of(const struct ts2021_server *s, const struct ip_addr *a)
{
	unsigned n = 0;

	for (const struct pending *p = s->pending; p; p = p->next)
		n += addr_equal(&p->remote.addr, a);
	return n;
}

static void on_connection(uv_stream_t *server, int status)
{
	struct listener *l = server->data;
	struct ts2021_server *s = l->s;
	struct pending *p = status == 0 ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return;
	p->s = s;
	uv_timer_init(s->cfg.loop, &p->timer);
	p->timer.data = p;
	s->handles++;
	p->prev = &s->pending;
	p->next = s->pending;
	if (p->next)
		p->next->prev = &p->next;
	s->pending = p;
	s->counts.pending++;
	s->counts.accepted++;
	uv_timer_start(&p->timer, on_timeout, PENDING_MS, 0);
	if (net_stream_accept(server, l->tls, PENDING_MS, CUT_S, &pending_events, p, &p->stream)) {
		drop(p, false);
		return;
	}
	if (!p->prev)
		return; /* closed from inside */
	net_stream_remote(p->stream, &p->remote);
	if (s->counts.pending > TS2021_PENDING_MAX) {
		s->counts.refused_pending++;
		drop(p, false);
	} else if (pending_of(s, &p->remote.addr) > TS2021_PENDING_PER_ADDRESS) {
		s->counts.refused_address++;
		drop(p, false);
	}
}

/* ---- the server ---- */

int ts2021_server_new(const struct ts2021_server_config *cfg, struct ts2021_server **out)
{
	struct ts2021_server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	*out = s;
	return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct ts2021_server *s = l->s;

	SSL_CTX_free(l->tls);
	free(l);
	s->handles--;
	maybe_free(s);
}

static int bind_and_listen(struct listener *l, const struct endpoint *at, uint16_t *port)
{
	struct sockaddr_storage ss;
	struct endpoint bound;
	int len = sizeof(ss), rc;

	endpoint_to_sockaddr(at, &ss);
	rc = uv_tcp_bind(&l->tcp, (struct sockaddr *)&ss, 0);
	if (!rc)
		rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
	if (!rc)
		rc = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &len);
	if (!rc)
		rc = endpoint_from_sockaddr((struct sockaddr *)&ss, (socklen_t)len, &bound);
	if (!rc)
		*port = bound.port;
	return rc;
}

int ts2021_server_listen(struct ts2021_server *s, const struct endpoint *at, SSL_CTX *tls,
			 uint16_t *port)
{
	struct listener *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->s = s;
	uv_tcp_init(s->cfg.loop, &l->tcp);
	l->tcp.data = l;
	s->handles++;
	if (tls)
		SSL_CTX_up_ref(tls);
	l->tls = tls;
	rc = bind_and_listen(l, at, port);
	if (rc) {
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
		return rc;
	}
	l->next = s->listeners;
	s->listeners = l;
	return 0;
}

void ts2021_server_counts(const struct ts2021_server *s, struct ts2021_server_counts *out)
{
	*out = s->counts;
}

void ts2021_server_close(struct ts2021_server *s)
{
	struct secured *x, *next;

	if (!s || s->is_closed)
		return;
	s->is_closed = true;
	s->handles++; /* while this runs */
	for (struct listener *l = s->listeners; l; l = l->next)
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
	while (s->pending)
		drop(s->pending, false);
	for (x = s->secured; x; x = next) {
		next = x->next;
		ts2021_serve_close(x->serve);
	}
	s->handles--;
	maybe_free(s);
}
