/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_dial.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp_client/derp_http.h"
#include "controlplane/derp_client/derp_proxy.h"
#include "controlplane/derp_client/derp_tls.h"

#define FAMILIES 2
/* A cut link is noticed after so long, and so a relay that is gone without a word. */
#define CUT_S 14
/* Above this the kernel takes no more, and the oldest packets go instead of the newest. */
#define UNSENT_MAX  131072
#define REQUEST_MAX (2 * DERP_TARGET_TEXT_MAX + DERP_PROXY_AUTH_MAX + 128)

struct derp_dial;

struct attempt {
	struct derp_dial *d;
	struct net_stream *stream; /* NULL: not begun, or over */
};

struct derp_dial {
	struct derp_dial_env env;
	struct derp_target target;
	const struct derp_dial_events *ev;
	void *arg;
	bool has_proxy, is_tunnel; /* the proxy said yes */
	struct derp_proxy proxy;
	struct derp_http answer; /* the proxy's */
	struct attempt attempt[FAMILIES];
	char why[DERP_DIAL_WHY_MAX]; /* of the families that failed */
};

static void end(struct derp_dial *d)
{
	for (unsigned i = 0; i < FAMILIES; i++)
		net_stream_close(d->attempt[i].stream, false);
	sodium_memzero(&d->proxy, sizeof(d->proxy));
	free(d);
}

void derp_dial_cancel(struct derp_dial *d)
{
	if (d)
		end(d);
}

/* One way is over; the dial is, when none is left. */
static void failed(struct attempt *a, const char *why)
{
	struct derp_dial *d = a->d;
	const struct derp_dial_events *ev = d->ev;
	void *arg = d->arg;
	char text[DERP_DIAL_WHY_MAX];
	size_t n;

	net_stream_close(a->stream, false);
	a->stream = NULL;
	n = strlen(d->why);
	snprintf(d->why + n, sizeof(d->why) - n, "%s%s", n ? "; " : "", why);
	for (unsigned i = 0; i < FAMILIES; i++)
		if (d->attempt[i].stream)
			return;
	memcpy(text, d->why, sizeof(text));
	end(d);
	ev->on_failed(arg, text);
}

static void ready(struct attempt *a)
{
	struct derp_dial *d = a->d;
	const struct derp_dial_events *ev = d->ev;
	struct net_stream *s = a->stream;
	SSL *ssl = net_stream_tls(s);
	void *arg = d->arg;
	char why[DERP_TLS_WHY_MAX];
	struct key key;
	bool has_key;

	if (ssl && derp_tls_check(ssl, &d->target, why)) {
		failed(a, why);
		return;
	}
	has_key = ssl && derp_tls_server_key(ssl, &key);
	a->stream = NULL;
	end(d);
	ev->on_ready(arg, s, has_key ? &key : NULL);
}

/* The way to the relay itself is there. */
static void reached(struct attempt *a)
{
	struct derp_dial *d = a->d;
	SSL *ssl;

	if (d->target.is_plain) {
		ready(a);
		return;
	}
	ssl = derp_tls_new(d->env.tls, &d->target);
	if (!ssl || net_stream_start_tls(a->stream, ssl, DERP_DIAL_WHOLE_MS))
		failed(a, "no memory for TLS");
	/* What fails later is told by on_close: the attempt may be gone now. */
}

static void ask_proxy(struct attempt *a)
{
	const struct derp_dial *d = a->d;
	char target[DERP_TARGET_TEXT_MAX], request[REQUEST_MAX];
	bool has_auth = d->proxy.auth[0];
	int n;

	derp_target_print(&d->target, false, target);
	n = snprintf(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n",
		     target, target, has_auth ? "Proxy-Authorization: " : "", d->proxy.auth,
		     has_auth ? "\r\n" : "");
	if (net_stream_write(a->stream, request, (size_t)n))
		failed(a, "no memory");
	sodium_memzero(request, sizeof(request));
}

static void on_open(void *arg)
{
	struct attempt *a = arg, *other = &a->d->attempt[a == &a->d->attempt[0]];

	if (net_stream_tls(a->stream)) {
		ready(a);
		return;
	}
	net_stream_close(other->stream, false);
	other->stream = NULL;
	if (a->d->has_proxy)
		ask_proxy(a);
	else
		reached(a);
}

/* A relay says nothing before it was asked, so this is the proxy. */
static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct attempt *a = arg;
	struct derp_dial *d = a->d;
	char why[DERP_DIAL_WHY_MAX], line[100];
	size_t used;
	int status;

	if (!d->has_proxy || d->is_tunnel) {
		failed(a, "the relay spoke before it was asked");
		return;
	}
	status = derp_http_add(&d->answer, data, len, &used);
	if (status == 0)
		return;
	if (status / 100 == 2 && used == len) {
		d->is_tunnel = true;
		reached(a);
		return;
	}
	if (status / 100 == 2)
		snprintf(why, sizeof(why), "proxy %.100s: it spoke on after its answer",
			 d->proxy.host);
	else
		snprintf(why, sizeof(why), "proxy %.100s: %s", d->proxy.host,
			 status > 0 ? derp_http_line(&d->answer, line, sizeof(line))
				    : "no HTTP answer to CONNECT");
	failed(a, why);
}

static void on_close(void *arg, int err, const char *why)
{
	struct attempt *a = arg;
	char text[DERP_DIAL_WHY_MAX];

	a->stream = NULL;
	if (a->d->has_proxy && !a->d->is_tunnel) {
		snprintf(text, sizeof(text), "proxy %.100s: %.120s", a->d->proxy.host, why);
		why = text;
	}
	failed(a, why);
}

static const struct net_stream_events stream_events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_close};

static int begin(struct attempt *a, const char *host, uint16_t port, int family, uint64_t ms)
{
	struct net_dial to = {.host = host,
			      .port = port,
			      .timeout_ms = ms,
			      .cut_s = CUT_S,
			      .family = family,
			      .unsent_max = UNSENT_MAX};

	return net_stream_dial(a->d->env.loop, &to, &stream_events, a, &a->stream);
}

/* 1: begun; 0: this family is not to be used. */
static int begin_family(struct attempt *a, int family)
{
	const struct derp_target *t = &a->d->target;
	const struct derp_map_addr *addr = family == AF_INET ? &t->ipv4 : &t->ipv6;
	char text[ADDR_STR_MAX];
	const char *host = t->host;
	struct ip_addr literal;
	int rc;

	if (addr->use == DERP_MAP_NONE)
		return 0;
	if (addr->use == DERP_MAP_GIVEN)
		host = addr_print(&addr->addr, text);
	else if (addr_parse(host, &literal) == 0 && literal.family != family)
		return 0;
	rc = begin(a, host, t->port, family, DERP_DIAL_CONNECT_MS);
	return rc ? rc : 1;
}

static int begin_all(struct derp_dial *d, char why[DERP_DIAL_WHY_MAX])
{
	int v4, v6;

	if (d->has_proxy) {
		v4 = begin(&d->attempt[0], d->proxy.host, d->proxy.port, 0, DERP_DIAL_WHOLE_MS);
		v6 = 0;
	} else {
		v6 = begin_family(&d->attempt[1], AF_INET6);
		v4 = begin_family(&d->attempt[0], AF_INET);
		if (!v4 && !v6) {
			snprintf(why, DERP_DIAL_WHY_MAX,
				 "the map turns both IPv4 and IPv6 off for this relay");
			return -EADDRNOTAVAIL;
		}
	}
	if (v4 >= 0 && v6 >= 0)
		return 0;
	snprintf(why, DERP_DIAL_WHY_MAX, "no memory");
	return -ENOMEM;
}

int derp_dial_start(const struct derp_dial_env *env, const struct derp_target *target,
		    const struct derp_dial_events *ev, void *arg, struct derp_dial **out,
		    char why[DERP_DIAL_WHY_MAX])
{
	struct derp_dial *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		snprintf(why, DERP_DIAL_WHY_MAX, "no memory");
		return -ENOMEM;
	}
	d->env = *env;
	d->target = *target;
	d->ev = ev;
	d->arg = arg;
	for (unsigned i = 0; i < FAMILIES; i++)
		d->attempt[i].d = d;
	rc = derp_proxy_find(env->env, target->host, target->port, &d->proxy, why);
	d->has_proxy = rc == 1;
	if (rc >= 0)
		rc = begin_all(d, why);
	if (rc) {
		end(d);
		return rc;
	}
	*out = d;
	return 0;
}
