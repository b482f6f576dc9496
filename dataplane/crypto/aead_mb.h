/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the multi-buffer engine: between aead_mb.c, which is plain C, and two kernels, which
 * are built with an instruction set's flags and called only where the CPU has
 * it. A kernel file includes no function of ours: one compiled with those flags must
 * not become the copy that everybody links.
 *
 * The ChaCha20 kernel makes 16 blocks of key stream at once. Which, runs say:
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

#include "dataplane/crypto/aead.h"

#define MB_LANES       16 /* blocks of key stream side by side */
#define MB_BLOCK_BYTES 64
#define MB_HASHES      8  /* messages hashed side by side */
#define MB_HASH_KEY    32 /* bytes of a Poly1305 key */

struct mb_run {
	const struct aead_job *job;
	uint32_t block; /* number of the first: 0 is the hash key, 1 goes to the text's start */
	uint8_t at;	/* where the hash key goes */
	uint8_t first;	/* its first lane: where the run before ended */
	uint8_t lanes;	/* >= 1; the last block may be wider than what is left of the text */
};

/* Longest first; where there are fewer than eight, empty ones are last. */
struct mb_texts {
	const uint8_t *p[MB_HASHES];
	uint64_t bytes[MB_HASHES];
};

/*
 * Makes the blocks of 1 <= n <= 16 runs, which fill the lanes from 0 upward, and
 * stores the hash keys among them. The texts are XORed as well if has_texts, else
 * the caller does that later. keystream holds secrets afterwards.
 */
void aead_mb_chacha_avx512(const struct mb_run *runs, unsigned n, bool has_texts,
			   uint8_t hash_keys[AEAD_BATCH_MAX][MB_HASH_KEY],
			   uint8_t (*keystream)[MB_BLOCK_BYTES]);

/* dst = src ^ key stream, whose block 1 is the first here. */
void aead_mb_xor_avx512(const struct aead_job *job, uint8_t (*keystream)[MB_BLOCK_BYTES]);

/*
 * Tags of eight messages without additional data: blocks of 16, the last filled up
 * with zeroes, and one that holds the length. Fastest when they are of like length.
 * texts are changed.
 */
void aead_mb_poly_avx512(struct mb_texts *texts, uint8_t keys[MB_HASHES][MB_HASH_KEY],
			 uint8_t tags[MB_HASHES][AEAD_TAG_BYTES]);

/* For an engine that gives this one a part of its jobs, as pointers, the longest first. */
void aead_mb_sort(struct aead_job **sorted, struct aead_job *jobs, unsigned n);
void aead_mb_seal_sorted(void *ctx, struct aead_job **sorted, unsigned n);
void aead_mb_open_sorted(void *ctx, struct aead_job **sorted, unsigned n);

#endif
