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

#define ROUND_PAIRS 10
#define ALL_LANES   0xffffu

/* A step of four quarter rounds beside each other: a += b, d = (d ^ a) <<< turn. */
#define STEP(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, turn)                                 \
	do {                                                                                       \
		x[a0] = _mm512_add_epi32(x[a0], x[b0]);                                            \
		x[a1] = _mm512_add_epi32(x[a1], x[b1]);                                            \
		x[a2] = _mm512_add_epi32(x[a2], x[b2]);                                            \
		x[a3] = _mm512_add_epi32(x[a3], x[b3]);                                            \
		x[d0] = _mm512_rol_epi32(_mm512_xor_si512(x[d0], x[a0]), turn);                    \
		x[d1] = _mm512_rol_epi32(_mm512_xor_si512(x[d1], x[a1]), turn);                    \
		x[d2] = _mm512_rol_epi32(_mm512_xor_si512(x[d2], x[a2]), turn);                    \
		x[d3] = _mm512_rol_epi32(_mm512_xor_si512(x[d3], x[a3]), turn);                    \
	} while (0)

#define COLUMN_ROUND                                                                               \
	do {                                                                                       \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16);                                  \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 12);                                \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 8);                                   \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 7);                                 \
	} while (0)

#define DIAGONAL_ROUND                                                                             \
	do {                                                                                       \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, 16);                                  \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, 12);                                \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, 8);                                   \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, 7);                                 \
	} while (0)

/* state[i] in the lanes of mask = a 32-bit word of the key. */
#define KEY_WORD(i)                                                                                \
	(state[4 + (i)] = _mm512_mask_broadcastd_epi32(state[4 + (i)], lanes,                      \
						       _mm_loadu_si32(key + 4 * (i))))

static inline void set_key(__m512i state[16], __mmask16 lanes, const uint8_t *key)
{
	KEY_WORD(0);
	KEY_WORD(1);
	KEY_WORD(2);
	KEY_WORD(3);
	KEY_WORD(4);
	KEY_WORD(5);
	KEY_WORD(6);
	KEY_WORD(7);
}

/* A run's values go to its first lane and all above, where the next run's replace them. */
static inline void set_state(__m512i state[16], const struct mb_run *runs, unsigned n)
{
	const __m512i lane =
		_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const uint8_t *key = NULL;

	state[0] = _mm512_set1_epi32(0x61707865); /* "expand 32-byte k" */
	state[1] = _mm512_set1_epi32(0x3320646e);
	state[2] = _mm512_set1_epi32(0x79622d32);
	state[3] = _mm512_set1_epi32(0x6b206574);
	state[4] = state[5] = state[6] = state[7] = _mm512_setzero_si512();
	state[8] = state[9] = state[10] = state[11] = _mm512_setzero_si512();
	state[12] = state[13] = state[14] = state[15] = _mm512_setzero_si512();
	for (unsigned i = 0; i < n; i++) {
		const struct mb_run *r = &runs[i];
		__mmask16 lanes = (__mmask16)(ALL_LANES << r->first);

		if (r->key != key)
			set_key(state, lanes, r->key);
		key = r->key;
		state[12] = _mm512_mask_add_epi32(state[12], lanes, lane,
						  _mm512_set1_epi32((int)(r->block - r->first)));
		state[14] = _mm512_mask_set1_epi32(state[14], lanes, (int)(uint32_t)r->nonce);
		state[15] = _mm512_mask_set1_epi32(state[15], lanes, (int)(r->nonce >> 32));
	}
}

/* Four words of each lane: of lanes k, k+4, k+8, k+12 in x[k], one after the other. */
static inline void transpose_words(__m512i *x)
{
	__m512i a0 = _mm512_unpacklo_epi32(x[0], x[1]);
	__m512i a1 = _mm512_unpackhi_epi32(x[0], x[1]);
	__m512i a2 = _mm512_unpacklo_epi32(x[2], x[3]);
	__m512i a3 = _mm512_unpackhi_epi32(x[2], x[3]);

	x[0] = _mm512_unpacklo_epi64(a0, a2);
	x[1] = _mm512_unpackhi_epi64(a0, a2);
	x[2] = _mm512_unpacklo_epi64(a1, a3);
	x[3] = _mm512_unpackhi_epi64(a1, a3);
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

static inline void make_keystream(uint8_t keystream[MB_LANES][MB_BLOCK_BYTES],
				  const struct mb_run *runs, unsigned n)
{
	__m512i state[16], x[16];

	set_state(state, runs, n);
	for (unsigned i = 0; i < 16; i++)
		x[i] = state[i];
	for (unsigned i = 0; i < ROUND_PAIRS; i++) {
		COLUMN_ROUND;
		DIAGONAL_ROUND;
	}
	for (unsigned i = 0; i < 16; i++)
		x[i] = _mm512_add_epi32(x[i], state[i]);
	transpose_words(x);
	transpose_words(x + 4);
	transpose_words(x + 8);
	transpose_words(x + 12);
	store_lanes(keystream, x[0], x[4], x[8], x[12]);
	store_lanes(keystream + 1, x[1], x[5], x[9], x[13]);
	store_lanes(keystream + 2, x[2], x[6], x[10], x[14]);
	store_lanes(keystream + 3, x[3], x[7], x[11], x[15]);
}

static inline void xor_run(const struct mb_run *r, uint8_t (*block)[MB_BLOCK_BYTES])
{
	uint32_t done = 0;

	if (r->block == 0) {
		_mm256_storeu_si256((__m256i *)r->hash_key,
				    _mm256_load_si256((const __m256i *)*block));
		block++;
	}
	for (; r->bytes - done >= MB_BLOCK_BYTES; done += MB_BLOCK_BYTES, block++)
		_mm512_storeu_si512(r->dst + done,
				    _mm512_xor_si512(_mm512_load_si512(*block),
						     _mm512_loadu_si512(r->src + done)));
	if (done < r->bytes) {
		__mmask64 tail = ~0ull >> (MB_BLOCK_BYTES - (r->bytes - done));

		_mm512_mask_storeu_epi8(
			r->dst + done, tail,
			_mm512_xor_si512(_mm512_load_si512(*block),
					 _mm512_maskz_loadu_epi8(tail, r->src + done)));
	}
}

void aead_mb_chacha_avx512(const struct mb_run *runs, unsigned n,
			   uint8_t keystream[MB_LANES][MB_BLOCK_BYTES])
{
	make_keystream(keystream, runs, n);
	for (unsigned i = 0; i < n; i++)
		xor_run(&runs[i], keystream + runs[i].first);
}
