/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that lane secrets and keys are those of the vectors, that both ends derive the same, and
 * that no two keys of a session are alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <sodium.h>

#include "controlplane/noise/wg_handshake.h"
#include "lib/wire/lane.h"

static const char *vectors_path;
static json_t *vectors;

static void get_hex(const json_t *v, const char *name, uint8_t out[32])
{
	const char *hex = json_string_value(json_object_get(v, name));
	size_t len = 0;

	assert_non_null(hex);
	assert_int_equal(sodium_hex2bin(out, 32, hex, strlen(hex), NULL, &len, NULL), 0);
	assert_int_equal(len, 32);
}

static void check_lane(const json_t *v, const uint8_t secret[32])
{
	uint8_t lane = (uint8_t)json_integer_value(json_object_get(v, "lane"));
	struct wg_keypair_keys initiator, responder;
	uint8_t want[32];

	wg_lane_keys(secret, true, lane, &initiator);
	wg_lane_keys(secret, false, lane, &responder);
	get_hex(v, "key_initiator_to_responder", want);
	assert_memory_equal(initiator.send, want, 32);
	assert_memory_equal(responder.recv, want, 32);
	get_hex(v, "key_responder_to_initiator", want);
	assert_memory_equal(initiator.recv, want, 32);
	assert_memory_equal(responder.send, want, 32);
}

static void recorded_sessions(void **state)
{
	const json_t *v, *lane;
	size_t n, k;

	assert_true(json_array_size(json_object_get(vectors, "sessions")) >= 2);
	json_array_foreach(json_object_get(vectors, "sessions"), n, v)
	{
		struct wg_keypair_keys keys;
		struct wg_handshake hs = {0};
		uint8_t want[32];

		get_hex(v, "chain_key_final", hs.chain);
		get_hex(v, "lane_secret", want);
		wg_handshake_keys(&hs, true, &keys);
		assert_memory_equal(keys.lane_secret, want, 32);
		assert_int_equal(json_array_size(json_object_get(v, "lanes")), 3);
		json_array_foreach(json_object_get(v, "lanes"), k, lane)
			check_lane(lane, keys.lane_secret);
	}
}

static void all_keys_differ(void **state)
{
	uint8_t key[2 + 2 * LANE_MAX][32];
	struct wg_handshake hs = {.chain = {1, 2, 3}};
	struct wg_keypair_keys keys, lane;
	unsigned n = 0;

	wg_handshake_keys(&hs, true, &keys);
	memcpy(key[n++], keys.send, 32);
	memcpy(key[n++], keys.recv, 32);
	for (uint8_t i = 1; i <= LANE_MAX; i++) {
		wg_lane_keys(keys.lane_secret, true, i, &lane);
		assert_true(sodium_is_zero(lane.lane_secret, 32));
		memcpy(key[n++], lane.send, 32);
		memcpy(key[n++], lane.recv, 32);
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(key[i], key[k], 32);
	/* The secret may be where the keys go. */
	lane = keys;
	wg_lane_keys(lane.lane_secret, true, 1, &lane);
	assert_memory_equal(lane.send, key[2], 32);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_sessions),
		cmocka_unit_test(all_keys_differ),
	};

	vectors_path = argc > 1 ? argv[1] : "tests/vectors/wire/lanes.json";
	vectors = json_load_file(vectors_path, 0, NULL);
	if (!vectors || sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
