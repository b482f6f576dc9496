/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that STUN requests and responses are those of the recorded vectors, that a
 * server answers to mesh nodes only, and that no cut or changed message is read too far.
 * Usage: test_stun stun.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/wire/stun.h"
#include "tests/unit/vector_json.h"

static json_t *vectors;

static void request_is_as_recorded(void **state)
{
	uint8_t tx_id[STUN_TX_ID_BYTES], out[STUN_REQUEST_BYTES], got[STUN_TX_ID_BYTES];
	size_t len;
	uint8_t *want = vector_bytes(vectors, "request", &len);

	vector_fixed(vectors, "tx_id", tx_id, sizeof(tx_id));
	stun_request(out, tx_id);
	assert_int_equal(len, sizeof(out));
	assert_memory_equal(out, want, len);
	assert_int_equal(stun_request_parse(out, len, got), STUN_OK);
	assert_memory_equal(got, tx_id, sizeof(got));
	free(want);
}

static void responses_are_as_recorded(void **state)
{
	uint8_t tx_id[STUN_TX_ID_BYTES], got[STUN_TX_ID_BYTES], out[STUN_RESPONSE_BYTES_MAX];
	json_t *v;
	size_t i;

	vector_fixed(vectors, "tx_id", tx_id, sizeof(tx_id));
	assert_true(json_array_size(json_object_get(vectors, "responses")) >= 4);
	json_array_foreach(json_object_get(vectors, "responses"), i, v)
	{
		struct endpoint mapped = vector_endpoint(vector_text(v, "mapped")), again;
		size_t len;
		uint8_t *want = vector_bytes(v, "response", &len);

		assert_int_equal(stun_response(out, tx_id, &mapped), len);
		assert_memory_equal(out, want, len);
		assert_int_equal(stun_response_parse(want, len, got, &again), STUN_OK);
		assert_true(endpoint_equal(&mapped, &again));
		assert_memory_equal(got, tx_id, sizeof(got));
		free(want);
	}
}

/* What the reference says, by its error's text. */
static int expected(const char *error)
{
	static const struct {
		const char *part;
		int rc;
	} texts[] = {
		{"bogus fingerprint", STUN_WRONG_FINGERPRINT},
		{"non-Tailscale software", STUN_OTHER_SOFTWARE},
		{"didn't end in fingerprint", STUN_NO_FINGERPRINT},
		{"is not a STUN packet", STUN_NOT_STUN},
		{"malformed attributes", STUN_BAD_ATTRIBUTES},
		{"is not a response", STUN_NOT_RESPONSE},
	};

	if (!error)
		return STUN_OK;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strstr(error, texts[i].part))
			return texts[i].rc;
	return 1;
}

static void requests_are_judged_as_recorded(void **state)
{
	uint8_t tx_id[STUN_TX_ID_BYTES];
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(vectors, "parse_request")) >= 7);
	json_array_foreach(json_object_get(vectors, "parse_request"), i, v)
	{
		size_t len;
		uint8_t *packet = vector_bytes(v, "packet", &len);

		assert_int_equal(stun_request_parse(packet, len, tx_id),
				 expected(vector_text(v, "error")));
		free(packet);
	}
}

static void responses_are_parsed_as_recorded(void **state)
{
	uint8_t tx_id[STUN_TX_ID_BYTES];
	json_t *v;
	size_t i;

	assert_true(json_array_size(json_object_get(vectors, "parse_response")) >= 9);
	json_array_foreach(json_object_get(vectors, "parse_response"), i, v)
	{
		size_t len;
		uint8_t *packet = vector_bytes(v, "packet", &len);
		struct endpoint mapped, want;
		int rc = stun_response_parse(packet, len, tx_id, &mapped);

		assert_int_equal(rc, expected(vector_text(v, "error")));
		if (rc == STUN_OK) {
			want = vector_endpoint(vector_text(v, "mapped"));
			assert_true(endpoint_equal(&mapped, &want));
		}
		free(packet);
	}
}

static void mapped_ipv4_comes_out_as_ipv4(void **state)
{
	static const uint8_t tx_id[STUN_TX_ID_BYTES] = {1, 2, 3};
	struct endpoint e = vector_endpoint("[::ffff:198.51.100.7]:5"), again;
	uint8_t out[STUN_RESPONSE_BYTES_MAX], got[STUN_TX_ID_BYTES];
	size_t len = stun_response(out, tx_id, &e);

	assert_int_equal(stun_response_parse(out, len, got, &again), STUN_OK);
	assert_int_equal(again.addr.family, AF_INET);
	assert_int_equal(again.addr.bytes[0], 198);
}

/* Nothing that was cut or changed is taken for a request, and nothing is read behind it. */
static void every_changed_request_is_refused(void **state)
{
	static const uint8_t tx_id[STUN_TX_ID_BYTES] = {9};
	uint8_t whole[STUN_REQUEST_BYTES], got[STUN_TX_ID_BYTES];

	stun_request(whole, tx_id);
	for (size_t len = 0; len < sizeof(whole); len++) {
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, whole, len);
		assert_true(stun_request_parse(cut, len, got) < 0);
		free(cut);
	}
	for (unsigned bit = 0; bit < 8 * sizeof(whole); bit++) {
		whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_true(stun_request_parse(whole, sizeof(whole), got) < 0);
		whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_is_as_recorded),
		cmocka_unit_test(responses_are_as_recorded),
		cmocka_unit_test(requests_are_judged_as_recorded),
		cmocka_unit_test(responses_are_parsed_as_recorded),
		cmocka_unit_test(mapped_ipv4_comes_out_as_ipv4),
		cmocka_unit_test(every_changed_request_is_refused),
	};
	int rc;

	BUG_ON(argc != 2);
	vectors = vector_load(argv[1]);
	rc = cmocka_run_group_tests_name("stun", tests, NULL, NULL);
	json_decref(vectors);
	return rc;
}
