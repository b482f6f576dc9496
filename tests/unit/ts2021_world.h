/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server and a client of the control protocol's transport on one loop, a handler
 * that echoes, holds and streams, and a connection by hand: for tests of the
 * transport.
 */
#ifndef TESTS_UNIT_TS2021_WORLD_H
#define TESTS_UNIT_TS2021_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/net/net_tls.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/ts2021/ts2021_client.h"
#include "controlplane/ts2021/ts2021_server.h"
#include "lib/base/log.h"

#define LARGE (3u << 20)

static inline void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

struct world {
	uv_loop_t loop;
	struct ts2021_server *server;
	struct ts2021_client *client;
	uint16_t port, tls_port;
	struct key machine_private, machine_public, server_public;
	/* server side */
	struct ts2021_request *open; /* the stream */
	unsigned gone, drained;
	/* client side */
	unsigned heads, ends, failures, status, retry_after_s;
	size_t body_len;
	uint8_t body_sum;
	char text[256], why[256];
};

static inline void on_request(void *arg, struct ts2021_request *r)
{
	struct world *w = arg;
	const struct ts2021_request_info *i = ts2021_request_info(r);

	assert_memory_equal(i->machine.bytes, w->machine_public.bytes, KEY_BYTES);
	assert_int_equal(i->version, 142);
	assert_string_equal(i->method, "POST");
	if (strcmp(i->path, "/echo") == 0) {
		ts2021_respond(r, 200, NULL, i->body, i->body_len);
	} else if (strcmp(i->path, "/stream") == 0) {
		w->open = r;
		ts2021_begin(r, 200, NULL);
	} else if (strcmp(i->path, "/large") == 0) {
		char *data = calloc(1, LARGE);

		memset(data, 1, LARGE);
		ts2021_respond(r, 200, NULL, data, LARGE);
		free(data);
	} else if (strcmp(i->path, "/held") == 0) {
		w->open = r;
	} else {
		ts2021_respond(r, 404, "text/plain", "no\n", 3);
	}
}

static inline void on_gone(void *arg, struct ts2021_request *r)
{
	struct world *w = arg;

	if (w->open == r)
		w->open = NULL;
	w->gone++;
}

static inline void on_drained(void *arg, struct ts2021_request *r)
{
	((struct world *)arg)->drained++;
}

static inline bool on_http(void *arg, const char *method, const char *path, const char *query,
			   const uint8_t *body, size_t body_len, struct ts2021_http_answer *out)
{
	if (strcmp(path, "/health") != 0)
		return false;
	out->body = strdup("well\n");
	out->len = 5;
	return true;
}

static const struct ts2021_handler handler = {
	.on_request = on_request, .on_gone = on_gone, .on_drained = on_drained, .on_http = on_http};

static inline void on_head(void *arg, unsigned status, unsigned retry_after_s)
{
	struct world *w = arg;

	w->heads++;
	w->status = status;
}

static inline void on_body(void *arg, const uint8_t *data, size_t len)
{
	struct world *w = arg;

	for (size_t i = 0; i < len; i++) {
		if (w->body_len < sizeof(w->text) - 1)
			w->text[w->body_len] = (char)data[i];
		w->body_len++;
		w->body_sum = (uint8_t)(w->body_sum + data[i]);
	}
}

static inline void on_end(void *arg, const char *why)
{
	struct world *w = arg;

	w->ends++;
	if (why) {
		w->failures++;
		snprintf(w->why, sizeof(w->why), "%s", why);
	}
}

static const struct ts2021_events events = {
	.on_head = on_head, .on_body = on_body, .on_end = on_end};

static inline void keys(struct key *private_key, struct key *public_key)
{
	randombytes_buf(private_key->bytes, KEY_BYTES);
	private_key->bytes[0] &= 248;
	private_key->bytes[31] = (uint8_t)((private_key->bytes[31] & 127) | 64);
	crypto_scalarmult_base(public_key->bytes, private_key->bytes);
}

static inline void open_client(struct world *w, const char *scheme, uint16_t port, SSL_CTX *tls)
{
	struct ts2021_client_config cfg = {.loop = &w->loop,
					   .tls = tls,
					   .machine_private = w->machine_private,
					   .version = 142,
					   .random = &source};
	char url[64];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%u", scheme, port);
	assert_int_equal(ts2021_url_parse(url, &cfg.url), 0);
	assert_int_equal(ts2021_client_new(&cfg, &w->client), 0);
}

static inline void open_limited(struct world *w, SSL_CTX *server_tls,
				const struct ts2021_limits *limits)
{
	struct ts2021_server_config cfg = {.loop = &w->loop,
					   .random = &source,
					   .handler = &handler,
					   .arg = w,
					   .version_min = 106};
	struct endpoint at = {.addr = {AF_INET, {127, 0, 0, 1}}};

	cfg.limits = *limits;
	memset(w, 0, sizeof(*w));
	uv_loop_init(&w->loop);
	keys(&cfg.private_key, &w->server_public);
	keys(&w->machine_private, &w->machine_public);
	assert_int_equal(ts2021_server_new(&cfg, &w->server), 0);
	assert_int_equal(ts2021_server_listen(w->server, &at, NULL, &w->port), 0);
	if (server_tls)
		assert_int_equal(ts2021_server_listen(w->server, &at, server_tls, &w->tls_port), 0);
}

static inline void open_world(struct world *w, SSL_CTX *server_tls)
{
	open_limited(w, server_tls, &(struct ts2021_limits){0});
}

static inline void close_world(struct world *w)
{
	ts2021_client_free(w->client);
	ts2021_server_close(w->server);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

/* Turns the loop until cond, for fifteen seconds at most. */
#define RUN_UNTIL(w, cond)                                                                         \
	do {                                                                                       \
		uint64_t until_ = uv_hrtime() + 15000000000ull;                                    \
		while (!(cond) && uv_hrtime() < until_) {                                          \
			uv_run(&(w)->loop, UV_RUN_NOWAIT);                                         \
			usleep(200);                                                               \
		}                                                                                  \
		if (!(cond))                                                                       \
			fail_msg("in vain: %s (%s)", #cond, (w)->why);                             \
	} while (0)

static inline int post(struct world *w, const char *path, const char *body)
{
	return ts2021_post(w->client, path, body, strlen(body), 0, &events, w);
}

/* A certificate for 127.0.0.1 that signs itself. */
static inline void certificate(const char *cert_file, const char *key_file)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, pkey);
	X509_add_ext(x, san, -1);
	assert_true(X509_sign(x, pkey, EVP_sha256()) > 0);
	f = fopen(cert_file, "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(key_file, "w");
	PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(pkey);
}

/* ---- by hand, as HTTP/1.1 ---- */

struct raw {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	const char *request;
	size_t request_len;
	char got[4096];
	size_t len;
	bool is_closed;
};

static inline void raw_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	struct raw *r = h->data;

	*buf = uv_buf_init(r->got + r->len, (unsigned)(sizeof(r->got) - 1 - r->len));
}

static inline void raw_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct raw *r = s->data;

	if (n > 0)
		r->len += (size_t)n;
	else if (n < 0)
		r->is_closed = true;
}

static inline void raw_connected(uv_connect_t *c, int status)
{
	struct raw *r = c->data;
	uv_buf_t buf = uv_buf_init((char *)r->request, (unsigned)r->request_len);

	assert_int_equal(status, 0);
	uv_read_start((uv_stream_t *)&r->tcp, raw_alloc, raw_read);
	if (r->request_len)
		uv_write(&r->write, (uv_stream_t *)&r->tcp, &buf, 1, NULL);
}

static inline void raw_start(struct world *w, struct raw *r, const char *request, size_t len)
{
	struct sockaddr_in to;

	memset(r, 0, sizeof(*r));
	r->request = request;
	r->request_len = len;
	uv_tcp_init(&w->loop, &r->tcp);
	r->tcp.data = r->connect.data = r;
	uv_ip4_addr("127.0.0.1", w->port, &to);
	uv_tcp_connect(&r->connect, &r->tcp, (struct sockaddr *)&to, raw_connected);
}

#endif
