/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the parts of the DERP client that need no relay: which proxy is taken, heads and frames in
 * whatever pieces they come, the boxes against the relay's own code, the bounds of what waits,
 * where peers were heard, and pauses. Connections are in test_derp_conn.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/derp/hello.h"
#include "controlplane/derp_client/derp_hello.h"
#include "controlplane/derp_client/derp_http.h"
#include "controlplane/derp_client/derp_proxy.h"
#include "controlplane/derp_client/derp_reader.h"
#include "controlplane/derp_client/derp_region.h"
#include "controlplane/derp_client/derp_routes.h"
#include "controlplane/derp_client/derp_sendq.h"
#include "controlplane/derp_client/derp_target.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

/* ---- proxies ---- */

static const char *const *the_env;

static char *env(const char *name)
{
	for (const char *const *p = the_env; *p; p += 2)
		if (strcmp(p[0], name) == 0)
			return (char *)(uintptr_t)p[1];
	return NULL;
}

#define ENV(...)                                                                                   \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

/* what: "host:port auth", "" = none, "!..." = an error with this text. */
static void proxy_is(const char *const *vars, const char *host, uint16_t port, const char *what)
{
	char why[DERP_PROXY_WHY_MAX], got[DERP_PROXY_HOST_MAX + DERP_PROXY_AUTH_MAX + 16];
	struct derp_proxy p;
	int rc;

	the_env = vars;
	rc = derp_proxy_find(env, host, port, &p, why);
	if (*what == '!') {
		assert_int_equal(rc, -EINVAL);
		assert_non_null(strstr(why, what + 1));
		return;
	}
	assert_int_equal(rc, *what != 0);
	if (rc) {
		snprintf(got, sizeof(got), "%s:%u %s", p.host, p.port, p.auth);
		assert_string_equal(got, what);
	}
}

static void proxies(void **state)
{
	static const char *const except[] = {"HTTPS_PROXY", "http://p:1", "no_proxy",
					     "a.example, .b.example,*.c.example , "
					     "10.0.0.0/8,192.0.2.7,d.example:444,[fd00::1]:443,",
					     NULL};
	static const struct {
		const char *host;
		bool is_direct;
	} row[] = {{"a.example", true},	  {"x.A.example", true}, {"xa.example", false},
		   {"b.example", false},  {"x.b.example", true}, {"c.example", false},
		   {"y.c.example", true}, {"10.2.3.4", true},	 {"11.2.3.4", false},
		   {"192.0.2.7", true},	  {"192.0.2.8", false},	 {"d.example", false},
		   {"fd00::1", true},	  {"fd00::2", false},	 {"localhost", true},
		   {"127.9.9.9", true},	  {"::1", true},	 {"example", false}};

	proxy_is(ENV("X", "y"), "h", 443, "");
	proxy_is(ENV("HTTP_PROXY", "http://p:1"), "h", 443, "");
	proxy_is(ENV("HTTPS_PROXY", "http://p:1"), "h", 443, "p:1 ");
	proxy_is(ENV("https_proxy", "p"), "h", 443, "p:80 ");
	proxy_is(ENV("HTTPS_PROXY", "", "https_proxy", "q:8/"), "h", 443, "q:8 ");
	proxy_is(ENV("HTTPS_PROXY", "HTTP://[fd00::9]:3128"), "h", 443, "fd00::9:3128 ");
	proxy_is(ENV("ALL_PROXY", "p:2", "HTTPS_PROXY", "p:1"), "h", 443, "p:1 ");
	proxy_is(ENV("all_proxy", "http://p:2"), "h", 443, "p:2 ");
	proxy_is(ENV("ALL_PROXY", "socks5://p:2"), "h", 443, "");
	proxy_is(ENV("HTTPS_PROXY", "http://u:p%40%3a@p:1"), "h", 443, "p:1 Basic dTpwQDo=");
	proxy_is(ENV("HTTPS_PROXY", "http://u@p:1"), "h", 443, "p:1 ");
	proxy_is(ENV("HTTPS_PROXY", "p:1", "NO_PROXY", "*"), "h", 443, "");
	proxy_is(ENV("HTTPS_PROXY", "socks5://p:1"), "h", 443, "!HTTPS_PROXY: only an http://");
	proxy_is(ENV("HTTPS_PROXY", "http://p:0"), "h", 443, "!port");
	proxy_is(ENV("HTTPS_PROXY", "http://p:99999"), "h", 443, "!port");
	proxy_is(ENV("HTTPS_PROXY", "http://p:8x"), "h", 443, "!port");
	proxy_is(ENV("HTTPS_PROXY", "http://:8"), "h", 443, "!no host");
	proxy_is(ENV("HTTPS_PROXY", "http://u:%zz@p"), "h", 443, "!user or password");
	proxy_is(ENV("HTTPS_PROXY", "http://u:%4"), "h", 443, "!port");
	for (size_t i = 0; i < ARRAY_SIZE(row); i++)
		proxy_is(except, row[i].host, 443, row[i].is_direct ? "" : "p:1 ");
	proxy_is(except, "d.example", 444, "");
	proxy_is(except, "fd00::1", 444, "p:1 ");
}

/* ---- targets ---- */

static void targets(void **state)
{
	struct derp_map_node n = {
		.name = "1a", .host_name = "h.example", .cert_name = "", .derp_port = 443};
	char text[DERP_TARGET_TEXT_MAX], name[300];
	struct derp_target t, u;

	assert_int_equal(derp_target_init(&t, &n, false), 0);
	assert_string_equal(derp_target_print(&t, true, text), "h.example");
	assert_string_equal(derp_target_print(&t, false, text), "h.example:443");
	assert_true(derp_target_equal(&t, &t));
	assert_int_equal(derp_target_init(&u, &n, true), 0);
	assert_int_equal(u.port, DERP_PLAIN_PORT);
	assert_false(derp_target_equal(&t, &u));
	n.host_name = "fd00::1";
	n.derp_port = 8443;
	assert_int_equal(derp_target_init(&t, &n, false), 0);
	assert_string_equal(derp_target_print(&t, true, text), "[fd00::1]:8443");
	/* What would be another header, or another request. */
	n.host_name = "h\r\nX: y";
	assert_int_equal(derp_target_init(&t, &n, false), -EINVAL);
	n.host_name = "h example";
	assert_int_equal(derp_target_init(&t, &n, false), -EINVAL);
	n.host_name = "";
	assert_int_equal(derp_target_init(&t, &n, false), -EINVAL);
	n.host_name = "h";
	n.cert_name = "a\nb";
	assert_int_equal(derp_target_init(&t, &n, false), -EINVAL);
	n.cert_name = "";
	n.name = "1a\r\nX: y";
	assert_int_equal(derp_target_init(&t, &n, false), 0);
	assert_string_equal(t.name, "1a");
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = 0;
	n.host_name = name;
	assert_int_equal(derp_target_init(&t, &n, false), -EINVAL);
}

/* ---- heads ---- */

static void heads(void **state)
{
	static const char answer[] =
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\nrest";
	static const char refusal[] = "HTTP/1.0 502 B\x01\r\nContent-Length: 9\r\n\r\n";
	char line[64], large[DERP_HTTP_HEAD_MAX];
	struct derp_http h;
	size_t used;

	for (size_t cut = 0; cut < sizeof(answer) - 5; cut++) {
		h = (struct derp_http){0};
		assert_int_equal(derp_http_add(&h, (const uint8_t *)answer, cut, &used), 0);
		assert_int_equal(used, cut);
		assert_int_equal(derp_http_add(&h, (const uint8_t *)answer + cut,
					       sizeof(answer) - 1 - cut, &used),
				 101);
		assert_int_equal(used, sizeof(answer) - 5 - cut);
	}
	assert_string_equal(derp_http_line(&h, line, 20), "HTTP/1.1 101 Switch");
	/* No body is waited for. */
	h = (struct derp_http){0};
	assert_int_equal(derp_http_add(&h, (const uint8_t *)refusal, sizeof(refusal) - 1, &used),
			 502);
	assert_string_equal(derp_http_line(&h, line, sizeof(line)), "HTTP/1.0 502 B?");
	/* Something else speaks, and need not end its line. */
	h = (struct derp_http){0};
	assert_int_equal(derp_http_add(&h, (const uint8_t *)"SSH-2.0-x", 9, &used), -EBADMSG);
	h = (struct derp_http){0};
	assert_int_equal(derp_http_add(&h, (const uint8_t *)"HTTP/1.1 abc\r\n\r\n", 16, &used),
			 -EBADMSG);
	h = (struct derp_http){0};
	memset(large, 'a', sizeof(large));
	memcpy(large, "HTTP/1.1 200 ", 13);
	assert_int_equal(derp_http_add(&h, (const uint8_t *)large, sizeof(large) - 1, &used), 0);
	assert_int_equal(derp_http_add(&h, (const uint8_t *)"aa", 2, &used), -EMSGSIZE);
}

/* ---- frames ---- */

struct seen {
	unsigned count, end_at;
	uint64_t sum; /* of types, lengths and bodies in order */
};

static bool on_frame(void *arg, uint8_t type, const uint8_t *body, size_t len)
{
	struct seen *s = arg;

	s->sum = s->sum * 31 + type * 7 + len;
	for (size_t i = 0; i < len; i++)
		s->sum = s->sum * 31 + body[i];
	return ++s->count != s->end_at;
}

static size_t put(uint8_t *out, uint8_t type, size_t len)
{
	derp_header_put(out, type, (uint32_t)len);
	for (size_t i = 0; i < len; i++)
		out[DERP_HEADER_BYTES + i] = (uint8_t)(type + i * 3);
	return DERP_HEADER_BYTES + len;
}

/* A stream of frames, whole and in pieces of every size and of random ones: the same is seen. */
static void frames_in_pieces(void **state)
{
	static uint8_t data[200000];
	char why[DERP_READER_WHY_MAX];
	struct seen whole = {0};
	struct derp_reader r = {0};
	size_t len = 0;

	len += put(data + len, DERP_KEEP_ALIVE, 0);
	len += put(data + len, DERP_RECV_PACKET, 100);
	len += put(data + len, 0x77, 5000);	      /* unknown */
	len += put(data + len, DERP_RECV_PACKET, 31); /* too short for its type */
	len += put(data + len, DERP_SERVER_KEY, 40);  /* not waited for any more */
	len += put(data + len, DERP_PONG, 8);
	len += put(data + len, 0x78, 0);
	len += put(data + len, DERP_HEALTH, 0);
	len += put(data + len, DERP_RECV_PACKET, 70000);
	len += put(data + len, DERP_KEEP_ALIVE, 0);
	assert_int_equal(derp_reader_feed(&r, data, len, on_frame, &whole, why), 0);
	assert_int_equal(whole.count, 6);
	assert_int_equal(r.passed_over, 3);
	assert_null(r.held); /* nothing was copied */
	for (size_t piece = 1; piece < 300; piece++) {
		struct seen s = {0};

		for (size_t at = 0; at < len;) {
			size_t n = piece < 200 ? piece : 1 + randombytes_uniform(9000);

			if (n > len - at)
				n = len - at;
			assert_int_equal(derp_reader_feed(&r, data + at, n, on_frame, &s, why), 0);
			at += n;
		}
		assert_int_equal(s.count, whole.count);
		assert_true(s.sum == whole.sum);
	}
	derp_reader_fini(&r);
}

static void bad_frames(void **state)
{
	uint8_t data[2 * DERP_HEADER_BYTES + 100];
	char why[DERP_READER_WHY_MAX];
	struct derp_reader r = {0};
	struct seen s = {0};

	/* What is too long ends it with the header: nothing is kept for it. */
	derp_header_put(data, DERP_RECV_PACKET, DERP_CLIENT_MAX + 1);
	assert_int_equal(derp_reader_feed(&r, data, DERP_HEADER_BYTES, on_frame, &s, why),
			 -EBADMSG);
	assert_string_equal(why, "a frame of type 0x05 with 1048577 bytes");
	derp_header_put(data, 0x99, UINT32_MAX);
	for (size_t i = 0; i < DERP_HEADER_BYTES; i++)
		assert_int_equal(derp_reader_feed(&r, data + i, 1, on_frame, &s, why),
				 i + 1 < DERP_HEADER_BYTES ? 0 : -EBADMSG);
	derp_reader_fini(&r);
	/* A length that is allowed costs what came of it. */
	derp_header_put(data, DERP_RECV_PACKET, DERP_CLIENT_MAX);
	assert_int_equal(derp_reader_feed(&r, data, 100, on_frame, &s, why), 0);
	assert_true(r.room <= 4096);
	derp_reader_fini(&r);
	/* It begins with ServerKey, where that is waited for. */
	r.wants_key = true;
	put(data, DERP_KEEP_ALIVE, 0);
	assert_int_equal(derp_reader_feed(&r, data, 5, on_frame, &s, why), -EBADMSG);
	assert_string_equal(why, "the relay began with type 0x06 of 0 bytes, not with ServerKey");
	put(data, DERP_SERVER_KEY, 39);
	assert_int_equal(derp_reader_feed(&r, data, 44, on_frame, &s, why), -EBADMSG);
	assert_int_equal(s.count, 0);
	put(data, DERP_SERVER_KEY, 60);
	assert_int_equal(derp_reader_feed(&r, data, 65, on_frame, &s, why), 0);
	assert_int_equal(s.count, 1);
	/* The receiver has seen enough. */
	s.end_at = 2;
	put(data, DERP_KEEP_ALIVE, 0);
	put(data + 5, DERP_KEEP_ALIVE, 0);
	assert_int_equal(derp_reader_feed(&r, data, 10, on_frame, &s, why), -ECANCELED);
	assert_int_equal(s.count, 2);
	derp_reader_fini(&r);
}

/* ---- boxes ---- */

static void new_keys(struct key *private_key, struct key *public_key)
{
	crypto_box_keypair(public_key->bytes, private_key->bytes);
}

/* Seals a ServerInfo of this text for the node. */
static size_t seal_info(const struct identity *relay, const struct derp_hello_keys *node,
			const char *text, uint8_t *body)
{
	randombytes_buf(body, DERP_NONCE_BYTES);
	assert_int_equal(crypto_box_easy(body + DERP_NONCE_BYTES, (const uint8_t *)text,
					 strlen(text), body, node->public_key.bytes,
					 relay->private_key.bytes),
			 0);
	return DERP_NONCE_BYTES + DERP_TAG_BYTES + strlen(text);
}

static void hellos(void **state)
{
	static const struct {
		const char *text, *why; /* NULL: it is fine */
		struct derp_server_info info;
	} row[] = {
		{"{\"version\":2}", NULL, {0}},
		{"{\"TokenBucketBytesPerSecond\":1000,\"TokenBucketBytesBurst\":70000}",
		 NULL,
		 {1000, 70000}},
		{"{\"TokenBucketBytesPerSecond\":-1}", "TokenBucketBytesPerSecond", {0}},
		{"{\"TokenBucketBytesBurst\":\"x\"}", "TokenBucketBytesBurst", {0}},
		{"[]", "an object", {0}},
		{"{", "ServerInfo: ", {0}},
		{"", "ServerInfo: ", {0}},
	};
	uint8_t frame[DERP_HELLO_MAX], answer[HELLO_SERVER_INFO_MAX], body[512];
	char why[DERP_HELLO_WHY_MAX];
	struct derp_server_info info;
	struct derp_hello_keys node;
	struct identity relay, other;
	struct hello got;
	size_t len;

	new_keys(&node.private_key, &node.public_key);
	new_keys(&relay.private_key, &relay.public_key);
	new_keys(&other.private_key, &other.public_key);
	len = derp_hello_put(&node, &relay.public_key, &source, frame);
	assert_int_equal(derp_header_get(frame).len, len - DERP_HEADER_BYTES);
	assert_int_equal(
		hello_open(&relay, NULL, frame + DERP_HEADER_BYTES, len - DERP_HEADER_BYTES, &got),
		0);
	assert_memory_equal(got.key, node.public_key.bytes, DERP_KEY_BYTES);
	assert_int_equal(
		hello_open(&other, NULL, frame + DERP_HEADER_BYTES, len - DERP_HEADER_BYTES, &got),
		-EBADMSG);
	/* No secret with a key that has none. */
	assert_int_equal(derp_hello_put(&node, &(struct key){{0}}, &source, frame), 0);
	len = hello_answer(&relay, node.public_key.bytes, answer) - DERP_HEADER_BYTES;
	assert_int_equal(derp_hello_get(&node, &relay.public_key, answer + DERP_HEADER_BYTES, len,
					&info, why),
			 0);
	assert_int_equal(derp_hello_get(&node, &other.public_key, answer + DERP_HEADER_BYTES, len,
					&info, why),
			 -EBADMSG);
	assert_non_null(strstr(why, "did not prove"));
	assert_int_equal(derp_hello_get(&node, &relay.public_key, answer, 39, &info, why),
			 -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		len = seal_info(&relay, &node, row[i].text, body);
		assert_int_equal(derp_hello_get(&node, &relay.public_key, body, len, &info, why),
				 row[i].why ? -EBADMSG : 0);
		if (row[i].why)
			assert_non_null(strstr(why, row[i].why));
		else
			assert_memory_equal(&info, &row[i].info, sizeof(info));
	}
}

/* ---- what waits ---- */

static void waiting(void **state)
{
	struct derp_counters c = {0};
	struct key to = {.bytes = {7}};
	uint64_t now = NS_PER_SEC;
	static uint8_t data[DERP_PACKET_MAX + 1];
	struct derp_sendq q;
	const uint8_t *at;
	size_t len, got = 0;

	derp_sendq_init(&q, &c);
	assert_null(derp_sendq_first(&q, now, NS_PER_SEC, &len));
	assert_int_equal(derp_sendq_add(&q, &to, data, sizeof(data), now), -EMSGSIZE);
	for (unsigned i = 0; i < 1000; i++) {
		memcpy(data, &i, sizeof(i));
		assert_int_equal(derp_sendq_add(&q, &to, data, 1000, now), 0);
	}
	assert_true(derp_sendq_bytes(&q) <= DERP_SENDQ_BYTES);
	/* The newest are there, in order. */
	for (unsigned want = (unsigned)c.drop_queue;
	     (at = derp_sendq_first(&q, now, NS_PER_SEC, &len)); derp_sendq_sent(&q)) {
		for (size_t n = 0; n < len; n += 1037, got++, want++) {
			assert_int_equal(derp_header_get(at + n).type, DERP_SEND_PACKET);
			assert_int_equal(derp_header_get(at + n).len, 1032);
			assert_memory_equal(at + n + 5, to.bytes, 32);
			assert_memory_equal(at + n + 37, &want, sizeof(want));
		}
	}
	assert_int_equal(got + c.drop_queue, 1000);
	assert_int_equal(c.tx_packets, got);
	assert_int_equal(c.tx_bytes, got * 1000);
	/* What is too old goes, what is not stays. */
	derp_sendq_add(&q, &to, data, 10, now);
	derp_sendq_add(&q, &to, data, 20, now + 400 * NS_PER_MS);
	assert_non_null(derp_sendq_first(&q, now + 600 * NS_PER_MS, 500 * NS_PER_MS, &len));
	assert_int_equal(len, 57);
	assert_int_equal(c.drop_age, 1);
	derp_sendq_clear(&q);
	assert_int_equal(c.drop_closed, 1);
	assert_int_equal(derp_sendq_bytes(&q), 0);
	assert_null(q.pool.free);
}

/* A relay that grants 10,000 bytes a second and 1,000 at once gets that, headers included. */
static void granted(void **state)
{
	struct derp_server_info limit = {.bytes_per_s = 10000, .burst_bytes = 1000};
	struct derp_counters c = {0};
	struct key to = {{0}};
	uint64_t now = NS_PER_SEC;
	struct derp_sendq q;
	uint8_t data[63] = {0};
	size_t len;

	derp_sendq_init(&q, &c);
	derp_sendq_limit(&q, &limit, now);
	for (unsigned i = 0; i < 20; i++)
		derp_sendq_add(&q, &to, data, sizeof(data), now);
	assert_int_equal(c.drop_rate, 10);
	/* One a 10 ms, of those that come each millisecond. */
	for (unsigned i = 0; i < 1000; i++)
		derp_sendq_add(&q, &to, data, sizeof(data), now += NS_PER_MS);
	assert_in_range(c.drop_rate, 910, 911);
	/* A long silence saves no more than the burst. */
	c.drop_rate = 0;
	now += 3600 * NS_PER_SEC;
	for (unsigned i = 0; i < 20; i++)
		derp_sendq_add(&q, &to, data, sizeof(data), now);
	assert_int_equal(c.drop_rate, 10);
	derp_sendq_limit(&q, NULL, now);
	for (unsigned i = 0; i < 20; i++)
		derp_sendq_add(&q, &to, data, sizeof(data), now);
	assert_int_equal(c.drop_rate, 10);
	limit.bytes_per_s = UINT64_MAX / 2;
	limit.burst_bytes = UINT64_MAX / 2;
	derp_sendq_limit(&q, &limit, now);
	derp_sendq_add(&q, &to, data, sizeof(data), now + NS_PER_SEC);
	assert_int_equal(c.drop_rate, 10);
	assert_non_null(derp_sendq_first(&q, now, NS_PER_SEC, &len));
	derp_sendq_clear(&q);
}

/* ---- routes and pauses ---- */

static void routes(void **state)
{
	struct key a = {.bytes = {1}}, b = {.bytes = {2}}, stranger;
	const struct derp_route *r;
	struct derp_routes t;

	derp_routes_init(&t, &source);
	assert_null(derp_routes_find(&t, &a));
	derp_routes_forget(&t, &a, 900);
	derp_routes_heard(&t, &a, 900, 1);
	derp_routes_heard(&t, &b, 901, 1);
	derp_routes_heard(&t, &a, 902, 5);
	r = derp_routes_find(&t, &a);
	assert_int_equal(r->region, 902);
	assert_int_equal(r->generation, 5);
	derp_routes_forget(&t, &a, 900);
	assert_non_null(derp_routes_find(&t, &a));
	derp_routes_forget(&t, &a, 902);
	assert_null(derp_routes_find(&t, &a));
	assert_int_equal(derp_routes_find(&t, &b)->region, 901);
	/* 100,000 strangers, and a peer that is heard now and then. */
	for (unsigned i = 0; i < 100000; i++) {
		randombytes_buf(&stranger, sizeof(stranger));
		derp_routes_heard(&t, &stranger, 900, 1);
		if (i % 100 == 0)
			derp_routes_heard(&t, &a, 903, 1);
	}
	assert_int_equal(derp_routes_find(&t, &a)->region, 903);
	assert_non_null(derp_routes_find(&t, &stranger));
	assert_null(derp_routes_find(&t, &b));
	derp_routes_fini(&t);
}

static void pauses(void **state)
{
	assert_int_equal(derp_region_pause_ms(1, 0), 5);
	assert_int_equal(derp_region_pause_ms(1, UINT32_MAX), 14);
	assert_int_equal(derp_region_pause_ms(10, UINT32_MAX / 2), 999);
	for (unsigned n = 18; n < 2000000000; n = n * 3 / 2) {
		assert_int_equal(derp_region_pause_ms(n, 0), 1500);
		assert_int_equal(derp_region_pause_ms(n, UINT32_MAX), 4499);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proxies),    cmocka_unit_test(targets),
		cmocka_unit_test(heads),      cmocka_unit_test(frames_in_pieces),
		cmocka_unit_test(bad_frames), cmocka_unit_test(hellos),
		cmocka_unit_test(waiting),    cmocka_unit_test(granted),
		cmocka_unit_test(routes),     cmocka_unit_test(pauses),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
