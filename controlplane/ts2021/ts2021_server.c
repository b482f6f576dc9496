/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/ts2021/ts2021_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ts2021/ts2021_pending.h"
#include "controlplane/ts2021/ts2021_serve.h"

#define BACKLOG 1024

static const struct ts2021_limits defaults = {
	.pending = 4096,
	.pending_per_source = 128,
	.connections = 32768,
	.connections_per_source = 4096,
	.pending_ms = 10000,
	.body_ms = 30000,
	.idle_ms = 120000,
};

struct ts2021_listener {
	struct ts2021_listener *next;
	uv_tcp_t tcp;
	struct ts2021_server *s;
	SSL_CTX *tls;
	uv_tcp_t spare; /* takes a connection for which there is no memory */
	bool is_shedding, is_waited_for;
	unsigned handles;
};

struct ts2021_secured {
	struct ts2021_secured *next;
	struct ts2021_serve *serve;
	struct ts2021_source *from;
};

void ts2021_server_maybe_free(struct ts2021_server *s)
{
	if (!s->is_closed || s->handles || s->secured)
		return;
	key_wipe(&s->cfg.private_key);
	ts2021_sources_fini(&s->sources);
	free(s);
}

/* ---- secured connections ---- */

bool ts2021_server_has_room(struct ts2021_server *s, const struct ts2021_source *from)
{
	bool has = s->counts.connections < s->cfg.limits.connections &&
		   from->connections < s->cfg.limits.connections_per_source;

	s->counts.refused_connections += !has;
	return has;
}

static void on_secured_gone(void *owner, struct ts2021_serve *serve)
{
	struct ts2021_server *s = owner;
	struct ts2021_secured **p = &s->secured, *x;

	while ((*p)->serve != serve)
		p = &(*p)->next;
	x = *p;
	*p = x->next;
	x->from->connections--;
	ts2021_source_put(&s->sources, x->from);
	free(x);
	s->counts.connections--;
	ts2021_server_maybe_free(s);
}

void ts2021_server_secured(struct ts2021_server *s, struct net_stream *stream,
			   struct ts2021_source *from, const struct noise_ik_stream *noise,
			   const struct key *machine, uint16_t version, uint8_t *rest, size_t len)
{
	struct ts2021_secured *x = calloc(1, sizeof(*x));
	struct ts2021_serve_config cfg = {.loop = s->cfg.loop,
					  .handler = s->cfg.handler,
					  .arg = s->cfg.arg,
					  .requests = &s->counts.requests,
					  .limits = &s->cfg.limits,
					  .machine = *machine,
					  .version = version,
					  .on_gone = on_secured_gone,
					  .owner = s};

	net_stream_remote(stream, &cfg.remote);
	if (!x) {
		net_stream_close(stream, false);
		return;
	}
	x->serve = ts2021_serve_new(stream, noise, &cfg);
	if (!x->serve) {
		free(x);
		return;
	}
	from->refs++;
	from->connections++;
	x->from = from;
	x->next = s->secured;
	s->secured = x;
	s->counts.connections++;
	ts2021_serve_feed(x->serve, rest, len);
}

/* ---- listening ---- */

static void on_listener_closed(uv_handle_t *h)
{
	struct ts2021_listener *l = h->data;
	struct ts2021_server *s = l->s;

	if (--l->handles == 0) {
		SSL_CTX_free(l->tls);
		free(l);
	}
	s->handles--;
	ts2021_server_maybe_free(s);
}

static void hold(struct ts2021_listener *l)
{
	l->handles++;
	l->s->handles++;
}

static void serve_next(struct ts2021_listener *l);

static void on_spare_closed(uv_handle_t *h)
{
	struct ts2021_listener *l = h->data;
	bool is_next = l->is_waited_for && !uv_is_closing((uv_handle_t *)&l->tcp);

	l->is_waited_for = l->is_shedding = false;
	hold(l);
	on_listener_closed(h);
	if (is_next)
		serve_next(l);
	on_listener_closed(h);
}

/*
 * libuv listens no more until what waits is taken: without the memory to serve it, it
 * is taken and closed.
 */
static void shed(struct ts2021_listener *l)
{
	if (l->is_shedding) {
		l->is_waited_for = true;
		return;
	}
	l->is_shedding = true;
	l->s->counts.refused_memory++;
	hold(l);
	uv_tcp_init(l->s->cfg.loop, &l->spare);
	l->spare.data = l;
	uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&l->spare);
	uv_close((uv_handle_t *)&l->spare, on_spare_closed);
}

static void serve_next(struct ts2021_listener *l)
{
	if (ts2021_pending_accept(l->s, (uv_stream_t *)&l->tcp, l->tls) == -ENOMEM)
		shed(l);
}

static void on_connection(uv_stream_t *server, int status)
{
	if (status == 0)
		serve_next(server->data);
}

static int bind_and_listen(struct ts2021_listener *l, const struct endpoint *at, uint16_t *port)
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
	struct ts2021_listener *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return -ENOMEM;
	l->s = s;
	uv_tcp_init(s->cfg.loop, &l->tcp);
	l->tcp.data = l;
	hold(l);
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

/* ---- the server ---- */

static void take_defaults(struct ts2021_limits *l)
{
	const uint32_t *from = (const uint32_t *)&defaults;
	uint32_t *to = (uint32_t *)l;

	for (size_t i = 0; i < sizeof(*l) / sizeof(*to); i++)
		if (!to[i])
			to[i] = from[i];
}

int ts2021_server_new(const struct ts2021_server_config *cfg, struct ts2021_server **out)
{
	struct ts2021_server *s = calloc(1, sizeof(*s));
	uint64_t seed;

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	take_defaults(&s->cfg.limits);
	TAILQ_INIT(&s->pending);
	cfg->random->fill(cfg->random->ctx, &seed, sizeof(seed));
	if (ts2021_sources_init(&s->sources, seed)) {
		key_wipe(&s->cfg.private_key);
		free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void ts2021_server_counts(const struct ts2021_server *s, struct ts2021_server_counts *out)
{
	*out = s->counts;
}

void ts2021_server_close(struct ts2021_server *s)
{
	struct ts2021_secured *x, *next;

	if (!s || s->is_closed)
		return;
	s->is_closed = true;
	s->handles++; /* while this runs */
	for (struct ts2021_listener *l = s->listeners; l; l = l->next)
		uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
	while (!TAILQ_EMPTY(&s->pending))
		ts2021_pending_drop(TAILQ_FIRST(&s->pending));
	for (x = s->secured; x; x = next) {
		next = x->next;
		ts2021_serve_close(x->serve);
	}
	s->handles--;
	ts2021_server_maybe_free(s);
}
