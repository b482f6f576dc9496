/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439 section 2.3) for AVX-512: word i of all 16 blocks in one
 * register, so that a quarter round is the same twelve instructions for all, and a
 * transpose at the end that lays each block's 64 bytes together.
 *
 * Keys reach their lanes by masked broadcasts, run by run: branches and addresses
 * depend on lengths, counts and pointers, never on what is secret.
 */
#include <immintrin.h>

#include "dataplane/crypto/aead_mb.h"

#define ALL_LANES 0xffffu

/*
 * A step of four quarter rounds beside each other: a += b, d = (d ^ a) <<< turn. The
 * words are variables and not an array: gcc would keep the array in memory.
 */
#define STEP(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, turn)                                 \
	do {                                                                                       \
		x##a0 = _mm512_add_epi32(x##a0, x##b0);                                            \
		x##a1 = _mm512_add_epi32(x##a1, x##b1);                                            \
		x##a2 = _mm512_add_epi32(x##a2, x##b2);                                            \
		x##a3 = _mm512_add_epi32(x##a3, x##b3);                                            \
		x##d0 = _mm512_rol_epi32(_mm512_xor_si512(x##d0, x##a0), turn);                    \
		x##d1 = _mm512_rol_epi32(_mm512_xor_si512(x##d1, x##a1), turn);                    \
		x##d2 = _mm512_rol_epi32(_mm512_xor_si512(x##d2, x##a2), turn);                    \
		x##d3 = _mm512_rol_epi32(_mm512_xor_si512(x##d3, x##a3), turn);                    \
	} while (0)

#define DOUBLE_ROUND                                                                               \
	do {                                                                                       \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16);                                  \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 12);                                \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 8);                                   \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 7);                                 \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, 16);                                  \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, 12);                                \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, 8);                                   \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, 7);                                 \
	} while (0)

/* Word i of the key at p, in the lanes of the mask. */
#define SET_WORD(word, lanes, p, i)                                                                \
	(word = _mm512_mask_broadcastd_epi32(word, lanes, _mm_loadu_si32((p) + 4 * (i))))

/* Gathers four words of each lane: of lanes 0, 4, 8 and 12 in x0, of 1, 5, 9, 13 in x1, .. */
static inline void transpose_words(__m512i *x0, __m512i *x1, __m512i *x2, __m512i *x3)
{
	__m512i a = _mm512_unpacklo_epi32(*x0, *x1);
	__m512i b = _mm512_unpackhi_epi32(*x0, *x1);
	__m512i c = _mm512_unpacklo_epi32(*x2, *x3);
	__m512i d = _mm512_unpackhi_epi32(*x2, *x3);

	*x0 = _mm512_unpacklo_epi64(a, c);
	*x1 = _mm512_unpackhi_epi64(a, c);
	*x2 = _mm512_unpacklo_epi64(b, d);
	*x3 = _mm512_unpackhi_epi64(b, d);
}

/* Puts the quarters of a lane together; out is the first of lanes 0, 4, 8 and 12. */
static inline void store_lanes(uint8_t (*out)[MB_BLOCK_BYTES], __m512i x0, __m512i x1, __m512i x2,
			       __m512i x3)
{
	__m512i a = _mm512_shuffle_i32x4(x0, x1, 0x44);
	__m512i b = _mm512_shuffle_i32x4(x0, x1, 0xee);
	__m512i c = _mm512_shuffle_i32x4(x2, x3, 0x44);
	__m512i d = _mm512_shuffle_i32x4(x2, x3, 0xee);

	_mm512_store_si512(out[0], _mm512_shuffle_i32x4(a, c, 0x88));
	_mm512_store_si512(out[4], _mm512_shuffle_i32x4(a, c, 0xdd));
	_mm512_store_si512(out[8], _mm512_shuffle_i32x4(b, d, 0x88));
	_mm512_store_si512(out[12], _mm512_shuffle_i32x4(b, d, 0xdd));
}

static inline void make_keystream(uint8_t (*keystream)[MB_BLOCK_BYTES], const struct mb_run *runs,
				  unsigned n)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m512i zero = _mm512_setzero_si512();
	const __m512i c0 = _mm512_set1_epi32(0x61707865); /* "expand 32-byte k" */
	const __m512i c1 = _mm512_set1_epi32(0x3320646e);
	const __m512i c2 = _mm512_set1_epi32(0x79622d32);
	const __m512i c3 = _mm512_set1_epi32(0x6b206574);
	__m512i k0 = zero, k1 = zero, k2 = zero, k3 = zero;
	__m512i k4 = zero, k5 = zero, k6 = zero, k7 = zero;
	__m512i number = zero, nonce_low = zero, nonce_high = zero;
	__m512i x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15;
	const uint8_t *key = NULL;

	/* A run's values go to its first lane and all above, where the next run's replace them. */
	for (unsigned i = 0; i < n; i++) {
		const struct mb_run *r = &runs[i];
		__mmask16 lanes = (__mmask16)(ALL_LANES << r->first);

		if (r->job->key != key) {
			key = r->job->key;
			SET_WORD(k0, lanes, key, 0);
			SET_WORD(k1, lanes, key, 1);
			SET_WORD(k2, lanes, key, 2);
			SET_WORD(k3, lanes, key, 3);
			SET_WORD(k4, lanes, key, 4);
			SET_WORD(k5, lanes, key, 5);
			SET_WORD(k6, lanes, key, 6);
			SET_WORD(k7, lanes, key, 7);
		}
		number = _mm512_mask_add_epi32(number, lanes, lane,
					       _mm512_set1_epi32((int)(r->block - r->first)));
		SET_WORD(nonce_low, lanes, (const uint8_t *)&r->job->counter, 0);
		SET_WORD(nonce_high, lanes, (const uint8_t *)&r->job->counter, 1);
	}
	x0 = c0, x1 = c1, x2 = c2, x3 = c3;
	x4 = k0, x5 = k1, x6 = k2, x7 = k3;
	x8 = k4, x9 = k5, x10 = k6, x11 = k7;
	x12 = number, x13 = zero, x14 = nonce_low, x15 = nonce_high;
	/* Written out: on a loop gcc spends 16 register moves a turn. */
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	DOUBLE_ROUND;

	x0 = _mm512_add_epi32(x0, c0);
	x1 = _mm512_add_epi32(x1, c1);
	x2 = _mm512_add_epi32(x2, c2);
	x3 = _mm512_add_epi32(x3, c3);
	x4 = _mm512_add_epi32(x4, k0);
	x5 = _mm512_add_epi32(x5, k1);
	x6 = _mm512_add_epi32(x6, k2);
	x7 = _mm512_add_epi32(x7, k3);
	x8 = _mm512_add_epi32(x8, k4);
	x9 = _mm512_add_epi32(x9, k5);
	x10 = _mm512_add_epi32(x10, k6);
	x11 = _mm512_add_epi32(x11, k7);
	x12 = _mm512_add_epi32(x12, number);
	x14 = _mm512_add_epi32(x14, nonce_low);
	x15 = _mm512_add_epi32(x15, nonce_high);
	transpose_words(&x0, &x1, &x2, &x3);
	transpose_words(&x4, &x5, &x6, &x7);
	transpose_words(&x8, &x9, &x10, &x11);
	transpose_words(&x12, &x13, &x14, &x15);
	store_lanes(keystream, x0, x4, x8, x12);
	store_lanes(keystream + 1, x1, x5, x9, x13);
	store_lanes(keystream + 2, x2, x6, x10, x14);
	store_lanes(keystream + 3, x3, x7, x11, x15);
}

/* XORs text from a block's start at on to end. */
static inline void xor_text(const struct aead_job *job, uint32_t at, uint32_t end,
			    uint8_t (*block)[MB_BLOCK_BYTES])
{
	const uint8_t *src = job->src;
	uint8_t *dst = job->dst;

	for (; end - at >= MB_BLOCK_BYTES; at += MB_BLOCK_BYTES)
		_mm512_storeu_si512(dst + at, _mm512_xor_si512(_mm512_load_si512(*block++),
							       _mm512_loadu_si512(src + at)));
	if (at < end) {
		__mmask64 tail = ~0ull >> (MB_BLOCK_BYTES - (end - at));

		_mm512_mask_storeu_epi8(dst + at, tail,
					_mm512_xor_si512(_mm512_load_si512(*block),
							 _mm512_maskz_loadu_epi8(tail, src + at)));
	}
}

static inline void xor_run(const struct mb_run *r, uint8_t (*block)[MB_BLOCK_BYTES])
{
	uint32_t skip = r->block == 0;
	uint32_t at = (r->block + skip - 1) * MB_BLOCK_BYTES;
	uint32_t end = (r->block + r->lanes - 1) * MB_BLOCK_BYTES;

	xor_text(r->job, at, end < r->job->len ? end : r->job->len, block + skip);
}

void aead_mb_chacha_avx512(const struct mb_run *runs, unsigned n, bool has_texts,
			   uint8_t hash_keys[AEAD_BATCH_MAX][MB_HASH_KEY],
			   uint8_t (*keystream)[MB_BLOCK_BYTES])
{
	make_keystream(keystream, runs, n);
	for (unsigned i = 0; i < n; i++) {
		const struct mb_run *r = &runs[i];

		if (r->block == 0)
			_mm256_storeu_si256(
				(__m256i *)hash_keys[r->at],
				_mm256_load_si256((const __m256i *)keystream[r->first]));
		if (has_texts)
			xor_run(r, keystream + r->first);
	}
}

void aead_mb_xor_avx512(const struct aead_job *job, uint8_t (*keystream)[MB_BLOCK_BYTES])
{
	xor_text(job, 0, job->len, keystream);
}
