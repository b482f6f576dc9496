/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the multi-buffer engine: between aead_mb.c, which is plain C, and the kernels of one
 * instruction set. MB_AVX2 or MB_AVX512 says which set a file is built for; aead_mb.c
 * is built once for each. Kernels are built with the flags of their set and called only
 * where the CPU has it. A kernel file includes no function of ours: one compiled with
 * those flags must not become the copy that everybody links.
 *
 * The ChaCha20 kernel makes 16 blocks of key stream at once (8 with AVX2). Which, runs
 * say:
 *
 *	lane  0    1    2    3    4    5    6   ..  15
 *	     |-- run 0 --|  |--- run 1 --|  |-- run 2 ..
 *	block 0    1    2    0    1    2    0
 *
 * A run is a stretch of consecutive blocks of one message. Block 0 is the
 * message's Poly1305 key, the others are XORed onto text.
 */
#ifndef DATAPLANE_CRYPTO_AEAD_MB_H
#define DATAPLANE_CRYPTO_AEAD_MB_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/crypto/aead_mb_set.h"

/* MB_LANES: blocks of key stream side by side; MB_HASHES: messages hashed side by side. */
#if defined(MB_AVX512)
#define MB_LANES	 16
#define MB_HASHES	 8
#define MB_SET_NAME	 "mb-avx512"
#define MB_FOR_SET(name) name##_avx512
#elif defined(MB_AVX2)
#define MB_LANES	 8
#define MB_HASHES	 4
#define MB_SET_NAME	 "mb-avx2"
#define MB_FOR_SET(name) name##_avx2
#else
#error "which instruction set?"
#endif

/* More than what a kernel leaves on the stack, to be wiped; check_aead_objects.py measures it. */
#if defined(MB_AVX2) && defined(__clang__)
#define MB_STACK 12288
#elif defined(MB_AVX2)
#define MB_STACK 3072
#else
#define MB_STACK 2048
#endif

#define MB_HASH_KEY 32 /* bytes of a Poly1305 key */

struct mb_run {
	const struct aead_job *job;
	uint32_t block; /* number of the first: 0 is the hash key, 1 goes to the text's start */
	uint8_t at;	/* where the hash key goes */
	uint8_t first;	/* its first lane: where the run before ended */
	uint8_t lanes;	/* >= 1; the last block may be wider than what is left of the text */
};

/* Longest first; where there are fewer than MB_HASHES, empty ones are last. */
struct mb_texts {
	const uint8_t *p[MB_HASHES];
	uint64_t bytes[MB_HASHES];
};

/*
 * Makes the blocks of 1 <= n <= MB_LANES runs, which fill the lanes from 0 upward, and
 * stores the hash keys among them. The texts are XORed as well if has_texts, else
 * the caller does that later. keystream holds secrets afterwards.
 */
void MB_FOR_SET(aead_mb_chacha)(const struct mb_run *runs, unsigned n, bool has_texts,
				uint8_t hash_keys[AEAD_BATCH_MAX][MB_HASH_KEY],
				uint8_t (*keystream)[MB_BLOCK_BYTES]);

/* dst = src ^ key stream, whose block 1 is the first here. */
void MB_FOR_SET(aead_mb_xor)(const struct aead_job *job, uint8_t (*keystream)[MB_BLOCK_BYTES]);

/*
 * Tags of MB_HASHES messages without additional data: blocks of 16, the last filled up
 * with zeroes, and one that holds the length. Fastest when they are of like length.
 * texts are changed.
 */
void MB_FOR_SET(aead_mb_poly)(struct mb_texts *texts, uint8_t keys[MB_HASHES][MB_HASH_KEY],
			      uint8_t tags[MB_HASHES][AEAD_TAG_BYTES]);

#endif
