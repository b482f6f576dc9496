/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows under Valgrind that no branch and no address of one AEAD engine depends on a key or
 * a text: both are marked undefined, and memcheck counts what is decided by undefined
 * bytes. Only that a tag was wrong may be known (plain512/public.h). That memcheck would
 * find a leak, in the engine too, is shown in the same run.
 *
 * Built once for each of SECRETS_REF, the reference engine; MB_AVX2, the multi-buffer
 * engine with the kernels that are linked into causeway-dp; and MB_AVX512, whose sources
 * are compiled over plain512/immintrin.h, since Valgrind knows no AVX-512. It names
 * the engine that it ran.
 * Usage: test_aead_secrets_NAME [valgrind]: with valgrind it fails where none is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "dataplane/crypto/aead_engines.h"

#if defined(SECRETS_REF)
#define ENGINE	    (&aead_ref)
#define DESCRIPTION "plain C"
#elif defined(MB_AVX2)
#define ENGINE	    (&aead_mb_avx2.engine)
#define DESCRIPTION "AVX2"
#else
#define ENGINE	    (&aead_mb_avx512.engine)
#define DESCRIPTION "AVX-512 sources over plain C"
#endif

#define LEN_MAX 1500

bool plain_keeps_secrets;

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
	void *ctx = ENGINE->ctx_new();
	struct aead_job jobs[AEAD_BATCH_MAX];
	unsigned errors = VALGRIND_COUNT_ERRORS;

	assert_non_null(ctx);
	randombytes_buf(keys, sizeof(keys));
	randombytes_buf(texts, sizeof(texts));
	for (unsigned round = 0; round < 40; round++) {
		unsigned n = batches[round % 10];

		jobs_init(jobs, n, round);
		set_secret(true);
		ENGINE->seal(ctx, jobs, n);
		set_secret(false);
		for (unsigned i = 0; i < n; i++)
			check_box(&jobs[i]);
	}
	ENGINE->ctx_free(ctx);
	assert_int_equal(VALGRIND_COUNT_ERRORS, errors);
}

/* Opens secret boxes, every fifth of them forged. Returns the errors that the engine made. */
static unsigned open_boxes(void *ctx, unsigned n, unsigned round)
{
	struct aead_job jobs[AEAD_BATCH_MAX];
	unsigned errors;

	jobs_init(jobs, n, round);
	ENGINE->seal(ctx, jobs, n);
	for (unsigned i = 0; i < n; i++) {
		boxes[i][i % (jobs[i].len + AEAD_TAG_BYTES)] ^= i % 5 == 0;
		jobs[i].src = boxes[i];
		jobs[i].dst = opened[i];
	}
	set_secret(true);
	errors = VALGRIND_COUNT_ERRORS;
	ENGINE->open(ctx, jobs, n);
	errors = VALGRIND_COUNT_ERRORS - errors;
	set_secret(false);
	(void)VALGRIND_MAKE_MEM_DEFINED(jobs, sizeof(jobs));
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(jobs[i].ok, i % 5 != 0);
		if (jobs[i].ok)
			assert_memory_equal(opened[i], texts[i], jobs[i].len);
		else
			assert_true(sodium_is_zero(opened[i], jobs[i].len));
	}
	return errors;
}

static void opens_without_looking(void **state)
{
	void *ctx = ENGINE->ctx_new();

	assert_non_null(ctx);
	randombytes_buf(keys, sizeof(keys));
	randombytes_buf(texts, sizeof(texts));
	for (unsigned round = 0; round < 8; round++)
		assert_int_equal(open_boxes(ctx, 64 - round, round), 0);
	ENGINE->ctx_free(ctx);
}

/* What the tests above must not pass by: memcheck finds each kind of leak. */
static void leaks_are_found(void **state)
{
	static const uint8_t table[256] = {1, 2, 3};
	volatile unsigned sink = 0;
	unsigned errors = VALGRIND_COUNT_ERRORS;

	if (!RUNNING_ON_VALGRIND)
		skip();
	set_secret(true);
	if (keys[0][0] & 1)
		sink = sink + 1;
	assert_true(VALGRIND_COUNT_ERRORS > errors);
	errors = VALGRIND_COUNT_ERRORS;
	sink = sink + table[keys[0][1]];
	assert_true(VALGRIND_COUNT_ERRORS > errors);
	set_secret(false);
}

/* The engine's own branch on whether a tag was right, when that is kept secret. */
static void a_leak_in_the_engine_is_found(void **state)
{
	unsigned errors;
	void *ctx;

	if (!RUNNING_ON_VALGRIND)
		skip();
	ctx = ENGINE->ctx_new();
	assert_non_null(ctx);
	plain_keeps_secrets = true;
	errors = open_boxes(ctx, 8, 1);
	plain_keeps_secrets = false;
	ENGINE->ctx_free(ctx);
	assert_true(errors > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seals_without_looking),
		cmocka_unit_test(opens_without_looking),
		cmocka_unit_test(leaks_are_found),
		cmocka_unit_test(a_leak_in_the_engine_is_found),
	};

	if (sodium_init() < 0)
		return 2;
	if (argc > 1 && strcmp(argv[1], "valgrind") == 0 && !RUNNING_ON_VALGRIND) {
		fprintf(stderr, "not under Valgrind\n");
		return 2;
	}
#ifdef MB_AVX2
	if (!ENGINE->is_supported())
		return 77;
#endif
	printf("engine %s (%s), %s Valgrind\n", ENGINE->name, DESCRIPTION,
	       RUNNING_ON_VALGRIND ? "under" : "without");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
