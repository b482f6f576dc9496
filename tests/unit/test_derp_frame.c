/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that DERP frames have the recorded bytes, and that a server takes, skips or
 * refuses them as the reference does.
 * Usage: test_derp_frame derp.json derp_behaviour.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "lib/wire/derp_frame.h"
#include "tests/unit/vector_json.h"

static json_t *frames, *behaviour;

static const json_t *frame_named(const char *name)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(frames, "frames"), i,
			   v) if (!strcmp(vector_text(v, "name"), name)) return v;
	fail_msg("no frame %s", name);
	return NULL;
}

static void headers_are_as_recorded(void **state)
{
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(frames, "frames")) >= 22);
	json_array_foreach(json_object_get(frames, "frames"), i, v)
	{
		size_t len, body_len;
		uint8_t *bytes = vector_bytes(v, "bytes", &len), out[DERP_HEADER_BYTES];
		struct derp_header h = derp_header_get(bytes);
		const char *name = vector_text(v, "name");

		free(vector_bytes(v, "body", &body_len));
		assert_int_equal(h.type, json_integer_value(json_object_get(v, "type")));
		assert_int_equal(h.len, body_len);
		assert_int_equal(len, DERP_HEADER_BYTES + body_len);
		assert_memory_equal(name, derp_type_name(h.type), strlen(derp_type_name(h.type)));
		derp_header_put(out, h.type, h.len);
		assert_memory_equal(out, bytes, sizeof(out));
		free(bytes);
	}
}

static void bodies_are_as_recorded(void **state)
{
	uint8_t server[DERP_KEY_BYTES], b[DERP_KEY_BYTES], key[DERP_KEY_BYTES], reason, out[256];
	const json_t *keys = json_object_get(frames, "keys");
	uint32_t reconnect_ms, try_for_ms;
	size_t len;
	uint8_t *body;

	vector_fixed(keys, "server_public", server, sizeof(server));
	vector_fixed(keys, "client_b_public", b, sizeof(b));

	body = vector_bytes(frame_named("ServerKey"), "body", &len);
	assert_int_equal(derp_server_key_get(body, len, key), 0);
	assert_memory_equal(key, server, sizeof(key));
	derp_server_key_put(out, server);
	assert_memory_equal(out, body, len);
	assert_int_equal(derp_server_key_get(body, len - 1, key), -EBADMSG);
	body[0] ^= 1;
	assert_int_equal(derp_server_key_get(body, len, key), -EBADMSG);
	free(body);

	body = vector_bytes(frame_named("PeerGone not here"), "body", &len);
	assert_int_equal(derp_gone_get(body, len, key, &reason), 0);
	assert_memory_equal(key, b, sizeof(key));
	assert_int_equal(reason, DERP_GONE_NOT_HERE);
	assert_int_equal(derp_gone_get(body, len - 1, key, &reason), 0);
	assert_int_equal(reason, DERP_GONE_DISCONNECTED);
	assert_int_equal(derp_gone_get(body, len - 2, key, &reason), -EBADMSG);
	free(body);

	body = vector_bytes(frame_named("Restarting: reconnect in 1500 ms, try for 5000 ms"),
			    "body", &len);
	assert_int_equal(derp_restarting_get(body, len, &reconnect_ms, &try_for_ms), 0);
	assert_int_equal(reconnect_ms, 1500);
	assert_int_equal(try_for_ms, 5000);
	assert_int_equal(derp_restarting_get(body, len - 1, &reconnect_ms, &try_for_ms), -EBADMSG);
	free(body);
}

static void presence_is_as_recorded(void **state)
{
	static const char *const names[] = {"PeerPresent IPv4 regular",
					    "PeerPresent with app name 'derpprobe'"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		uint8_t out[DERP_PRESENT_BYTES_MAX];
		struct derp_present p;
		size_t len;
		uint8_t *body = vector_bytes(frame_named(names[i]), "body", &len);

		assert_int_equal(derp_present_get(body, len, &p), 0);
		assert_int_equal(p.where.addr.family, i ? AF_INET6 : AF_INET);
		assert_string_equal(p.app_name, i ? "derpprobe" : "");
		assert_int_not_equal(p.flags, 0);
		/* The later version always says how long the name is; an empty one is left out. */
		assert_int_equal(derp_present_put(out, &p), i ? len : len - 1);
		assert_memory_equal(out, body, i ? len : len - 1);
		/* Every part but the key may be missing, and none is read half. */
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = malloc(cut ? cut : 1);

			memcpy(part, body, cut);
			assert_int_equal(derp_present_get(part, cut, &p),
					 cut < DERP_KEY_BYTES ? -EBADMSG : 0);
			assert_int_equal(p.where.addr.family != 0, cut >= DERP_KEY_BYTES + 18);
			assert_string_equal(p.app_name, "");
			free(part);
		}
		free(body);
	}
}

/* The first frame of each recorded case, at the server. */
static void server_judges_as_recorded(void **state)
{
	unsigned closed = 0;
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(behaviour, "after_handshake")) >= 30);
	json_array_foreach(json_object_get(behaviour, "after_handshake"), i, v)
	{
		bool is_closed = json_is_true(json_object_get(v, "closed"));
		bool is_mesh = json_is_true(json_object_get(v, "mesh_peer"));
		char hex[2 * DERP_HEADER_BYTES + 1] = {0};
		uint8_t bytes[DERP_HEADER_BYTES];
		struct derp_header h;

		memcpy(hex, vector_text(v, "frames"), sizeof(hex) - 1);
		BUG_ON(sodium_hex2bin(bytes, sizeof(bytes), hex, sizeof(hex) - 1, NULL, NULL,
				      NULL));
		h = derp_header_get(bytes);
		if (is_closed != (derp_server_verdict(&h, is_mesh) == DERP_CLOSE))
			fail_msg("%s", vector_text(v, "name"));
		closed += is_closed;
	}
	assert_true(closed >= 12);
}

static void client_judges_lengths(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t len;
		enum derp_verdict want;
	} cases[] = {
		{DERP_RECV_PACKET, 31, DERP_IGNORE},
		{DERP_RECV_PACKET, 32, DERP_TAKE},
		{DERP_PONG, 7, DERP_IGNORE},
		{DERP_PONG, 8, DERP_TAKE},
		{DERP_RESTARTING, 7, DERP_IGNORE},
		{DERP_RESTARTING, 9, DERP_TAKE},
		{DERP_HEALTH, 0, DERP_TAKE},
		{DERP_SERVER_KEY, 40, DERP_IGNORE}, /* once more, after a fast start */
		{DERP_SERVER_INFO, 23, DERP_CLOSE},
		{DERP_SERVER_INFO, 24, DERP_TAKE},
		{0x77, DERP_CLIENT_MAX, DERP_IGNORE},
		{0x77, DERP_CLIENT_MAX + 1, DERP_CLOSE},
		{DERP_RECV_PACKET, DERP_CLIENT_MAX + 1, DERP_CLOSE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct derp_header h = {.type = cases[i].type, .len = cases[i].len};

		assert_int_equal(derp_client_verdict(&h), cases[i].want);
	}
}

static void app_names_are_checked(void **state)
{
	char name[40];

	memset(name, 'x', sizeof(name));
	assert_false(derp_app_name_ok(name, 0));
	assert_true(derp_app_name_ok(name, 32));
	assert_false(derp_app_name_ok(name, 33));
	assert_false(derp_app_name_ok("a\x1f", 2));
	assert_false(derp_app_name_ok("a\x7f", 2));
	assert_false(derp_app_name_ok("\xc3\xa4", 2));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_as_recorded),
		cmocka_unit_test(bodies_are_as_recorded),
		cmocka_unit_test(presence_is_as_recorded),
		cmocka_unit_test(server_judges_as_recorded),
		cmocka_unit_test(client_judges_lengths),
		cmocka_unit_test(app_names_are_checked),
	};
	int rc;

	BUG_ON(argc != 3);
	frames = vector_load(argv[1]);
	behaviour = vector_load(argv[2]);
	rc = cmocka_run_group_tests_name("derp_frame", tests, NULL, NULL);
	json_decref(frames);
	json_decref(behaviour);
	return rc;
}
