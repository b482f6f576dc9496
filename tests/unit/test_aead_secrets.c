/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the multi-buffer engine's AVX-512 sources compute right, on any CPU, and
 * under Valgrind that no branch and no address of theirs depends on a key or a text:
 * both are marked undefined, and memcheck reports what is decided by undefined bytes.
 * Only that a tag was wrong may be known (plain512/public.h).
 * The sources are those of dataplane/crypto, over plain512/immintrin.h.
 * Usage: test_aead_secrets [leak]: with leak it branches on a key, and fails unless that is
 * reported.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "dataplane/crypto/aead_engines.h"

#define LEN_MAX 1500

static uint8_t keys[AEAD_BATCH_MAX][AEAD_KEY_BYTES];
static uint8_t texts[AEAD_BATCH_MAX][LEN_MAX];
static uint8_t boxes[AEAD_BATCH_MAX][LEN_MAX + AEAD_TAG_BYTES];
static uint8_t opened[AEAD_BATCH_MAX][LEN_MAX];

static void jobs_init(struct aead_job *jobs, unsigned n, unsigned round)
{
	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){
			.key = keys[round % 3 ? i : 0],
			.counter = (uint64_t)round << 33 | i,
			.src = texts[i],
			.dst = boxes[i],
			.len = (round * 61 + i * (round % 4) * 37) % (LEN_MAX + 1),
		};
}

static void check_box(const struct aead_job *j)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
	static uint8_t want[LEN_MAX + AEAD_TAG_BYTES];

	for (unsigned i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(j->counter >> (8 * i));
	crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, j->src, j->len, NULL, 0, NULL, nonce,
						  j->key);
	assert_memory_equal(j->dst, want, j->len + AEAD_TAG_BYTES);
}

static void set_secret(bool is_secret)
{
	if (is_secret) {
		(void)VALGRIND_MAKE_MEM_UNDEFINED(keys, sizeof(keys));
		(void)VALGRIND_MAKE_MEM_UNDEFINED(texts, sizeof(texts));
	} else {
		(void)VALGRIND_MAKE_MEM_DEFINED(keys, sizeof(keys));
		(void)VALGRIND_MAKE_MEM_DEFINED(texts, sizeof(texts));
		(void)VALGRIND_MAKE_MEM_DEFINED(boxes, sizeof(boxes));
		(void)VALGRIND_MAKE_MEM_DEFINED(opened, sizeof(opened));
	}
}

static void seals_without_looking(void **state)
{
	static const unsigned batches[] = {1, 2, 7, 8, 9, 16, 17, 32, 63, 64};
	void *ctx = aead_mb_avx512.engine.ctx_new();
	struct aead_job jobs[AEAD_BATCH_MAX];

	assert_non_null(ctx);
	randombytes_buf(keys, sizeof(keys));
	randombytes_buf(texts, sizeof(texts));
	for (unsigned round = 0; round < 40; round++) {
		unsigned n = batches[round % 10];

		jobs_init(jobs, n, round);
		set_secret(true);
		aead_mb_avx512.engine.seal(ctx, jobs, n);
		set_secret(false);
		for (unsigned i = 0; i < n; i++)
			check_box(&jobs[i]);
	}
	aead_mb_avx512.engine.ctx_free(ctx);
}

static void opens_without_looking(void **state)
{
	void *ctx = aead_mb_avx512.engine.ctx_new();
	struct aead_job jobs[AEAD_BATCH_MAX];

	assert_non_null(ctx);
	randombytes_buf(keys, sizeof(keys));
	randombytes_buf(texts, sizeof(texts));
	for (unsigned round = 0; round < 8; round++) {
		unsigned n = 64 - round;

		jobs_init(jobs, n, round);
		aead_mb_avx512.engine.seal(ctx, jobs, n);
		for (unsigned i = 0; i < n; i++) {
			boxes[i][i % (jobs[i].len + AEAD_TAG_BYTES)] ^= i % 5 == 0;
			jobs[i].src = boxes[i];
			jobs[i].dst = opened[i];
		}
		set_secret(true);
		aead_mb_avx512.engine.open(ctx, jobs, n);
		set_secret(false);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(jobs[i].ok, i % 5 != 0);
			if (jobs[i].ok)
				assert_memory_equal(opened[i], texts[i], jobs[i].len);
			else
				assert_true(sodium_is_zero(opened[i], jobs[i].len));
		}
	}
	aead_mb_avx512.engine.ctx_free(ctx);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_without_looking),
		cmocka_unit_test(opens_without_looking),
	};

	if (sodium_init() < 0)
		return 2;
	if (argc > 1 && strcmp(argv[1], "leak") == 0) {
		randombytes_buf(keys, sizeof(keys));
		(void)VALGRIND_MAKE_MEM_UNDEFINED(keys, sizeof(keys));
		if (keys[0][0] & 1)
			puts("odd");
		return VALGRIND_COUNT_ERRORS ? 0 : 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
