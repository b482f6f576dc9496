/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439 section 2.3) for AVX-512: word i of all 16 blocks in one
 * register, so that a quarter round is the same twelve instructions for all, and a
 * transpose that lays each block's 64 bytes together.
 *
 * The rounds keep both vector ports busy, with rotations on one of them only; the
 * transpose is 64 shuffles for the other, and before and behind it the ports wait for
 * memory and plain instructions. So each group is transposed between the rounds of the next,
 * from memory, where the lanes of the one behind that are filled as well. A group
 * takes about 570 cycles so, of which the two ports are busy for 540; one after the other
 * it took 670 and, for messages of 64 bytes, 200 more to fill.
 *
 * Keys reach their lanes by masked broadcasts: branches and addresses depend on
 * lengths, counts and pointers, never on what is secret.
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

/* Words of four registers of a group are put together. */
static inline void finish_words(__m512i *rows)
{
	__m512i x0 = _mm512_load_si512(rows), x1 = _mm512_load_si512(rows + 1);
	__m512i x2 = _mm512_load_si512(rows + 2), x3 = _mm512_load_si512(rows + 3);

	transpose_words(&x0, &x1, &x2, &x3);
	_mm512_store_si512(rows, x0);
	_mm512_store_si512(rows + 1, x1);
	_mm512_store_si512(rows + 2, x2);
	_mm512_store_si512(rows + 3, x3);
}

static inline void put(uint8_t *dst, const uint8_t *src, __m512i block)
{
	_mm512_storeu_si512(dst, _mm512_xor_si512(block, _mm512_loadu_si512(src)));
}

static inline void put_masked(uint8_t *dst, const uint8_t *src, __m512i block, __mmask64 some)
{
	_mm512_mask_storeu_epi8(dst, some,
				_mm512_xor_si512(block, _mm512_maskz_loadu_epi8(some, src)));
}

static inline void put_lane(const struct mb_group *g, unsigned lane, __m512i block)
{
	__mmask64 some = ~0ull;

	if (!(g->whole >> lane & 1)) {
		if (!g->bytes[lane])
			return;
		some >>= MB_BLOCK_BYTES - g->bytes[lane];
	}
	put_masked(g->dst[lane], g->src[lane], block, some);
}

/* Puts the quarters of a lane together, of lanes i, i + 4, i + 8 and i + 12. */
static inline void finish_lanes(const struct mb_group *g, unsigned i)
{
	const __m512i *rows = (const __m512i *)g->stream + i;
	__m512i x0 = _mm512_load_si512(rows), x1 = _mm512_load_si512(rows + 4);
	__m512i x2 = _mm512_load_si512(rows + 8), x3 = _mm512_load_si512(rows + 12);
	__m512i a = _mm512_shuffle_i32x4(x0, x1, 0x44);
	__m512i b = _mm512_shuffle_i32x4(x0, x1, 0xee);
	__m512i c = _mm512_shuffle_i32x4(x2, x3, 0x44);
	__m512i d = _mm512_shuffle_i32x4(x2, x3, 0xee);

	x0 = _mm512_shuffle_i32x4(a, c, 0x88);
	x1 = _mm512_shuffle_i32x4(a, c, 0xdd);
	x2 = _mm512_shuffle_i32x4(b, d, 0x88);
	x3 = _mm512_shuffle_i32x4(b, d, 0xdd);
	if (g->whole == ALL_LANES) {
		put(g->dst[i], g->src[i], x0);
		put(g->dst[i + 4], g->src[i + 4], x1);
		put(g->dst[i + 8], g->src[i + 8], x2);
		put(g->dst[i + 12], g->src[i + 12], x3);
	} else {
		put_lane(g, i, x0);
		put_lane(g, i + 4, x1);
		put_lane(g, i + 8, x2);
		put_lane(g, i + 12, x3);
	}
}

void aead_mb_chacha_avx512(struct mb_group *g, struct mb_group *before, struct mb_group *next,
			   struct mb_feed *feed, struct aead_job *const *jobs)
{
	const __m512i zero = _mm512_setzero_si512();
	const __m512i c0 = _mm512_set1_epi32(0x61707865); /* "expand 32-byte k" */
	const __m512i c1 = _mm512_set1_epi32(0x3320646e);
	const __m512i c2 = _mm512_set1_epi32(0x79622d32);
	const __m512i c3 = _mm512_set1_epi32(0x6b206574);
	const __m512i even =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	const __m512i odd =
		_mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
	const __m512i counters0 = _mm512_loadu_si512(g->counters);
	const __m512i counters1 = _mm512_loadu_si512(g->counters + 8);
	const __m512i number = _mm512_loadu_si512(g->blocks);
	const __m512i nonce_low = _mm512_permutex2var_epi32(counters0, even, counters1);
	const __m512i nonce_high = _mm512_permutex2var_epi32(counters0, odd, counters1);
	__m512i k0 = zero, k1 = zero, k2 = zero, k3 = zero;
	__m512i k4 = zero, k5 = zero, k6 = zero, k7 = zero;
	__m512i x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15;
	__m512i *out = (__m512i *)g->stream;
	struct mb_feed f = *feed;

	/* A key goes to its first lane and all above, where the next replaces it. */
	for (unsigned i = 0; i < g->n_keys; i++) {
		__mmask16 lanes = (__mmask16)(ALL_LANES << g->first[i]);
		const uint8_t *key = g->keys[i];

		SET_WORD(k0, lanes, key, 0);
		SET_WORD(k1, lanes, key, 1);
		SET_WORD(k2, lanes, key, 2);
		SET_WORD(k3, lanes, key, 3);
		SET_WORD(k4, lanes, key, 4);
		SET_WORD(k5, lanes, key, 5);
		SET_WORD(k6, lanes, key, 6);
		SET_WORD(k7, lanes, key, 7);
	}
	x0 = c0, x1 = c1, x2 = c2, x3 = c3;
	x4 = k0, x5 = k1, x6 = k2, x7 = k3;
	x8 = k4, x9 = k5, x10 = k6, x11 = k7;
	x12 = number, x13 = zero, x14 = nonce_low, x15 = nonce_high;
	mb_feed_start(&f, next);
	DOUBLE_ROUND;
	if (before)
		finish_words((__m512i *)before->stream + 0);
	mb_feed_lane(&f, jobs, next, 0);
	mb_feed_lane(&f, jobs, next, 1);
	DOUBLE_ROUND;
	if (before)
		finish_words((__m512i *)before->stream + 4);
	mb_feed_lane(&f, jobs, next, 2);
	mb_feed_lane(&f, jobs, next, 3);
	DOUBLE_ROUND;
	if (before)
		finish_words((__m512i *)before->stream + 8);
	mb_feed_lane(&f, jobs, next, 4);
	mb_feed_lane(&f, jobs, next, 5);
	DOUBLE_ROUND;
	if (before)
		finish_words((__m512i *)before->stream + 12);
	mb_feed_lane(&f, jobs, next, 6);
	mb_feed_lane(&f, jobs, next, 7);
	DOUBLE_ROUND;
	if (before)
		finish_lanes(before, 0);
	mb_feed_lane(&f, jobs, next, 8);
	mb_feed_lane(&f, jobs, next, 9);
	DOUBLE_ROUND;
	if (before)
		finish_lanes(before, 1);
	mb_feed_lane(&f, jobs, next, 10);
	mb_feed_lane(&f, jobs, next, 11);
	DOUBLE_ROUND;
	if (before)
		finish_lanes(before, 2);
	mb_feed_lane(&f, jobs, next, 12);
	mb_feed_lane(&f, jobs, next, 13);
	DOUBLE_ROUND;
	if (before)
		finish_lanes(before, 3);
	mb_feed_lane(&f, jobs, next, 14);
	mb_feed_lane(&f, jobs, next, 15);
	DOUBLE_ROUND;
	DOUBLE_ROUND;
	mb_feed_end(&f, next);
	*feed = f;

	_mm512_store_si512(out, _mm512_add_epi32(x0, c0));
	_mm512_store_si512(out + 1, _mm512_add_epi32(x1, c1));
	_mm512_store_si512(out + 2, _mm512_add_epi32(x2, c2));
	_mm512_store_si512(out + 3, _mm512_add_epi32(x3, c3));
	_mm512_store_si512(out + 4, _mm512_add_epi32(x4, k0));
	_mm512_store_si512(out + 5, _mm512_add_epi32(x5, k1));
	_mm512_store_si512(out + 6, _mm512_add_epi32(x6, k2));
	_mm512_store_si512(out + 7, _mm512_add_epi32(x7, k3));
	_mm512_store_si512(out + 8, _mm512_add_epi32(x8, k4));
	_mm512_store_si512(out + 9, _mm512_add_epi32(x9, k5));
	_mm512_store_si512(out + 10, _mm512_add_epi32(x10, k6));
	_mm512_store_si512(out + 11, _mm512_add_epi32(x11, k7));
	_mm512_store_si512(out + 12, _mm512_add_epi32(x12, number));
	_mm512_store_si512(out + 13, x13);
	_mm512_store_si512(out + 14, _mm512_add_epi32(x14, nonce_low));
	_mm512_store_si512(out + 15, _mm512_add_epi32(x15, nonce_high));
}

void aead_mb_finish_avx512(struct mb_group *g)
{
	for (unsigned i = 0; i < 4; i++)
		finish_words((__m512i *)g->stream + 4 * i);
	for (unsigned i = 0; i < 4; i++)
		finish_lanes(g, i);
}

const uint8_t *aead_mb_xor_avx512(struct aead_job *const *jobs, unsigned n,
				  const uint8_t *keystream)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *src = jobs[i]->src;
		uint8_t *dst = jobs[i]->dst;
		uint32_t len = jobs[i]->len, at = 0;

		if (jobs[i]->ok) {
			for (; len - at >= MB_BLOCK_BYTES; at += MB_BLOCK_BYTES)
				put(dst + at, src + at, _mm512_load_si512(keystream + at));
			if (at < len)
				put_masked(dst + at, src + at, _mm512_load_si512(keystream + at),
					   ~0ull >> (MB_BLOCK_BYTES - (len - at)));
		}
		keystream += (len + MB_BLOCK_BYTES - 1) / MB_BLOCK_BYTES * MB_BLOCK_BYTES;
	}
	return keystream;
}
