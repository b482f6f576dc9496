/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the LocalAPI's parser takes requests whole and cut at every byte
 * alike, refuses what is malformed or too large, and joins chunks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "controlplane/net/http.h"
#include "lib/base/bug.h"

static long parse(const char *text, size_t len, struct http_request *req, uint8_t **copy)
{
	*copy = malloc(len ? len : 1);
	memcpy(*copy, text, len);
	return http_parse(*copy, len, req);
}

static void test_whole_and_cut(void **state)
{
	static const char text[] = "POST /localapi/v0/reload?a=1&peers=false HTTP/1.1\r\n"
				   "Host: local-tailscaled.sock\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n"
				   "3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
	struct http_request req;
	char value[8];
	uint8_t *copy;

	(void)state;
	for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
		assert_int_equal(parse(text, cut, &req, &copy), 0);
		free(copy);
	}
	assert_int_equal(parse(text, sizeof(text) - 1, &req, &copy), sizeof(text) - 1);
	assert_string_equal(req.method, "POST");
	assert_string_equal(req.path, "/localapi/v0/reload");
	assert_string_equal(req.host, "local-tailscaled.sock");
	assert_true(req.keep_alive);
	assert_int_equal(req.body_len, 13);
	assert_memory_equal(req.body, "abc0123456789", 13);
	assert_true(http_query_get(&req, "peers", value, sizeof(value)));
	assert_string_equal(value, "false");
	assert_false(http_query_get(&req, "peer", value, sizeof(value)));
	snprintf(req.query, sizeof(req.query), "%s",
		 "ip=fd7a%3A%3a1&bad=%zz%3&zero=a%00b&plus=a+b");
	assert_true(http_query_get(&req, "ip", value, sizeof(value)));
	assert_string_equal(value, "fd7a::1");
	http_query_get(&req, "bad", value, sizeof(value));
	assert_string_equal(value, "%zz%3");
	http_query_get(&req, "zero", value, sizeof(value));
	assert_string_equal(value, "a%00b");
	http_query_get(&req, "plus", value, sizeof(value));
	assert_string_equal(value, "a b");
	free(copy);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		long error;
	} rows[] = {
		{"GET\r\n\r\n", -EBADMSG},
		{"GET  HTTP/1.1\r\n\r\n", -EBADMSG},
		{"GET x HTTP/1.1\r\n\r\n", -EBADMSG},
		{"GET / HTTP/2.0\r\n\r\n", -EBADMSG},
		{"G(T / HTTP/1.1\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nno colon\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nA : b\r\n\r\n", -EBADMSG},
		{"GET / HTTP/1.1\r\nA: b\001\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		 -EBADMSG},
		{"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", -EMSGSIZE},
		{"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", -EMSGSIZE},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", -ENOTSUP},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", -EMSGSIZE},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", -EBADMSG},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", -EBADMSG},
	};
	struct http_request req;
	uint8_t *copy;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		long rc = parse(rows[i].text, strlen(rows[i].text), &req, &copy);

		free(copy);
		if (rc != rows[i].error)
			fail_msg("%s: %ld, not %ld", rows[i].text, rc, rows[i].error);
	}
}

static void test_head_is_bounded(void **state)
{
	static char text[HTTP_HEAD_MAX + 1];
	struct http_request req;
	uint8_t *copy;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nA: ");

	(void)state;
	memset(text + n, 'a', sizeof(text) - (size_t)n);
	assert_int_equal(parse(text, HTTP_HEAD_MAX - 1, &req, &copy), 0);
	free(copy);
	assert_int_equal(parse(text, HTTP_HEAD_MAX, &req, &copy), -ENOBUFS);
	free(copy);
}

static void test_browser_is_seen(void **state)
{
	static const char text[] = "GET / HTTP/1.0\r\norigin: http://x\r\n\r\nnext";
	struct http_request req;
	uint8_t *copy;

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &req, &copy), sizeof(text) - 5);
	assert_true(req.has_origin);
	assert_false(req.keep_alive);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_and_cut),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_head_is_bounded),
		cmocka_unit_test(test_browser_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
