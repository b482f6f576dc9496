/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that our client and our server of the control protocol's transport speak with
 * each other: whole answers, open ones, large ones, many at a time, over TLS; what the
 * server says to nonsense and to too much of it; and what the client makes of a server
 * that lies.
 */
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

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

struct world {
	uv_loop_t loop;
	struct ts2021_server *server;
	struct ts2021_client *client;
	uint16_t port, tls_port;
	struct key machine_private, machine_public;
	/* server side */
	struct ts2021_request *open; /* the stream */
	unsigned gone, drained;
	/* client side */
	unsigned heads, ends, failures, status, retry_after_s;
	size_t body_len;
	uint8_t body_sum;
	char text[256], why[256];
};

static void on_request(void *arg, struct ts2021_request *r)
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

static void on_gone(void *arg, struct ts2021_request *r)
{
	struct world *w = arg;

	if (w->open == r)
		w->open = NULL;
	w->gone++;
}

static void on_drained(void *arg, struct ts2021_request *r)
{
	((struct world *)arg)->drained++;
}

static bool on_http(void *arg, const char *method, const char *path, const char *query,
		    struct ts2021_http_answer *out)
{
	if (strcmp(path, "/health") != 0)
		return false;
	out->body = strdup("well\n");
	out->len = 5;
	return true;
}

static const struct ts2021_handler handler = {
	.on_request = on_request, .on_gone = on_gone, .on_drained = on_drained, .on_http = on_http};

static void on_head(void *arg, unsigned status, unsigned retry_after_s)
{
	struct world *w = arg;

	w->heads++;
	w->status = status;
}

static void on_body(void *arg, const uint8_t *data, size_t len)
{
	struct world *w = arg;

	for (size_t i = 0; i < len; i++) {
		if (w->body_len < sizeof(w->text) - 1)
			w->text[w->body_len] = (char)data[i];
		w->body_len++;
		w->body_sum = (uint8_t)(w->body_sum + data[i]);
	}
}

static void on_end(void *arg, const char *why)
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

static void keys(struct key *private_key, struct key *public_key)
{
	randombytes_buf(private_key->bytes, KEY_BYTES);
	private_key->bytes[0] &= 248;
	private_key->bytes[31] = (uint8_t)((private_key->bytes[31] & 127) | 64);
	crypto_scalarmult_base(public_key->bytes, private_key->bytes);
}

static void open_client(struct world *w, const char *scheme, uint16_t port, SSL_CTX *tls)
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

static void open_world(struct world *w, SSL_CTX *server_tls)
{
	struct ts2021_server_config cfg = {.loop = &w->loop,
					   .random = &source,
					   .handler = &handler,
					   .arg = w,
					   .version_min = 106};
	struct endpoint at = {.addr = {AF_INET, {127, 0, 0, 1}}};
	struct key unused;

	memset(w, 0, sizeof(*w));
	uv_loop_init(&w->loop);
	keys(&cfg.private_key, &unused);
	keys(&w->machine_private, &w->machine_public);
	assert_int_equal(ts2021_server_new(&cfg, &w->server), 0);
	assert_int_equal(ts2021_server_listen(w->server, &at, NULL, &w->port), 0);
	if (server_tls)
		assert_int_equal(ts2021_server_listen(w->server, &at, server_tls, &w->tls_port), 0);
}

static void close_world(struct world *w)
{
	ts2021_client_free(w->client);
	ts2021_server_close(w->server);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

/* Turns the loop until cond, for five seconds at most. */
#define RUN_UNTIL(w, cond)                                                                         \
	do {                                                                                       \
		uint64_t until_ = uv_hrtime() + 5000000000ull;                                     \
		while (!(cond) && uv_hrtime() < until_) {                                          \
			uv_run(&(w)->loop, UV_RUN_NOWAIT);                                         \
			usleep(200);                                                               \
		}                                                                                  \
		if (!(cond))                                                                       \
			fail_msg("in vain: %s (%s)", #cond, (w)->why);                             \
	} while (0)

static int post(struct world *w, const char *path, const char *body)
{
	return ts2021_post(w->client, path, body, strlen(body), 0, &events, w);
}

static void whole_answers(void **state)
{
	struct world w;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	assert_true(post(&w, "/echo", "{\"a\":1}") > 0);
	assert_int_equal(w.ends, 0);
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.status, 200);
	assert_string_equal(w.text, "{\"a\":1}");
	post(&w, "/nowhere", "");
	RUN_UNTIL(&w, w.ends == 2);
	assert_int_equal(w.status, 404);
	RUN_UNTIL(&w, w.gone == 2);
	close_world(&w);
}

static void many_at_a_time(void **state)
{
	struct ts2021_server_counts counts;
	struct world w;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	for (int i = 0; i < 100; i++)
		post(&w, "/echo", "x");
	RUN_UNTIL(&w, w.ends == 100);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.body_len, 100);
	ts2021_server_counts(w.server, &counts);
	assert_int_equal(counts.connections, 1);
	assert_int_equal(counts.requests, 100);
	assert_int_equal(counts.pending, 0);
	close_world(&w);
}

static void large_ones(void **state)
{
	char *body = malloc(TS2021_BODY_MAX + 2);
	struct world w;

	memset(body, 'a', TS2021_BODY_MAX + 1);
	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	post(&w, "/large", "");
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.body_len, LARGE);
	assert_int_equal(w.body_sum, (uint8_t)LARGE);
	w.body_len = 0;
	ts2021_post(w.client, "/echo", body, TS2021_BODY_MAX, 0, &events, &w);
	RUN_UNTIL(&w, w.ends == 2);
	assert_int_equal(w.body_len, TS2021_BODY_MAX);
	ts2021_post(w.client, "/echo", body, TS2021_BODY_MAX + 1, 0, &events, &w);
	RUN_UNTIL(&w, w.ends == 3);
	assert_int_equal(w.status, 413);
	/* The connection lives on. */
	post(&w, "/echo", "y");
	RUN_UNTIL(&w, w.ends == 4);
	assert_int_equal(w.status, 200);
	free(body);
	close_world(&w);
}

static void open_answers(void **state)
{
	struct ts2021_bytes *b = ts2021_bytes_new("0123456789", 10);
	struct world w;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	post(&w, "/stream", "");
	RUN_UNTIL(&w, w.heads == 1);
	assert_non_null(w.open);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(ts2021_write(w.open, b), 0);
		RUN_UNTIL(&w, w.body_len == 10 * i && w.drained >= i);
		assert_int_equal(ts2021_queued(w.open), 0);
	}
	assert_int_equal(w.ends, 0);
	ts2021_end(w.open);
	RUN_UNTIL(&w, w.ends == 1 && !w.open);
	assert_int_equal(w.failures, 0);
	ts2021_bytes_put(b);
	close_world(&w);
}

/* What the client does not take is counted here, and is not in the socket's hands alone. */
static void a_slow_reader(void **state)
{
	char *data = calloc(1, 1 << 20);
	struct ts2021_bytes *b = ts2021_bytes_new(data, 1 << 20);
	struct world w;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	post(&w, "/stream", "");
	RUN_UNTIL(&w, w.heads == 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(ts2021_write(w.open, b), 0);
	assert_true(ts2021_queued(w.open) > 10u << 20);
	RUN_UNTIL(&w, w.body_len == 20u << 20);
	RUN_UNTIL(&w, ts2021_queued(w.open) == 0);
	/* Cut off in the middle: both sides forget. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(ts2021_write(w.open, b), 0);
	ts2021_abort(w.open);
	RUN_UNTIL(&w, !w.open && w.failures == 1);
	ts2021_bytes_put(b);
	free(data);
	close_world(&w);
}

static void cancelled_and_timed_out(void **state)
{
	struct world w;
	int id;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	id = post(&w, "/held", "");
	RUN_UNTIL(&w, w.open);
	ts2021_cancel(w.client, id);
	ts2021_cancel(w.client, id);
	RUN_UNTIL(&w, !w.open);
	assert_int_equal(w.ends, 0);
	ts2021_post(w.client, "/held", "", 0, 50, &events, &w);
	RUN_UNTIL(&w, w.ends == 1);
	assert_string_equal(w.why, "timed out");
	RUN_UNTIL(&w, !w.open && w.gone == 2);
	/* All at once, and then again. */
	post(&w, "/held", "");
	RUN_UNTIL(&w, w.open);
	ts2021_cancel_all(w.client);
	RUN_UNTIL(&w, !w.open);
	post(&w, "/echo", "z");
	RUN_UNTIL(&w, w.ends == 2);
	assert_int_equal(w.failures, 1);
	close_world(&w);
}

static void the_server_goes(void **state)
{
	struct world w;

	open_world(&w, NULL);
	open_client(&w, "http", w.port, NULL);
	post(&w, "/stream", "");
	RUN_UNTIL(&w, w.heads == 1);
	ts2021_server_close(w.server);
	w.server = NULL;
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 1);
	assert_int_equal(w.gone, 1);
	post(&w, "/echo", "");
	RUN_UNTIL(&w, w.ends == 2);
	assert_non_null(strstr(w.why, "connection refused"));
	close_world(&w);
}

/* A certificate for 127.0.0.1 that signs itself. */
static void certificate(const char *cert_file, const char *key_file)
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

static void over_tls(void **state)
{
	char dir[] = "/tmp/ts2021-XXXXXX", cert[64], key[64], err[NET_TLS_ERROR_MAX];
	SSL_CTX *server, *right, *wrong;
	struct world w;

	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert", dir);
	snprintf(key, sizeof(key), "%s/key", dir);
	certificate(cert, key);
	server = net_tls_server(cert, key, err);
	right = net_tls_client(cert, err);
	wrong = net_tls_client(NULL, err);
	assert_true(server && right && wrong);
	open_world(&w, server);
	open_client(&w, "https", w.tls_port, right);
	post(&w, "/echo", "tls");
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 0);
	assert_string_equal(w.text, "tls");
	ts2021_client_free(w.client);
	open_client(&w, "https", w.tls_port, wrong);
	post(&w, "/echo", "tls");
	RUN_UNTIL(&w, w.ends == 2);
	assert_non_null(strstr(w.why, "certificate"));
	close_world(&w);
	assert_null(net_tls_server("/nonexistent", key, err));
	assert_non_null(strstr(err, "/nonexistent"));
	SSL_CTX_free(server);
	SSL_CTX_free(right);
	SSL_CTX_free(wrong);
	unlink(cert);
	unlink(key);
	rmdir(dir);
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

static void raw_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
	struct raw *r = h->data;

	*buf = uv_buf_init(r->got + r->len, (unsigned)(sizeof(r->got) - 1 - r->len));
}

static void raw_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct raw *r = s->data;

	if (n > 0)
		r->len += (size_t)n;
	else if (n < 0)
		r->is_closed = true;
}

static void raw_connected(uv_connect_t *c, int status)
{
	struct raw *r = c->data;
	uv_buf_t buf = uv_buf_init((char *)r->request, (unsigned)r->request_len);

	assert_int_equal(status, 0);
	uv_read_start((uv_stream_t *)&r->tcp, raw_alloc, raw_read);
	if (r->request_len)
		uv_write(&r->write, (uv_stream_t *)&r->tcp, &buf, 1, NULL);
}

static void raw_start(struct world *w, struct raw *r, const char *request, size_t len)
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

static void nonsense(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"GET /key?v=142 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		 "\"publicKey\":\"mkey:"},
		{"GET /health HTTP/1.0\r\n\r\n", "well\n"},
		{"GET /nothing HTTP/1.1\r\n\r\n", "404 page not found"},
		{"POST /ts2021 HTTP/1.1\r\n\r\n", "missing next protocol"},
		{"POST /ts2021 HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "unknown next protocol"},
		{"POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n\r\n",
		 "missing Tailscale handshake header"},
		{"POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n"
		 "X-Tailscale-Handshake: !!!\r\n\r\n",
		 "invalid tailscale handshake header"},
		{"POST /ts2021 HTTP/1.1\r\nUpgrade: tailscale-control-protocol\r\n"
		 "X-Tailscale-Handshake: QUJD\r\n\r\n",
		 "wrong handshake initiation size"},
		{"\x16\x03\x01\x02\x01\x01\xfc\x03\x03\n\n", "no request that is served here"},
		{"GET /key HTTP/9.9\r\n\r\n", "no request that is served here"},
	};
	struct world w;

	open_world(&w, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw r;

		raw_start(&w, &r, cases[i].request, strlen(cases[i].request));
		RUN_UNTIL(&w, r.is_closed);
		if (!memmem(r.got, r.len, cases[i].answer, strlen(cases[i].answer)))
			fail_msg("%s: %s", cases[i].request, r.got);
		uv_close((uv_handle_t *)&r.tcp, NULL);
		uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	open_client(&w, "http", w.port, NULL);
	post(&w, "/echo", "still");
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 0);
	close_world(&w);
}

/* Two requests in one write, the second one in two. */
static void one_behind_the_other(void **state)
{
	static const char two[] =
		"GET /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
	struct world w;
	struct raw r;

	open_world(&w, NULL);
	raw_start(&w, &r, two, strlen(two));
	RUN_UNTIL(&w, r.is_closed);
	assert_int_equal(strncmp(r.got, "HTTP/1.1 200", 12), 0);
	assert_non_null(strstr(r.got + 12, "HTTP/1.1 200"));
	uv_close((uv_handle_t *)&r.tcp, NULL);
	close_world(&w);
}

static void too_many_from_one_address(void **state)
{
	static struct raw many[TS2021_PENDING_PER_ADDRESS + 40];
	struct ts2021_server_counts counts;
	unsigned n = sizeof(many) / sizeof(many[0]), closed = 0;
	struct world w;

	open_world(&w, NULL);
	for (unsigned i = 0; i < n; i++)
		raw_start(&w, &many[i], "", 0);
	RUN_UNTIL(&w, (ts2021_server_counts(w.server, &counts), counts.accepted == n));
	assert_int_equal(counts.pending, TS2021_PENDING_PER_ADDRESS);
	assert_int_equal(counts.refused_address, 40);
	RUN_UNTIL(&w, ({
		closed = 0;
		for (unsigned i = 0; i < n; i++)
			closed += many[i].is_closed;
		closed == 40;
	}));
	for (unsigned i = 0; i < n; i++)
		uv_close((uv_handle_t *)&many[i].tcp, NULL);
	/* Those that went make room. */
	RUN_UNTIL(&w, (ts2021_server_counts(w.server, &counts), counts.pending == 0));
	open_client(&w, "http", w.port, NULL);
	post(&w, "/echo", "still");
	RUN_UNTIL(&w, w.ends == 1);
	assert_int_equal(w.failures, 0);
	close_world(&w);
}

static void urls(void **state)
{
	static const struct {
		const char *text;
		uint16_t plain, tls;
		const char *authority;
	} good[] = {
		{"https://h.example", 80, 443, "h.example"},
		{"https://h.example:8443/path", 80, 8443, "h.example:8443"},
		{"http://h.example", 80, 443, "h.example"},
		{"http://h.example:8080", 8080, 443, "h.example:8080"},
		{"http://10.0.0.1:8080", 8080, 0, "10.0.0.1:8080"},
		{"http://localhost", 80, 0, "localhost"},
		{"HTTP://[fd7a::1]:81/", 81, 0, "[fd7a::1]:81"},
		{"http://203.0.113.1", 80, 443, "203.0.113.1"},
	};
	static const char *const bad[] = {
		"",	      "h.example",	"ftp://h",     "http://",    "http://h:0",
		"http://h:x", "http://h:70000", "http://[::1", "http://a b", "https://h\r\nx"};
	struct ts2021_url u;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ts2021_url_parse(good[i].text, &u), 0);
		assert_int_equal(u.plain_port, good[i].plain);
		assert_int_equal(u.tls_port, good[i].tls);
		assert_string_equal(u.authority, good[i].authority);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(ts2021_url_parse(bad[i], &u), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(many_at_a_time),
		cmocka_unit_test(large_ones),
		cmocka_unit_test(open_answers),
		cmocka_unit_test(a_slow_reader),
		cmocka_unit_test(cancelled_and_timed_out),
		cmocka_unit_test(the_server_goes),
		cmocka_unit_test(over_tls),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(one_behind_the_other),
		cmocka_unit_test(too_many_from_one_address),
	};

	if (sodium_init() < 0)
		return 1;
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
