/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/admission.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/net/http_reply.h"
#include "controlplane/net/net_stream.h"
#include "controlplane/net/net_tls.h"
#include "lib/base/log.h"

#define ASKS_MAX     64
#define WAITING_MAX  4096
#define TIMEOUT_MS   5000
#define ANSWER_MAX   8192
#define REQUEST_MAX  1024
#define URL_PATH_MAX 512

enum verdict { REFUSED, ALLOWED, UNREACHABLE };

struct ask {
	struct ask *next; /* in the list of those that wait, or under way */
	struct admission *admission;
	struct admission_question q;
	struct net_stream *stream;
	uv_timer_t timer;
	size_t len;
	char answer[ANSWER_MAX];
};

struct admission {
	struct admission_config cfg;
	bool is_https;
	char host[NET_HOST_MAX], authority[NET_HOST_MAX + 8], path[URL_PATH_MAX];
	uint16_t port;
	SSL_CTX *tls;
	pthread_t thread;
	uv_loop_t loop;
	uv_async_t wake;
	/* The loop's thread. */
	struct ask *under_way;
	unsigned asks;
	bool was_unreachable; /* told once */
	/* Under lock. */
	pthread_mutex_t lock;
	struct ask *first, *last;
	unsigned waiting;
	bool stop;
};

/* --- the URL --- */

static int parse_port(const char *text, uint16_t *port)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || n < 1 || n > 65535)
		return -EINVAL;
	*port = (uint16_t)n;
	return 0;
}

static int parse_url(struct admission *a, const char *url)
{
	const char *at = url, *slash, *colon;
	size_t len;
	char *host = a->host;

	a->is_https = strncasecmp(url, "https://", 8) == 0;
	if (!a->is_https && strncasecmp(url, "http://", 7) != 0)
		return -EINVAL;
	at += a->is_https ? 8 : 7;
	slash = strchr(at, '/');
	len = slash ? (size_t)(slash - at) : strlen(at);
	if (!len || len >= sizeof(a->host) || strcspn(at, " \t\r\n") < strlen(at) ||
	    snprintf(a->path, sizeof(a->path), "%s", slash ? slash : "/") >= (int)sizeof(a->path))
		return -EINVAL;
	memcpy(host, at, len);
	host[len] = 0;
	snprintf(a->authority, sizeof(a->authority), "%s", host);
	a->port = a->is_https ? 443 : 80;
	colon = strrchr(host, ':');
	if (colon && !strchr(colon, ']')) {
		if (parse_port(colon + 1, &a->port))
			return -EINVAL;
		host[colon - host] = 0;
	}
	len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		memmove(host, host + 1, len - 2);
		host[len - 2] = 0;
	}
	return host[0] ? 0 : -EINVAL;
}

/* --- one question --- */

static void begin_more(struct admission *a);

static void on_timer_gone(uv_handle_t *h)
{
	struct ask *k = h->data;
	struct admission *a = k->admission;

	free(k);
	a->asks--;
	begin_more(a);
}

static void unlink_ask(struct ask *k)
{
	struct ask **at = &k->admission->under_way;

	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
}

static void finish(struct ask *k, enum verdict v, const char *why)
{
	struct admission *a = k->admission;

	net_stream_close(k->stream, false);
	k->stream = NULL;
	if (v == UNREACHABLE && !a->was_unreachable)
		log_warn("relay.admission", "url_host=%s error=\"%s\" so_long=%s", a->authority,
			 why, a->cfg.is_fail_open ? "admitted" : "refused");
	a->was_unreachable = v == UNREACHABLE;
	a->cfg.on_answer(a->cfg.arg, k->q.id,
			 v == ALLOWED || (v == UNREACHABLE && a->cfg.is_fail_open));
	unlink_ask(k);
	uv_close((uv_handle_t *)&k->timer, on_timer_gone);
}

static void on_open(void *arg)
{
	struct ask *k = arg;
	struct admission *a = k->admission;
	char hex[KEY_HEX_MAX], from[ADDR_STR_MAX], body[256], request[REQUEST_MAX + URL_PATH_MAX];
	int n = snprintf(body, sizeof(body), "{\"NodePublic\":\"nodekey:%s\",\"Source\":\"%s\"}",
			 key_print_hex(&k->q.key, hex), addr_print(&k->q.from, from));

	n = snprintf(request, sizeof(request),
		     "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
		     "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
		     a->path, a->authority, n, body);
	if (net_stream_write(k->stream, request, (size_t)n))
		finish(k, UNREACHABLE, "no memory");
}

static bool says_allow(const struct http_reply *r)
{
	json_t *root = r->status == 200 ? json_loadb(r->body, r->body_len, 0, NULL) : NULL;
	bool yes = json_is_true(json_object_get(root, "Allow"));

	json_decref(root);
	return yes;
}

/* True when it was answered. */
static bool look(struct ask *k, bool at_end)
{
	struct http_reply reply;
	int rc = http_reply_parse(k->answer, k->len, at_end, &reply);

	if (rc == 0)
		return false;
	finish(k, rc == 1 && says_allow(&reply) ? ALLOWED : REFUSED, NULL);
	return true;
}

static void on_data(void *arg, uint8_t *data, size_t len)
{
	struct ask *k = arg;

	if (len > sizeof(k->answer) - k->len) {
		finish(k, REFUSED, NULL);
		return;
	}
	memcpy(k->answer + k->len, data, len);
	k->len += len;
	look(k, false);
}

static void on_close(void *arg, int err, const char *why)
{
	struct ask *k = arg;

	k->stream = NULL;
	if (err || !k->len || !look(k, true))
		finish(k, UNREACHABLE, why ? why : "no answer");
}

static void on_timeout(uv_timer_t *t)
{
	finish(t->data, UNREACHABLE, "no answer in time");
}

static const struct net_stream_events events = {
	.on_open = on_open, .on_data = on_data, .on_close = on_close};

static void begin(struct admission *a, struct ask *k)
{
	struct net_dial dial = {
		.host = a->host, .port = a->port, .tls = a->tls, .timeout_ms = TIMEOUT_MS};

	a->asks++;
	k->next = a->under_way;
	a->under_way = k;
	uv_timer_init(&a->loop, &k->timer);
	k->timer.data = k;
	uv_timer_start(&k->timer, on_timeout, TIMEOUT_MS, 0);
	if (net_stream_dial(&a->loop, &dial, &events, k, &k->stream))
		finish(k, UNREACHABLE, "no memory");
}

static void begin_more(struct admission *a)
{
	while (a->asks < ASKS_MAX) {
		struct ask *k;

		pthread_mutex_lock(&a->lock);
		k = a->stop ? NULL : a->first;
		if (k) {
			a->first = k->next;
			a->last = a->first ? a->last : NULL;
			a->waiting--;
		}
		pthread_mutex_unlock(&a->lock);
		if (!k)
			return;
		begin(a, k);
	}
}

/* --- the thread --- */

static void on_wake(uv_async_t *h)
{
	struct admission *a = h->data;
	bool stop;

	pthread_mutex_lock(&a->lock);
	stop = a->stop;
	pthread_mutex_unlock(&a->lock);
	if (!stop) {
		begin_more(a);
		return;
	}
	for (struct ask *k = a->under_way, *next; k; k = next) {
		next = k->next;
		net_stream_close(k->stream, false);
		uv_close((uv_handle_t *)&k->timer, on_timer_gone);
	}
	uv_close((uv_handle_t *)h, NULL);
}

static void *run(void *arg)
{
	struct admission *a = arg;

	uv_run(&a->loop, UV_RUN_DEFAULT);
	return NULL;
}

bool admission_ask(struct admission *a, const struct admission_question *q)
{
	struct ask *k = calloc(1, sizeof(*k));
	bool ok;

	if (!k)
		return false;
	k->admission = a;
	k->q = *q;
	pthread_mutex_lock(&a->lock);
	ok = a->waiting < WAITING_MAX;
	if (ok) {
		*(a->last ? &a->last->next : &a->first) = k;
		a->last = k;
		a->waiting++;
	}
	pthread_mutex_unlock(&a->lock);
	if (!ok) {
		free(k);
		return false;
	}
	uv_async_send(&a->wake);
	return true;
}

int admission_start(const struct admission_config *cfg, struct admission **out,
		    char err[ADMISSION_ERROR_MAX])
{
	struct admission *a = calloc(1, sizeof(*a));
	int rc = a ? parse_url(a, cfg->url) : -ENOMEM;

	if (rc) {
		snprintf(err, ADMISSION_ERROR_MAX, "%.200s: %s", cfg->url,
			 rc == -EINVAL ? "not http://HOST[:PORT]/PATH or https" : strerror(-rc));
		free(a);
		return rc;
	}
	a->cfg = *cfg;
	a->tls = a->is_https ? net_tls_client(NULL, err) : NULL;
	if (a->is_https && !a->tls) {
		free(a);
		return -EINVAL;
	}
	pthread_mutex_init(&a->lock, NULL);
	uv_loop_init(&a->loop);
	uv_async_init(&a->loop, &a->wake, on_wake);
	a->wake.data = a;
	rc = -pthread_create(&a->thread, NULL, run, a);
	if (rc) {
		snprintf(err, ADMISSION_ERROR_MAX, "a thread: %s", strerror(-rc));
		uv_close((uv_handle_t *)&a->wake, NULL);
		uv_run(&a->loop, UV_RUN_DEFAULT);
		uv_loop_close(&a->loop);
		SSL_CTX_free(a->tls);
		free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void admission_stop(struct admission *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_mutex_unlock(&a->lock);
	uv_async_send(&a->wake);
	pthread_join(a->thread, NULL);
	uv_loop_close(&a->loop);
	while (a->first) {
		struct ask *k = a->first;

		a->first = k->next;
		free(k);
	}
	pthread_mutex_destroy(&a->lock);
	SSL_CTX_free(a->tls);
	free(a);
}
