/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that the X25519 we link is that of RFC 7748, and says no to results of all zeros. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "lib/base/bug.h"

static void from_hex(uint8_t out[32], const char *hex)
{
	assert_int_equal(sodium_hex2bin(out, 32, hex, strlen(hex), NULL, NULL, NULL), 0);
}

static void check(const char *scalar_hex, const char *u_hex, const char *want_hex)
{
	uint8_t scalar[32];
	uint8_t u[32];
	uint8_t want[32];
	uint8_t out[32];

	from_hex(scalar, scalar_hex);
	from_hex(u, u_hex);
	from_hex(want, want_hex);
	assert_int_equal(crypto_scalarmult(out, scalar, u), 0);
	assert_memory_equal(out, want, 32);
}

static void single_vectors(void **state)
{
	check("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	      "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	check("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	      "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	      "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

static void iterated(void **state)
{
	uint8_t k[32] = {9};
	uint8_t u[32] = {9};
	uint8_t out[32];
	uint8_t want[32];

	for (int i = 1; i <= 1000; i++) {
		assert_int_equal(crypto_scalarmult(out, k, u), 0);
		memcpy(u, k, 32);
		memcpy(k, out, 32);
		if (i == 1) {
			from_hex(want, "422c8e7a6227d7bca1350b3e2bb7279f"
				       "7897b87bb6854b783c60e80311ae3079");
			assert_memory_equal(k, want, 32);
		}
	}
	from_hex(want, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
	assert_memory_equal(k, want, 32);
}

static void two_parties(void **state)
{
	uint8_t a[32], b[32], a_pub[32], b_pub[32], want[32], out[32];

	from_hex(a, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
	from_hex(b, "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
	assert_int_equal(crypto_scalarmult_base(a_pub, a), 0);
	assert_int_equal(crypto_scalarmult_base(b_pub, b), 0);
	from_hex(want, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	assert_memory_equal(a_pub, want, 32);
	from_hex(want, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(crypto_scalarmult(out, a, b_pub), 0);
	assert_memory_equal(out, want, 32);
	assert_int_equal(crypto_scalarmult(out, b, a_pub), 0);
	assert_memory_equal(out, want, 32);
}

static void low_order_points(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t scalar[32] = {0x77, 1, 2, 3};
	uint8_t u[32];
	uint8_t out[32];

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		from_hex(u, points[i]);
		assert_int_not_equal(crypto_scalarmult(out, scalar, u), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(single_vectors),
		cmocka_unit_test(iterated),
		cmocka_unit_test(two_parties),
		cmocka_unit_test(low_order_points),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
