/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that BLAKE2s, keyed or not, is that of RFC 7693, and HMAC and KDF are built on it rightly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "controlplane/noise/blake2s.h"
#include "lib/base/bug.h"

static void from_hex(uint8_t *out, size_t len, const char *hex)
{
	size_t n;

	assert_int_equal(sodium_hex2bin(out, len, hex, strlen(hex), NULL, &n, NULL), 0);
	assert_int_equal(n, len);
}

/* A slow model, written from section 3 of the RFC; one call, any length up to 4 KiB. */
static uint32_t rotr(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static const uint32_t iv[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint8_t sigma[10][16] = {
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static void model_g(uint32_t *v, int a, int b, int c, int d, uint32_t x, uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotr(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotr(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotr(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotr(v[b] ^ v[c], 7);
}

static void model_block(uint32_t *h, const uint8_t *block, uint64_t end, int is_last)
{
	uint32_t v[16];
	uint32_t m[16];

	for (int i = 0; i < 16; i++)
		m[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8 |
		       (uint32_t)block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
	memcpy(v, h, 32);
	memcpy(v + 8, iv, 32);
	v[12] ^= (uint32_t)end;
	v[13] ^= (uint32_t)(end >> 32);
	if (is_last)
		v[14] = ~v[14];
	for (int r = 0; r < 10; r++) {
		const uint8_t *s = sigma[r];

		for (int i = 0; i < 4; i++)
			model_g(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			model_g(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4,
				m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

static void model(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
		  const uint8_t *in, size_t len)
{
	uint8_t data[4096 + 64] = {0};
	uint32_t h[8];
	size_t total = len;
	size_t at = 0;

	if (key_len) {
		memcpy(data, key, key_len);
		total += 64;
	}
	assert_true(total <= sizeof(data));
	if (len)
		memcpy(data + total - len, in, len);
	memcpy(h, iv, sizeof(h));
	h[0] ^= 0x01010000u ^ (uint32_t)key_len << 8 ^ (uint32_t)out_len;
	for (; total - at > 64; at += 64)
		model_block(h, data + at, at + 64, 0);
	model_block(h, data + at, total, 1);
	for (size_t i = 0; i < out_len; i++)
		out[i] = (uint8_t)(h[i / 4] >> 8 * (i % 4));
}

/* RFC 7693 appendix E: a deterministic sequence */
static void fill_sequence(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed;
	uint32_t b = 1;

	for (size_t i = 0; i < len; i++) {
		uint32_t t = a + b;

		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

static void known_answers(void **state)
{
	uint8_t key[32];
	uint8_t out[32];
	uint8_t want[32];

	/* RFC 7693 appendix B */
	blake2s_hash(out, &BLAKE2S_PIECE("abc", 3), 1);
	from_hex(want, 32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
	assert_memory_equal(out, want, 32);
	/* the reference implementation's keyed answer for the empty message */
	for (int i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	blake2s_keyed(out, 32, key, 32, "", 0);
	from_hex(want, 32, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
	assert_memory_equal(out, want, 32);
}

/*
 * RFC 7693 appendix E: a hash over hashes, keyed and not, of 16, 20, 28 and 32
 * bytes. We have no unkeyed hash shorter than 32: the model stands in there, and
 * is checked against ours everywhere else.
 */
static void self_test_of_the_rfc(void **state)
{
	static const size_t out_lens[] = {16, 20, 28, 32};
	static const size_t in_lens[] = {0, 3, 64, 65, 255, 1024};
	uint8_t all[4096];
	size_t n = 0;
	uint8_t in[1024];
	uint8_t key[32];
	uint8_t out[32];
	uint8_t twin[32];
	uint8_t want[32];

	for (size_t i = 0; i < ARRAY_SIZE(out_lens); i++) {
		size_t out_len = out_lens[i];

		for (size_t j = 0; j < ARRAY_SIZE(in_lens); j++) {
			size_t len = in_lens[j];

			fill_sequence(in, len, (uint32_t)len);
			model(twin, out_len, NULL, 0, in, len);
			if (out_len == 32) {
				blake2s_hash(out, &BLAKE2S_PIECE(in, len), 1);
				assert_memory_equal(out, twin, 32);
			}
			memcpy(all + n, twin, out_len);
			n += out_len;
			fill_sequence(key, out_len, (uint32_t)out_len);
			blake2s_keyed(out, out_len, key, out_len, in, len);
			model(twin, out_len, key, out_len, in, len);
			assert_memory_equal(out, twin, out_len);
			memcpy(all + n, out, out_len);
			n += out_len;
		}
	}
	blake2s_hash(out, &BLAKE2S_PIECE(all, n), 1);
	from_hex(want, 32, "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
	assert_memory_equal(out, want, 32);
}

static void agrees_with_the_model_in_pieces(void **state)
{
	uint8_t in[600];
	uint8_t out[32];
	uint8_t twin[32];

	for (uint32_t round = 0; round < 500; round++) {
		size_t len = round % sizeof(in);
		size_t cut = len ? (round * 7) % len : 0;

		fill_sequence(in, len, round + 1);
		model(twin, 32, NULL, 0, in, len);
		blake2s_hash(out,
			     (struct blake2s_piece[]){BLAKE2S_PIECE(in, cut),
						      BLAKE2S_PIECE(in + cut, len - cut)},
			     2);
		assert_memory_equal(out, twin, 32);
	}
}

/* HMAC by its definition, on the model. */
static void hmac_is_that_of_rfc_2104(void **state)
{
	uint8_t key[32];
	uint8_t in[200];
	uint8_t buf[64 + 200];
	uint8_t inner[32];
	uint8_t out[32];
	uint8_t twin[32];

	for (uint32_t len = 0; len <= sizeof(in); len++) {
		fill_sequence(key, 32, len + 3);
		fill_sequence(in, len, len + 5);
		for (int i = 0; i < 64; i++)
			buf[i] = (uint8_t)((i < 32 ? key[i] : 0) ^ 0x36);
		memcpy(buf + 64, in, len);
		model(inner, 32, NULL, 0, buf, 64 + len);
		for (int i = 0; i < 64; i++)
			buf[i] = (uint8_t)((i < 32 ? key[i] : 0) ^ 0x5c);
		memcpy(buf + 64, inner, 32);
		model(twin, 32, NULL, 0, buf, 96);
		blake2s_hmac(out, key, &BLAKE2S_PIECE(in, len), 1);
		assert_memory_equal(out, twin, 32);
	}
}

static void starts_anew_after_fini(void **state)
{
	uint8_t a[32];
	uint8_t b[32];

	blake2s_hash(a, &BLAKE2S_PIECE("x", 1), 1);
	blake2s_fini();
	assert_int_equal(blake2s_init(), 0);
	blake2s_hash(b, &BLAKE2S_PIECE("x", 1), 1);
	assert_memory_equal(a, b, 32);
	blake2s_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers),
		cmocka_unit_test(self_test_of_the_rfc),
		cmocka_unit_test(agrees_with_the_model_in_pieces),
		cmocka_unit_test(hmac_is_that_of_rfc_2104),
		cmocka_unit_test(starts_anew_after_fini),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
