/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a node logs in, follows a URL, rotates its key, backs off, keeps its
 * stream and logs out as stock nodes do, and that its requests are those that were
 * recorded from one.
 * Usage: test_control exchanges.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/control/control.h"
#include "controlplane/tailcfg/key_text.h"
#include "tests/unit/vector_json.h"

#define SEC 1000000000ull
#define OK  "{\"User\":{\"ID\":1},\"Login\":{\"LoginName\":\"a@b\"}}"

static json_t *exchanges;
static uint8_t next_random;

static void fill(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = next_random++;
}

static const struct wg_random source = {.fill = fill};

struct rig {
	struct control c;
	struct control_action last; /* what was found by need() */
	uint64_t now;
};

static void begin(struct rig *r, bool has_key)
{
	struct control_keys keys = {.lock_public = {9}};
	struct key disco = {.bytes = {3}};
	json_t *hostinfo = json_pack("{s:s}", "Hostname", "n1");

	if (has_key) {
		memset(keys.node_private.bytes, 8, KEY_BYTES);
		memset(keys.node_public.bytes, 9, KEY_BYTES);
	}
	memset(r, 0, sizeof(*r));
	r->now = 100 * SEC;
	control_init(&r->c, &keys, &disco, &source);
	control_set_hostinfo(&r->c, hostinfo, r->now);
	json_decref(hostinfo);
}

static void end(struct rig *r)
{
	assert_false(r->c.is_out_of_memory);
	free(r->last.body);
	control_fini(&r->c);
}

/* The next action is this one. The body is that of the last one that had any. */
static void need(struct rig *r, enum control_action_type type)
{
	struct control_action a;

	assert_true(control_next(&r->c, &a));
	assert_int_equal(a.type, type);
	if (a.body)
		free(r->last.body);
	else
		a.body = r->last.body;
	r->last = a;
}

static void need_none(struct rig *r)
{
	struct control_action a;

	if (control_next(&r->c, &a))
		fail_msg("action %d", a.type);
}

/* A member of the last body, as text. */
static const char *sent(struct rig *r, const char *name, char out[512])
{
	json_t *root = json_loads(r->last.body, 0, NULL), *value = json_object_get(root, name);

	if (json_is_string(value))
		snprintf(out, 512, "%s", json_string_value(value));
	else
		snprintf(out, 512, "%s", value ? "(other)" : "(none)");
	json_decref(root);
	return out;
}

static void answer(struct rig *r, const char *body)
{
	control_on_registered(&r->c, 200, body, strlen(body), 0, r->now);
}

static void need_maps(struct rig *r)
{
	need(r, CONTROL_SEND_UPDATE);
	need(r, CONTROL_OPEN_STREAM);
	need_none(r);
}

/* Registered, both map requests out, the update answered. */
static void run(struct rig *r)
{
	begin(r, true);
	control_start(&r->c, r->now);
	need(r, CONTROL_SEND_REGISTER);
	answer(r, OK);
	need(r, CONTROL_SAVE);
	need(r, CONTROL_TELL_LOGGED_IN);
	need_maps(r);
	control_on_updated(&r->c, 200, r->now);
	need_none(r);
}

static const json_t *recorded(const char *name)
{
	return json_object_get(vector_named(exchanges, name), "json");
}

static struct key key_in(const json_t *object, const char *name, const char *prefix)
{
	struct key k;

	assert_int_equal(key_text_parse(vector_text(object, name), prefix, &k), 0);
	return k;
}

static void same_as(char *body, const json_t *want)
{
	json_t *got = json_loads(body, 0, NULL);
	char *a = json_dumps(got, JSON_SORT_KEYS), *b = json_dumps(want, JSON_SORT_KEYS);

	assert_string_equal(a, b);
	free(a);
	free(b);
	free(body);
	json_decref(got);
}

static void bodies_are_those_of_stock(void **state)
{
	static const char *const registers[] = {
		"register with auth key", "register with force-reauth, no auth key",
		"interactive: follow-up, held until the user is done", "logout"};
	static const char *const maps[] = {"stream", "lite update before the first poll",
					   "lite update with endpoints and NetInfo"};

	for (size_t i = 0; i < 4; i++) {
		const json_t *want = recorded(registers[i]);
		struct key node = key_in(want, "NodeKey", KEY_TEXT_NODE);
		struct key old = key_in(want, "OldNodeKey", KEY_TEXT_NODE);
		struct key lock = key_in(want, "NLKey", "nlpub:");
		const char *followup = vector_text(want, "Followup");
		struct control_register r = {
			.node_key = &node,
			.old_node_key = &old,
			.lock_key = lock.bytes,
			.auth_key = vector_text(json_object_get(want, "Auth"), "AuthKey"),
			.followup = followup[0] ? followup : NULL,
			.hostinfo = json_object_get(want, "Hostinfo"),
			.is_logout = i == 3,
		};

		same_as(control_register_body(&r), want);
	}
	for (size_t i = 0; i < 3; i++) {
		json_t *want = json_deep_copy(recorded(maps[i]));
		struct key node = key_in(want, "NodeKey", KEY_TEXT_NODE);
		struct key disco = key_in(want, "DiscoKey", KEY_TEXT_DISCO);
		struct control_endpoint e = {.type = CONTROL_ENDPOINT_LOCAL};
		struct control_map m = {
			.node_key = &node,
			.disco_key = &disco,
			.hostinfo = json_object_get(want, "Hostinfo"),
			.endpoints = &e,
			.endpoint_count = i == 2,
			.is_stream = i == 0,
		};

		endpoint_parse("10.77.0.1:43051", &e.endpoint);
		json_object_del(want, "DebugFlags"); /* of that node's user-space stack */
		same_as(control_map_body(&m), want);
		json_decref(want);
	}
}

static void auth_key(void **state)
{
	struct rig r;
	char text[512], again[512];

	begin(&r, false);
	control_start(&r.c, r.now);
	need_none(&r);
	assert_true(control_deadline(&r.c) == CONTROL_NEVER);
	control_log_in(&r.c, "tskey-auth-x", false, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "Auth", text), "(other)");
	sent(&r, "NodeKey", text);
	control_on_register_lost(&r.c, "refused", r.now);
	need(&r, CONTROL_TELL_ERROR);
	assert_string_equal(r.last.text, "register request: refused");
	need_none(&r);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "NodeKey", again), text);
	answer(&r, OK);
	need(&r, CONTROL_SAVE);
	need(&r, CONTROL_TELL_LOGGED_IN);
	need_maps(&r);
	assert_false(key_is_zero(&r.c.keys.node_private));
	end(&r);
}

static void at_a_url(void **state)
{
	struct rig r;
	char text[512];

	begin(&r, false);
	control_log_in(&r.c, NULL, false, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "Followup", text), "");
	answer(&r, "{\"AuthURL\":\"https://c/1\"}");
	need(&r, CONTROL_TELL_URL);
	assert_string_equal(r.last.text, "https://c/1");
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "Followup", text), "https://c/1");
	assert_int_equal(r.c.login, CONTROL_LOGIN_FOLLOWING);
	need_none(&r);
	/* The connection goes: asked again at the same URL. */
	control_on_register_lost(&r.c, "closed", r.now);
	need(&r, CONTROL_TELL_ERROR);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "Followup", text), "https://c/1");
	/* The page is too old: another one. */
	answer(&r, "{\"AuthURL\":\"https://c/2\"}");
	need(&r, CONTROL_TELL_URL);
	need(&r, CONTROL_SEND_REGISTER);
	/* The same once more is a failure. */
	answer(&r, "{\"AuthURL\":\"https://c/2\"}");
	need(&r, CONTROL_TELL_ERROR);
	need_none(&r);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	answer(&r, OK);
	need(&r, CONTROL_SAVE);
	end(&r);
}

static void an_expired_key_is_rotated(void **state)
{
	struct rig r;
	char old[512], text[512];

	begin(&r, true);
	control_start(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	sent(&r, "NodeKey", old);
	answer(&r, "{\"NodeKeyExpired\":true}");
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "OldNodeKey", text), old);
	assert_string_not_equal(sent(&r, "NodeKey", text), old);
	/* For a fresh key that makes no sense: no storm of keys. */
	answer(&r, "{\"NodeKeyExpired\":true}");
	need(&r, CONTROL_TELL_ERROR);
	need_none(&r);
	assert_true(control_deadline(&r.c) > r.now);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	answer(&r, OK);
	need(&r, CONTROL_SAVE);
	assert_string_equal(key_text_print(&r.c.keys.node_public, KEY_TEXT_NODE, old),
			    sent(&r, "NodeKey", text));
	end(&r);
}

static void another_key_while_traffic_flows(void **state)
{
	struct rig r;
	struct key before;

	run(&r);
	before = r.c.keys.node_public;
	control_log_in(&r.c, NULL, true, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	answer(&r, "{\"AuthURL\":\"https://c/1\"}");
	need(&r, CONTROL_TELL_URL);
	need(&r, CONTROL_SEND_REGISTER);
	assert_true(r.c.is_stream_open);
	assert_true(key_equal(&r.c.keys.node_public, &before));
	answer(&r, OK);
	need(&r, CONTROL_SAVE);
	need(&r, CONTROL_CANCEL);
	need(&r, CONTROL_TELL_LOGGED_IN);
	need_maps(&r);
	assert_false(key_equal(&r.c.keys.node_public, &before));
	end(&r);
}

static void refusals_and_backoff(void **state)
{
	struct rig r;
	uint64_t waits[12];

	begin(&r, true);
	control_start(&r.c, r.now);
	for (int i = 0; i < 12; i++) {
		need(&r, CONTROL_SEND_REGISTER);
		control_on_registered(&r.c, 500, "oops\n", 5, 0, r.now);
		need(&r, CONTROL_TELL_ERROR);
		need_none(&r);
		waits[i] = control_deadline(&r.c) - r.now;
		r.now = control_deadline(&r.c);
		control_on_time(&r.c, r.now);
	}
	assert_string_equal(r.last.text, "register request: http 500: oops\n");
	/* n^2 * 10 ms, 0.5 to 1.5 times. */
	assert_in_range(waits[0], SEC / 200, SEC * 15 / 1000);
	assert_in_range(waits[9], SEC / 2, SEC * 3 / 2);
	need(&r, CONTROL_SEND_REGISTER);
	control_on_registered(&r.c, 429, "", 0, 7, r.now);
	need(&r, CONTROL_TELL_ERROR);
	assert_true(control_deadline(&r.c) == r.now + 7 * SEC);
	r.now += 7 * SEC;
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	control_on_registered(&r.c, 429, "", 0, 99999, r.now);
	need(&r, CONTROL_TELL_ERROR);
	assert_in_range(control_deadline(&r.c), r.now + 5 * SEC, r.now + 10 * SEC);
	for (int i = 0; i < 1000; i++) {
		r.now = control_deadline(&r.c);
		control_on_time(&r.c, r.now);
		need(&r, CONTROL_SEND_REGISTER);
		answer(&r, i % 2 ? "hello" : "{\"Error\":\"invalid key\\nfor you\"}");
		need(&r, CONTROL_TELL_ERROR);
	}
	assert_in_range(control_deadline(&r.c), r.now + 15 * SEC, r.now + 45 * SEC);
	end(&r);
}

static void an_error_is_told_in_its_words(void **state)
{
	struct rig r;

	begin(&r, false);
	control_log_in(&r.c, "k", false, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	answer(&r, "{\"Error\":\"invalid key:\\nit has expired\"}");
	need(&r, CONTROL_TELL_ERROR);
	assert_string_equal(r.last.text, "invalid key: it has expired");
	/* The key is not offered again by itself. */
	assert_true(r.c.was_refused);
	assert_true(control_deadline(&r.c) == CONTROL_NEVER);
	/* That nobody answered is no refusal: it is tried again. */
	control_log_in(&r.c, "other", false, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	control_on_register_lost(&r.c, "refused", r.now);
	need(&r, CONTROL_TELL_ERROR);
	assert_false(r.c.was_refused);
	assert_in_range(control_deadline(&r.c), r.now, r.now + SEC);
	end(&r);
}

static void the_stream_is_kept(void **state)
{
	struct rig r;

	run(&r);
	assert_true(control_deadline(&r.c) == r.now + CONTROL_WATCHDOG_NS);
	r.now += 60 * SEC;
	control_on_stream_alive(&r.c, false, r.now);
	assert_true(control_deadline(&r.c) == r.now + CONTROL_WATCHDOG_NS);
	control_on_stream_ended(&r.c, r.now);
	need_none(&r);
	assert_in_range(control_deadline(&r.c), r.now + SEC / 200, r.now + SEC * 15 / 1000);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_OPEN_STREAM);
	/* Nothing for two minutes: the connection is given up. */
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_CANCEL);
	need_none(&r);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_OPEN_STREAM);
	/* Failures add up until a whole map comes. */
	for (int i = 0; i < 9; i++) {
		control_on_stream_ended(&r.c, r.now);
		r.now = control_deadline(&r.c);
		control_on_time(&r.c, r.now);
		need(&r, CONTROL_OPEN_STREAM);
		control_on_stream_alive(&r.c, false, r.now);
	}
	control_on_stream_ended(&r.c, r.now);
	assert_true(control_deadline(&r.c) - r.now > SEC / 2);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_OPEN_STREAM);
	control_on_stream_alive(&r.c, true, r.now);
	control_on_stream_ended(&r.c, r.now);
	assert_true(control_deadline(&r.c) - r.now < SEC / 50);
	end(&r);
}

static void changes_are_joined(void **state)
{
	struct control_endpoint e[2] = {{.type = CONTROL_ENDPOINT_LOCAL},
					{.type = CONTROL_ENDPOINT_STUN}};
	struct rig r;

	endpoint_parse("10.0.0.1:1", &e[0].endpoint);
	endpoint_parse("192.0.2.1:2", &e[1].endpoint);
	run(&r);
	control_set_endpoints(&r.c, e, 1, r.now);
	need(&r, CONTROL_SEND_UPDATE);
	control_set_endpoints(&r.c, e, 2, r.now);
	control_set_endpoints(&r.c, e, 2, r.now);
	need_none(&r);
	control_on_updated(&r.c, 200, r.now);
	need(&r, CONTROL_SEND_UPDATE);
	assert_non_null(strstr(r.last.body, "192.0.2.1:2"));
	control_on_updated(&r.c, 200, r.now);
	need_none(&r);
	control_set_endpoints(&r.c, e, 2, r.now);
	need_none(&r);
	/* One that failed is told again, after the back-off. */
	control_set_endpoints(&r.c, e, 1, r.now);
	need(&r, CONTROL_SEND_UPDATE);
	control_on_updated(&r.c, 0, r.now);
	need_none(&r);
	r.now = control_deadline(&r.c);
	control_on_time(&r.c, r.now);
	need(&r, CONTROL_SEND_UPDATE);
	assert_null(strstr(r.last.body, "192.0.2.1:2"));
	end(&r);
}

static void logging_out(void **state)
{
	struct rig r;
	char text[512];

	run(&r);
	control_log_out(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "Expiry", text), "1970-01-01T00:02:03Z");
	/* It fails: still logged in, and the user knows. */
	control_on_register_lost(&r.c, "closed", r.now);
	need(&r, CONTROL_TELL_ERROR);
	assert_true(r.c.is_logged_in);
	need_none(&r);
	control_log_out(&r.c, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	answer(&r, "{\"NodeKeyExpired\":true,\"AuthURL\":\"https://c/1\"}");
	need(&r, CONTROL_CANCEL);
	need(&r, CONTROL_SAVE);
	need(&r, CONTROL_TELL_LOGGED_OUT);
	need_none(&r);
	assert_true(key_is_zero(&r.c.keys.node_private));
	assert_true(control_deadline(&r.c) == CONTROL_NEVER);
	end(&r);
}

static void a_pause(void **state)
{
	struct control_endpoint e = {.type = CONTROL_ENDPOINT_LOCAL};
	struct rig r;

	run(&r);
	control_pause(&r.c);
	need(&r, CONTROL_CANCEL);
	endpoint_parse("10.0.0.1:1", &e.endpoint);
	control_set_endpoints(&r.c, &e, 1, r.now);
	need_none(&r);
	assert_true(control_deadline(&r.c) == CONTROL_NEVER);
	control_resume(&r.c, r.now);
	need_maps(&r);
	end(&r);
}

static void a_key_that_ran_out(void **state)
{
	struct rig r;
	char old[512], text[512];

	run(&r);
	key_text_print(&r.c.keys.node_public, KEY_TEXT_NODE, old);
	control_on_key_expired(&r.c);
	need(&r, CONTROL_TELL_ERROR);
	control_on_key_expired(&r.c);
	need_none(&r);
	control_log_in(&r.c, "k", false, r.now);
	need(&r, CONTROL_SEND_REGISTER);
	assert_string_equal(sent(&r, "OldNodeKey", text), old);
	end(&r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_are_those_of_stock),
		cmocka_unit_test(auth_key),
		cmocka_unit_test(at_a_url),
		cmocka_unit_test(an_expired_key_is_rotated),
		cmocka_unit_test(another_key_while_traffic_flows),
		cmocka_unit_test(refusals_and_backoff),
		cmocka_unit_test(an_error_is_told_in_its_words),
		cmocka_unit_test(the_stream_is_kept),
		cmocka_unit_test(changes_are_joined),
		cmocka_unit_test(logging_out),
		cmocka_unit_test(a_pause),
		cmocka_unit_test(a_key_that_ran_out),
	};

	if (argc != 2)
		return 2;
	exchanges = vector_load(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
