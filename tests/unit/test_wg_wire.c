/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows how WireGuard messages are told apart by type and length, the padding of
 * recorded vectors, and the Geneve header that may stand before a message.
 * Usage: test_wg_wire wireguard.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/geneve.h"
#include "lib/wire/wg.h"

static const char *vectors_path;

/* In a heap buffer of exactly len bytes, so that the sanitizer sees a read behind it. */
static int classify(uint32_t type_word, size_t len)
{
	uint8_t *p = calloc(1, len ? len : 1);
	wire_le32 type;
	int rc;

	assert_non_null(p);
	le32_put(&type, type_word);
	memcpy(p, &type, len < 4 ? len : 4);
	rc = wg_msg_classify(p, len);
	free(p);
	return rc;
}

static void each_type_has_its_length(void **state)
{
	static const size_t sizes[] = {0, 148, 92, 64};

	for (size_t len = 0; len < 4; len++)
		assert_int_equal(classify(WG_MSG_DATA, len), WG_PARSE_RUNT);
	for (uint32_t type = WG_MSG_INITIATION; type <= WG_MSG_COOKIE; type++)
		for (size_t len = 4; len < 300; len++)
			assert_int_equal(classify(type, len),
					 len == sizes[type] ? (int)type : WG_PARSE_BAD_LENGTH);
	for (size_t len = 4; len < 2000; len++)
		assert_int_equal(classify(WG_MSG_DATA, len),
				 len < 32 ? (int)WG_PARSE_RUNT : (int)WG_MSG_DATA);
}

static void type_is_the_whole_word(void **state)
{
	assert_int_equal(classify(0, 148), WG_PARSE_UNKNOWN_TYPE);
	for (uint32_t type = 5; type < 256; type++)
		assert_int_equal(classify(type, 148), WG_PARSE_UNKNOWN_TYPE);
	for (int bit = 8; bit < 32; bit++)
		assert_int_equal(classify(WG_MSG_DATA | 1u << bit, 64), WG_PARSE_UNKNOWN_TYPE);
}

static void padding_is_as_recorded(void **state)
{
	json_error_t err;
	json_t *root = json_load_file(vectors_path, 0, &err), *v;
	size_t i;

	assert_non_null(root);
	assert_true(json_array_size(json_object_get(root, "padding")) >= 13);
	json_array_foreach(json_object_get(root, "padding"), i, v)
	{
		uint32_t len = (uint32_t)json_integer_value(json_object_get(v, "length"));
		uint32_t mtu = (uint32_t)json_integer_value(json_object_get(v, "mtu"));

		assert_int_equal(wg_padding(len, mtu),
				 json_integer_value(json_object_get(v, "padding")));
	}
	json_decref(root);
}

static void padding_keeps_its_bounds(void **state)
{
	for (uint32_t mtu = 1; mtu < 400; mtu++)
		for (uint32_t len = 0; len < 1000; len++) {
			uint32_t pad = wg_padding(len, mtu);

			assert_true(pad < 16);
			if (len <= mtu)
				assert_true(len + pad <= mtu &&
					    ((len + pad) % 16 == 0 || len + pad == mtu));
		}
}

static void geneve_headers_are_told_from_other_bytes(void **state)
{
	static const struct {
		const char bytes[9];
		bool ok, is_control;
		uint16_t protocol;
		uint32_t vni;
	} cases[] = {
		{"\x00\x80\x7a\x11\x00\x00\x01\x00", true, true, GENEVE_DISCO, 1},
		{"\x00\x00\x7a\x11\xff\xff\xff\x00", true, false, GENEVE_DISCO, 0xffffff},
		{"\x00\x00\x7a\x12\xab\xcd\xef\x00", true, false, GENEVE_WIREGUARD, 0xabcdef},
		/* The option length is not looked at. */
		{"\x01\x00\x7a\x12\x00\x00\x01\x00", true, false, GENEVE_WIREGUARD, 1},
		{"\x00\x00\x65\x58\x00\x00\x01\x00", false}, /* another protocol */
		{"\x00\x00\x7a\x12\x00\x00\x01\x01", false}, /* reserved byte */
		{"\x40\x00\x7a\x12\x00\x00\x01\x00", false}, /* version 1 */
		{"\x00\x01\x7a\x12\x00\x00\x01\x00", false}, /* reserved bit */
		{"\x04\x00\x00\x00\x00\x00\x00\x00", false}, /* WireGuard data */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
		uint8_t again[GENEVE_HEADER_BYTES];
		struct geneve g;

		for (size_t len = 0; len < GENEVE_HEADER_BYTES; len++)
			assert_false(geneve_decode(bytes, len, &g));
		assert_int_equal(geneve_decode(bytes, GENEVE_HEADER_BYTES, &g), cases[i].ok);
		if (!cases[i].ok)
			continue;
		assert_int_equal(g.is_control, cases[i].is_control);
		assert_int_equal(g.protocol, cases[i].protocol);
		assert_int_equal(g.vni, cases[i].vni);
		geneve_encode(again, &g);
		if (bytes[0] == 0)
			assert_memory_equal(again, bytes, sizeof(again));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_has_its_length),
		cmocka_unit_test(type_is_the_whole_word),
		cmocka_unit_test(padding_is_as_recorded),
		cmocka_unit_test(padding_keeps_its_bounds),
		cmocka_unit_test(geneve_headers_are_told_from_other_bytes),
	};

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
