/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the recorded cookie exchange, how long cookies and secrets live, and what the limiter
 * lets through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>

#include "controlplane/noise/wg_cookie.h"
#include "controlplane/noise/wg_limiter.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

#define T0 (1000 * NS_PER_SEC)

static json_t *v; /* the third handshake */

static void get_hex(const char *name, void *out, size_t len)
{
	const char *hex = json_string_value(json_object_get(v, name));
	size_t n;

	assert_non_null(hex);
	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), NULL, &n, NULL), 0);
	assert_int_equal(n, len);
}

/* Hands out the recorded secret first, then the recorded nonce, then counted bytes. */
struct script {
	uint8_t secret[32];
	uint8_t nonce[24];
	int calls;
};

static void script_fill(void *ctx, void *buf, size_t len)
{
	struct script *s = ctx;

	s->calls++;
	if (len == 32 && s->calls == 1)
		memcpy(buf, s->secret, 32);
	else if (len == 24 && s->calls == 2)
		memcpy(buf, s->nonce, 24);
	else
		memset(buf, s->calls, len);
}

struct scene {
	struct wg_identity i, r;
	struct wg_remote remote;
	struct wg_cookie_jar jar;
	struct wg_cookie_checker checker;
	struct script script;
	struct wg_random random;
	struct endpoint source;
	struct wg_msg_initiation msg;
	struct wg_msg_cookie reply;
};

static void setup(struct scene *s)
{
	uint8_t key[32], source[6];

	memset(s, 0, sizeof(*s));
	get_hex("initiator_static_private", key, 32);
	assert_int_equal(wg_identity_init(&s->i, key), 0);
	get_hex("responder_static_private", key, 32);
	assert_int_equal(wg_identity_init(&s->r, key), 0);
	assert_int_equal(wg_remote_init(&s->remote, &s->i, s->r.public_key, NULL), 0);
	get_hex("cookie_secret", s->script.secret, 32);
	get_hex("cookie_source_bytes", source, 6);
	s->source.addr.family = AF_INET;
	memcpy(s->source.addr.bytes, source, 4);
	s->source.port = (uint16_t)(source[4] << 8 | source[5]);
	s->random = (struct wg_random){&s->script, script_fill};
	get_hex("initiation", &s->msg, sizeof(s->msg));
	get_hex("cookie_reply", &s->reply, sizeof(s->reply));
	memcpy(s->script.nonce, s->reply.nonce, 24);
	wg_cookie_macs(&s->jar, &s->remote, &s->msg, sizeof(s->msg), T0);
}

static void recorded_exchange(void **state)
{
	struct scene s;
	struct wg_msg_cookie reply;
	struct wg_msg_initiation want;
	uint8_t cookie[16];

	setup(&s);
	get_hex("initiation", &want, sizeof(want));
	assert_memory_equal(&s.msg, &want, sizeof(want)); /* mac1 right, mac2 zero */
	assert_false(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0));
	wg_cookie_reply(&s.checker, &s.r, &s.random, &s.msg, sizeof(s.msg), &s.source, T0, &reply);
	assert_memory_equal(&reply, &s.reply, sizeof(reply));

	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &reply, T0), 0);
	get_hex("cookie", cookie, 16);
	assert_memory_equal(s.jar.cookie, cookie, 16);
	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &reply, T0), -ENOENT);

	wg_cookie_macs(&s.jar, &s.remote, &s.msg, sizeof(s.msg), T0);
	get_hex("initiation_with_mac2", &want, sizeof(want));
	assert_memory_equal(&s.msg, &want, sizeof(want));
	assert_true(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0));
}

static void mac2_is_bound_to_address_and_port(void **state)
{
	struct scene s;
	struct endpoint other;

	setup(&s);
	wg_cookie_reply(&s.checker, &s.r, &s.random, &s.msg, sizeof(s.msg), &s.source, T0,
			&s.reply);
	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &s.reply, T0), 0);
	wg_cookie_macs(&s.jar, &s.remote, &s.msg, sizeof(s.msg), T0);
	other = s.source;
	other.port++;
	assert_false(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &other, T0));
	other = s.source;
	other.addr.bytes[3]++;
	assert_false(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &other, T0));
	other.addr.family = AF_INET6;
	assert_false(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &other, T0));
	for (size_t at = 0; at < sizeof(s.msg); at++) {
		((uint8_t *)&s.msg)[at] ^= 4;
		assert_false(
			wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0));
		((uint8_t *)&s.msg)[at] ^= 4;
	}
	assert_true(wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0));
}

static void lifetimes(void **state)
{
	const uint64_t life = WG_COOKIE_LIFETIME_S * NS_PER_SEC;
	struct scene s;
	uint8_t first_secret[32];

	setup(&s);
	wg_cookie_reply(&s.checker, &s.r, &s.random, &s.msg, sizeof(s.msg), &s.source, T0,
			&s.reply);
	memcpy(first_secret, s.checker.secret, 32);
	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &s.reply, T0), 0);
	wg_cookie_macs(&s.jar, &s.remote, &s.msg, sizeof(s.msg), T0 + life - 1);
	assert_true(
		wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0 + life - 1));
	assert_false(
		wg_cookie_mac2_verify(&s.checker, &s.msg, sizeof(s.msg), &s.source, T0 + life));
	wg_cookie_macs(&s.jar, &s.remote, &s.msg, sizeof(s.msg), T0 + life);
	assert_true(sodium_is_zero(s.msg.mac2, sizeof(s.msg.mac2)));

	wg_cookie_reply(&s.checker, &s.r, &s.random, &s.msg, sizeof(s.msg), &s.source,
			T0 + life - 1, &s.reply);
	assert_memory_equal(s.checker.secret, first_secret, 32);
	wg_cookie_reply(&s.checker, &s.r, &s.random, &s.msg, sizeof(s.msg), &s.source, T0 + life,
			&s.reply);
	assert_memory_not_equal(s.checker.secret, first_secret, 32);
}

static void replies_of_others_are_refused(void **state)
{
	struct scene s;
	struct wg_cookie_jar before;

	setup(&s);
	before = s.jar;
	for (size_t at = offsetof(struct wg_msg_cookie, nonce); at < sizeof(s.reply); at++) {
		((uint8_t *)&s.reply)[at] ^= 0x10;
		assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &s.reply, T0), -EBADMSG);
		((uint8_t *)&s.reply)[at] ^= 0x10;
		assert_memory_equal(&s.jar, &before, sizeof(before));
	}
	s.jar.last_mac1[0] ^= 1; /* an answer to another message */
	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &s.reply, T0), -EBADMSG);
	s.jar.last_mac1[0] ^= 1;
	s.remote.cookie_key[0] ^= 1; /* of another responder */
	assert_int_equal(wg_cookie_consume(&s.jar, &s.remote, &s.reply, T0), -EBADMSG);
}

static struct ip_addr source_of(uint8_t family, uint8_t a, uint8_t b, uint8_t last)
{
	struct ip_addr addr = {.family = family, .bytes = {10, a, b}};

	addr.bytes[family == AF_INET ? 3 : 15] = last;
	return addr;
}

static int allowed_of(struct wg_limiter *l, struct ip_addr a, int tries, uint64_t now_ns)
{
	int n = 0;

	for (int i = 0; i < tries; i++)
		n += wg_limiter_allow(l, &a, now_ns);
	return n;
}

static void limiter_rate_and_burst(void **state)
{
	static struct wg_limiter l;
	const uint8_t seed[16] = {3};
	struct ip_addr a = source_of(AF_INET, 0, 0, 1);
	int n = 0;

	wg_limiter_init(&l, seed);
	assert_int_equal(allowed_of(&l, a, 100, T0), 5);
	assert_int_equal(allowed_of(&l, source_of(AF_INET, 0, 0, 2), 100, T0), 5);
	/* one /64 is one source; another is another */
	assert_int_equal(allowed_of(&l, source_of(AF_INET6, 0, 0, 1), 3, T0), 3);
	assert_int_equal(allowed_of(&l, source_of(AF_INET6, 0, 0, 2), 9, T0), 2);
	assert_int_equal(allowed_of(&l, source_of(AF_INET6, 0, 1, 1), 9, T0), 5);
	for (uint64_t ms = 1; ms <= 10000; ms++)
		n += allowed_of(&l, a, 1, T0 + ms * NS_PER_MS);
	assert_int_equal(n, 200);
	assert_int_equal(allowed_of(&l, a, 100, T0 + 60 * NS_PER_SEC), 5);
}

static void limiter_memory_is_bounded(void **state)
{
	static struct wg_limiter l;
	const uint8_t seed[16] = {7};
	int sources = 0;

	wg_limiter_init(&l, seed);
	for (int i = 0; i < 65536; i++)
		sources +=
			allowed_of(&l, source_of(AF_INET, (uint8_t)(i >> 8), (uint8_t)i, 9), 1, T0);
	assert_true(sources <= WG_LIMITER_SETS * WG_LIMITER_WAYS);
	assert_true(sources > WG_LIMITER_SETS * WG_LIMITER_WAYS * 9 / 10);
	/* the flood over, the places are free again */
	assert_int_equal(allowed_of(&l, source_of(AF_INET, 99, 99, 99), 9, T0 + NS_PER_SEC), 5);
}

static void load_lasts_a_second_longer(void **state)
{
	static struct wg_limiter l;

	assert_false(wg_limiter_under_load(&l, 127, T0));
	assert_true(wg_limiter_under_load(&l, 128, T0));
	assert_true(wg_limiter_under_load(&l, 0, T0 + NS_PER_SEC - 1));
	assert_false(wg_limiter_under_load(&l, 0, T0 + NS_PER_SEC));
}

/* 5,000 a second are load even if none of them waits; below that a second has none. */
static void many_are_load_without_a_queue(void **state)
{
	static struct wg_limiter l;
	uint64_t step = NS_PER_SEC / 4900;
	uint64_t t = T0;

	for (int i = 0; i < 4900; i++, t += step)
		assert_false(wg_limiter_under_load(&l, 0, t));
	t += NS_PER_SEC;
	for (int i = 0; i < 500; i++)
		assert_false(wg_limiter_under_load(&l, 0, t));
	assert_true(wg_limiter_under_load(&l, 0, t));
	assert_true(wg_limiter_under_load(&l, 0, t + NS_PER_SEC - 1));
	assert_false(wg_limiter_under_load(&l, 0, t + NS_PER_SEC));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_exchange),
		cmocka_unit_test(mac2_is_bound_to_address_and_port),
		cmocka_unit_test(lifetimes),
		cmocka_unit_test(replies_of_others_are_refused),
		cmocka_unit_test(limiter_rate_and_burst),
		cmocka_unit_test(limiter_memory_is_bounded),
		cmocka_unit_test(load_lasts_a_second_longer),
		cmocka_unit_test(many_are_load_without_a_queue),
	};
	json_t *vectors = argc == 2 ? json_load_file(argv[1], 0, NULL) : NULL;
	int failed;

	v = json_array_get(json_object_get(vectors, "handshakes"), 2);
	if (!v || sodium_init() < 0) {
		fprintf(stderr, "usage: test_wg_cookie VECTORS.json\n");
		return 2;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(vectors);
	return failed;
}
