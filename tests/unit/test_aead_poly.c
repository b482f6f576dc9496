/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the multi-buffer engine's Poly1305 of one instruction set (MB_AVX2,
 * MB_AVX512) carries right where no real key and text lead, as libsodium does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "dataplane/crypto/aead_mb.h"
#include "lib/wire/wg.h"

#define LEN_MAX 800

/* Deterministic, so that a failure comes again. */
static uint64_t random_state;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

#define HASHES_MAX (MB_HASHES * MB_HASH_GROUPS)

/* Tags of n times MB_HASHES messages as libsodium makes them of the blocks that the AEAD hashes. */
static void hash_all(const struct mb_texts *t, unsigned n, uint8_t (*hash_keys)[MB_HASH_KEY])
{
	static uint8_t padded[LEN_MAX + 32];
	uint8_t got[HASHES_MAX][AEAD_TAG_BYTES], tag[AEAD_TAG_BYTES];
	struct mb_texts used[MB_HASH_GROUPS];

	memcpy(used, t, n * sizeof(*t));
	MB_FOR_SET(aead_mb_poly)(used, n, hash_keys, got);
	for (unsigned i = 0; i < n * MB_HASHES; i++) {
		const uint8_t *p = t[i / MB_HASHES].p[i % MB_HASHES];
		uint64_t bytes = t[i / MB_HASHES].bytes[i % MB_HASHES];
		size_t len = (bytes + 15) / 16 * 16;

		memset(padded, 0, len + 16);
		memcpy(padded, p, bytes);
		le64_put((wire_le64 *)(padded + len + 8), bytes);
		crypto_onetimeauth_poly1305(tag, padded, len + 16, hash_keys[i]);
		assert_memory_equal(got[i], tag, AEAD_TAG_BYTES);
	}
}

/* Keys and texts that no cipher would make: all ones, all zeroes, and bytes of few bits. */
static void extreme_fill(uint8_t *p, size_t len)
{
	static const uint8_t bytes[] = {0x00, 0xff, 0xff, 0xfe, 0x01, 0x80, 0x7f, 0xfb};
	uint8_t one = bytes[random_u32() % sizeof(bytes)];

	for (size_t i = 0; i < len; i++)
		p[i] = one;
	if (len && random_u32() % 2)
		p[random_u32() % len] = bytes[random_u32() % sizeof(bytes)];
}

static void vector_hash_carries_extremes(void **state)
{
	static uint8_t hash_keys[HASHES_MAX][MB_HASH_KEY], text[HASHES_MAX][LEN_MAX];
	struct mb_texts t[MB_HASH_GROUPS];

	if (!MB_FOR_SET(aead_mb).engine.is_supported())
		skip();
	random_state = 0x082efa98ec4e6c89ull;
	for (unsigned round = 0; round < 20000; round++) {
		uint32_t len = random_u32() % LEN_MAX;
		unsigned n = 1 + round / 2 % MB_HASH_GROUPS;

		for (unsigned i = 0; i < n * MB_HASHES; i++) {
			extreme_fill(hash_keys[i], 16);
			extreme_fill(hash_keys[i] + 16, 16);
			t[i / MB_HASHES].p[i % MB_HASHES] = text[i];
			t[i / MB_HASHES].bytes[i % MB_HASHES] = len;
			extreme_fill(text[i], len);
			if (round & 1)
				len -= random_u32() % (len + 1);
		}
		hash_all(t, n, hash_keys);
	}
}

/*
 * With r = 1 the sum, of two blocks and the length's, comes to lie one a lane around
 * 2^130 - 5, where the last subtraction begins, and around 2^130 + 2^89, where what
 * goes around the top carries through two limbs.
 */
static void vector_hash_reduces_fully(void **state)
{
	uint8_t hash_keys[MB_HASHES][MB_HASH_KEY], text[MB_HASHES][32];
	struct mb_texts t;

	if (!MB_FOR_SET(aead_mb).engine.is_supported())
		skip();
	memset(hash_keys, 0, sizeof(hash_keys));
	memset(text, 0, sizeof(text));
	for (int at = -16; at < 16; at += MB_HASHES) {
		for (unsigned i = 0; i < 2 * MB_HASHES; i++) {
			unsigned k = i % MB_HASHES;
			int64_t low = at + (int)k;
			uint64_t high = low < 0 ? UINT64_MAX : 0;
			/* Three blocks bring 3 * 2^128, the length 2^69. */
			uint64_t rest = (i < MB_HASHES ? 0 : 1 << 25) - 32ull;

			hash_keys[k][0] = 1;
			le64_put((wire_le64 *)text[k], (uint64_t)low);
			if (i < MB_HASHES) {
				high += rest;
				rest = 0;
			}
			le64_put((wire_le64 *)(text[k] + 8), high);
			le64_put((wire_le64 *)(text[k] + 24), rest);
			t.p[k] = text[k];
			t.bytes[k] = sizeof(text[k]);
			if (k == MB_HASHES - 1)
				hash_all(&t, 1, hash_keys);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vector_hash_carries_extremes),
		cmocka_unit_test(vector_hash_reduces_fully),
	};

	if (sodium_init() < 0)
		return 2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
