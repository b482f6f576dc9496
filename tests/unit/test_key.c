/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that keys are read and written as WireGuard's tools do, and nothing near a key is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/bug.h"
#include "lib/base/fileio.h"
#include "lib/base/key.h"

/* The bytes 0 to 31. */
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define HEX    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void text_forms(void **state)
{
	char base64[KEY_BASE64_MAX], hex[KEY_HEX_MAX];
	struct key a, b;

	assert_int_equal(key_parse_base64(BASE64, &a), 0);
	assert_int_equal(key_parse_hex(HEX, &b), 0);
	for (int i = 0; i < KEY_BYTES; i++)
		assert_int_equal(a.bytes[i], i);
	assert_true(key_equal(&a, &b));
	assert_string_equal(key_print_base64(&a, base64), BASE64);
	assert_string_equal(key_print_hex(&a, hex), HEX);
	b.bytes[31] ^= 1;
	assert_false(key_equal(&a, &b));
	assert_false(key_is_zero(&a));
	key_wipe(&a);
	assert_true(key_is_zero(&a));
}

static void near_misses(void **state)
{
	static const char *const bad[] = {
		"",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",	 /* no padding */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==", /* too long */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",	 /* stray low bits */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh==",	 /* 31 bytes */
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A",	 /* 33 bytes */
		"AAECAwQFBgcICQoL-A0ODxAREhMUFRYXGBkaGxwdHh8=",	 /* other alphabet */
		" AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		HEX,
	};
	struct key k = {{7}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (key_parse_base64(bad[i], &k) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(key_parse_hex(HEX "0", &k), -EINVAL);
	assert_int_equal(key_parse_hex(BASE64, &k), -EINVAL);
	assert_int_equal(k.bytes[0], 7);
}

static void files(void **state)
{
	char folder[] = "/tmp/causeway-key-XXXXXX";
	char path[64], long_path[64];
	struct key a, b;
	struct stat st;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/k", folder);
	snprintf(long_path, sizeof(long_path), "%s/l", folder);
	assert_int_equal(key_read_file(path, &b), -ENOENT);
	assert_int_equal(key_parse_base64(BASE64, &a), 0);
	assert_int_equal(key_write_file(path, &a), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, KEY_BASE64_LEN + 1);
	assert_int_equal(key_read_file(path, &b), 0);
	assert_true(key_equal(&a, &b));
	assert_int_equal(file_write_atomic(long_path, BASE64 "\n" BASE64 "\n", 90, 0600), 0);
	assert_int_equal(key_read_file(long_path, &b), -EINVAL);
	unlink(path);
	unlink(long_path);
	rmdir(folder);
}

/* The list against libsodium, which refuses to multiply these. */
static void low_order(void **state)
{
	static const char *const hex[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	const uint8_t scalar[KEY_BYTES] = {9};
	uint8_t shared[KEY_BYTES];
	struct key k;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(hex); i++) {
		assert_int_equal(key_parse_hex(hex[i / 2], &k), 0);
		k.bytes[KEY_BYTES - 1] |= i % 2 ? 0x80 : 0;
		assert_int_equal(crypto_scalarmult(shared, scalar, k.bytes), -1);
		assert_true(key_is_low_order(&k));
		k.bytes[7] ^= 1;
		assert_int_equal(crypto_scalarmult(shared, scalar, k.bytes), 0);
		assert_false(key_is_low_order(&k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_forms),
		cmocka_unit_test(near_misses),
		cmocka_unit_test(files),
		cmocka_unit_test(low_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
