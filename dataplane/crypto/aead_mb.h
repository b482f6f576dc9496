/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the multi-buffer engine, which is plain C, and its two kernels, which
 * are built with an instruction set's flags and called only where the CPU has
 * it. A kernel file includes nothing else of ours: an inline function compiled
 * with those flags must not become the copy that everybody links.
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

#include <stdint.h>

#define MB_LANES       16 /* blocks of key stream side by side */
#define MB_BLOCK_BYTES 64
#define MB_HASHES      8  /* messages hashed side by side */
#define MB_HASH_KEY    32 /* bytes of a Poly1305 key */
#define MB_HASH_TAG    16

struct mb_run {
	const uint8_t *key; /* 32 bytes */
	uint64_t nonce;	    /* its last 8 bytes as a number; the first 4 are zero */
	uint32_t block;	    /* number of the first block; 0: hash_key is written */
	uint32_t bytes;	    /* of text */
	const uint8_t *src;
	uint8_t *dst;	   /* == src, or no overlap */
	uint8_t *hash_key; /* 32 bytes, used when block is 0 */
	uint8_t first;	   /* its first lane: where the run before ended */
	uint8_t at;	   /* the engine's: which message */
};

struct mb_text {
	const uint8_t *p;
	uint32_t bytes;
};

/*
 * Runs fill the lanes from 0 upward, 1 <= n <= 16. keystream is scratch, and
 * holds secrets afterwards.
 */
void aead_mb_chacha_avx512(const struct mb_run *runs, unsigned n,
			   uint8_t keystream[MB_LANES][MB_BLOCK_BYTES]);

/*
 * Tags of eight messages without additional data, whose blocks of 16 the AEAD
 * ends with one that holds the length. Fastest when they are of like length.
 */
void aead_mb_poly_avx512(const struct mb_text texts[MB_HASHES],
			 uint8_t keys[MB_HASHES][MB_HASH_KEY],
			 uint8_t tags[MB_HASHES][MB_HASH_TAG]);

#endif
