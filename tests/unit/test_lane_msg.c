/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the bytes of lane messages, that what is cut or out of range is refused, and that no IP
 * packet is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/wire/ip.h"
#include "lib/wire/lane.h"

static void test_announce_bytes(void **state)
{
	static const uint8_t want[] = {0xf0, 0x63, 0x77, 1,    1,    1,	   4,	 2,
				       0x44, 0x33, 0x22, 0x11, 0x88, 0x77, 0x66, 0x55};
	struct lane_msg m = {.type = LANE_MSG_ANNOUNCE,
			     .flags = LANE_ANNOUNCE_HAVE_YOURS,
			     .lanes = 4,
			     .count = 2,
			     .index = {0x11223344, 0x55667788}};
	uint8_t out[LANE_MSG_BYTES];
	struct lane_msg back;

	assert_int_equal(lane_msg_encode(out, &m), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	/* Padding behind is no matter. */
	assert_int_equal(lane_msg_decode(out, sizeof(out), &back), 0);
	assert_memory_equal(&back, &m, sizeof(m));
	for (size_t len = 0; len < sizeof(want); len++)
		assert_true(lane_msg_decode(out, len, &back) < 0);
}

static void test_ping_bytes(void **state)
{
	static const uint8_t want[] = {0xf0, 0x63, 0x77, 2, 1, 16, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
	struct lane_msg m = {.type = LANE_MSG_PING,
			     .flags = LANE_PING_HAS_DATA,
			     .lane = 16,
			     .token = 0x0102030405060708};
	uint8_t out[LANE_MSG_BYTES];
	struct lane_msg back;

	assert_int_equal(lane_msg_encode(out, &m), sizeof(want));
	assert_memory_equal(out, want, sizeof(want));
	assert_int_equal(lane_msg_decode(out, sizeof(want), &back), 0);
	assert_memory_equal(&back, &m, sizeof(m));
	assert_true(lane_msg_decode(out, sizeof(want) - 1, &back) < 0);
	for (unsigned lane = 0; lane < 256; lane++) {
		out[5] = (uint8_t)lane;
		assert_int_equal(lane_msg_decode(out, sizeof(want), &back) == 0,
				 lane >= 1 && lane <= LANE_MAX);
	}
}

static void test_out_of_range(void **state)
{
	struct lane_msg m = {.type = LANE_MSG_ANNOUNCE, .lanes = 1};
	uint8_t out[LANE_MSG_BYTES + 64] = {0};
	struct lane_msg back;

	lane_msg_encode(out, &m);
	assert_int_equal(lane_msg_decode(out, sizeof(out), &back), 0);
	out[4] = LANE_VERSION + 1;
	assert_true(lane_msg_decode(out, sizeof(out), &back) < 0);
	out[4] = LANE_VERSION;
	out[6] = LANE_MAX + 1;
	assert_true(lane_msg_decode(out, sizeof(out), &back) < 0);
	out[6] = LANE_MAX;
	out[7] = LANE_MAX + 1;
	assert_true(lane_msg_decode(out, sizeof(out), &back) < 0);
	out[7] = LANE_MAX;
	assert_int_equal(lane_msg_decode(out, sizeof(out), &back), 0);
	for (unsigned type = 0; type < 256; type++) {
		out[3] = (uint8_t)type;
		out[4] = LANE_VERSION;
		out[5] = 1;
		assert_int_equal(lane_msg_decode(out, sizeof(out), &back) == 0,
				 type >= LANE_MSG_ANNOUNCE && type <= LANE_MSG_WANT);
	}
}

/* What makes them harmless: to the IP parser they are of an unknown version. */
static void test_is_no_ip(void **state)
{
	struct lane_msg m = {.type = LANE_MSG_WANT};
	uint8_t out[LANE_MSG_BYTES];
	struct ip_info info;

	assert_int_equal(lane_msg_encode(out, &m), 8);
	assert_int_equal(ip_parse(out, sizeof(out), &info), IP_PARSE_BAD_VERSION);
	out[0] = 0x45;
	assert_false(lane_msg_is(out, sizeof(out)));
	out[0] = 0x60;
	assert_false(lane_msg_is(out, sizeof(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_announce_bytes),
		cmocka_unit_test(test_ping_bytes),
		cmocka_unit_test(test_out_of_range),
		cmocka_unit_test(test_is_no_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
