/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that our client and our server of the control protocol's transport speak with
 * each other: whole answers, open ones, large ones, many at a time, over TLS; what the
 * server says to nonsense. What it does against an attacker is in test_ts2021_limits.c.
 */
#include "tests/unit/ts2021_world.h"

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
	};

	if (sodium_init() < 0)
		return 1;
	log_init("test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
