/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AVX-512 intrinsics that dataplane/crypto/aead_mb_*.c use, in plain C. Found in
 * place of the compiler's header, it lets the same sources run where no AVX-512 is:
 * on other CPUs, and under Valgrind, which knows none of it. Names and meaning are
 * Intel's. No intrinsic here branches on a value, so a branch that Valgrind reports
 * is the source's own.
 */
#ifndef TESTS_UNIT_PLAIN512_IMMINTRIN_H
#define TESTS_UNIT_PLAIN512_IMMINTRIN_H

#include <stdint.h>
#include <string.h>

typedef union {
	uint64_t q[8];
	uint32_t d[16];
	uint8_t b[64];
} __m512i;

typedef struct {
	uint8_t b[32];
} __m256i;

typedef struct {
	uint32_t d;
} __m128i;

typedef uint8_t __mmask8;
typedef uint16_t __mmask16;
typedef uint64_t __mmask64;

#define PLAIN static inline __attribute__((unused))

#define EACH(n)	  for (unsigned i = 0; i < (n); i++)
#define BIT(k, i) ((k) >> (i)&1)
/* All ones where the mask has a one. */
#define ONES64(k, i) (-(uint64_t)BIT(k, i))
#define ONES32(k, i) (-(uint32_t)BIT(k, i))

#define LANEWISE(name, lanes, field, expression)                                                   \
	PLAIN __m512i name(__m512i x, __m512i y)                                                   \
	{                                                                                          \
		__m512i out;                                                                       \
                                                                                                   \
		EACH(lanes)                                                                        \
		out.field[i] = expression;                                                         \
		return out;                                                                        \
	}

LANEWISE(_mm512_add_epi32, 16, d, x.d[i] + y.d[i])
LANEWISE(_mm512_add_epi64, 8, q, x.q[i] + y.q[i])
LANEWISE(_mm512_sub_epi64, 8, q, x.q[i] - y.q[i])
LANEWISE(_mm512_and_si512, 8, q, x.q[i] & y.q[i])
LANEWISE(_mm512_or_si512, 8, q, x.q[i] | y.q[i])
LANEWISE(_mm512_xor_si512, 8, q, x.q[i] ^ y.q[i])
/* Inside each quarter of a vector: its lower or upper half of x and y in turn. */
LANEWISE(_mm512_unpacklo_epi32, 16, d, (i & 1 ? y : x).d[i / 4 * 4 + i % 4 / 2])
LANEWISE(_mm512_unpackhi_epi32, 16, d, (i & 1 ? y : x).d[i / 4 * 4 + i % 4 / 2 + 2])
LANEWISE(_mm512_unpacklo_epi64, 8, q, (i & 1 ? y : x).q[i / 2 * 2])
LANEWISE(_mm512_unpackhi_epi64, 8, q, (i & 1 ? y : x).q[i / 2 * 2 + 1])

#define COMPARE(name, expression)                                                                  \
	PLAIN __mmask8 name(__m512i x, __m512i y)                                                  \
	{                                                                                          \
		unsigned k = 0;                                                                    \
                                                                                                   \
		EACH(8)                                                                            \
		k |= (unsigned)(expression) << i;                                                  \
		return (__mmask8)k;                                                                \
	}

COMPARE(_mm512_cmpge_epu64_mask, x.q[i] >= y.q[i])
COMPARE(_mm512_cmpgt_epu64_mask, x.q[i] > y.q[i])
COMPARE(_mm512_cmple_epu64_mask, x.q[i] <= y.q[i])
COMPARE(_mm512_cmplt_epu64_mask, x.q[i] < y.q[i])
COMPARE(_mm512_test_epi64_mask, (x.q[i] & y.q[i]) != 0)

PLAIN __m512i _mm512_setzero_si512(void)
{
	return (__m512i){.q = {0}};
}

PLAIN __m512i _mm512_set1_epi32(int x)
{
	__m512i out;

	EACH(16)
	out.d[i] = (uint32_t)x;
	return out;
}

PLAIN __m512i _mm512_set1_epi64(long long x)
{
	__m512i out;

	EACH(8)
	out.q[i] = (uint64_t)x;
	return out;
}

PLAIN __m512i _mm512_maskz_set1_epi64(__mmask8 k, long long x)
{
	__m512i out;

	EACH(8)
	out.q[i] = (uint64_t)x & ONES64(k, i);
	return out;
}

#define _mm512_setr_epi32(...) ((__m512i){.d = {__VA_ARGS__}})
#define _mm512_setr_epi64(...) ((__m512i){.q = {__VA_ARGS__}})

PLAIN __m512i _mm512_rol_epi32(__m512i x, int n)
{
	EACH(16)
	x.d[i] = x.d[i] << n | x.d[i] >> (32 - n);
	return x;
}

PLAIN __m512i _mm512_slli_epi64(__m512i x, unsigned n)
{
	EACH(8)
	x.q[i] <<= n;
	return x;
}

PLAIN __m512i _mm512_srli_epi64(__m512i x, unsigned n)
{
	EACH(8)
	x.q[i] >>= n;
	return x;
}

PLAIN unsigned __int128 plain_product52(uint64_t x, uint64_t y)
{
	const uint64_t low52 = (1ull << 52) - 1;

	return (unsigned __int128)(x & low52) * (y & low52);
}

PLAIN __m512i _mm512_madd52lo_epu64(__m512i sum, __m512i x, __m512i y)
{
	EACH(8)
	sum.q[i] += (uint64_t)plain_product52(x.q[i], y.q[i]) & ((1ull << 52) - 1);
	return sum;
}

PLAIN __m512i _mm512_madd52hi_epu64(__m512i sum, __m512i x, __m512i y)
{
	EACH(8)
	sum.q[i] += (uint64_t)(plain_product52(x.q[i], y.q[i]) >> 52);
	return sum;
}

PLAIN __m512i _mm512_mask_mov_epi64(__m512i old, __mmask8 k, __m512i x)
{
	EACH(8)
	old.q[i] = (old.q[i] & ~ONES64(k, i)) | (x.q[i] & ONES64(k, i));
	return old;
}

PLAIN __m512i plain_mask_mov_epi32(__m512i old, __mmask16 k, __m512i x)
{
	EACH(16)
	old.d[i] = (old.d[i] & ~ONES32(k, i)) | (x.d[i] & ONES32(k, i));
	return old;
}

PLAIN __m512i _mm512_mask_add_epi64(__m512i old, __mmask8 k, __m512i x, __m512i y)
{
	return _mm512_mask_mov_epi64(old, k, _mm512_add_epi64(x, y));
}

PLAIN __m512i _mm512_mask_add_epi32(__m512i old, __mmask16 k, __m512i x, __m512i y)
{
	return plain_mask_mov_epi32(old, k, _mm512_add_epi32(x, y));
}

PLAIN __m512i _mm512_mask_broadcastd_epi32(__m512i old, __mmask16 k, __m128i x)
{
	return plain_mask_mov_epi32(old, k, _mm512_set1_epi32((int)x.d));
}

/* Four quarters: two of x, then two of y. */
PLAIN __m512i _mm512_shuffle_i64x2(__m512i x, __m512i y, int which)
{
	__m512i out;

	EACH(8)
	out.q[i] = (i < 4 ? x : y).q[(which >> (i / 2 * 2) & 3) * 2 + i % 2];
	return out;
}

#define _mm512_shuffle_i32x4 _mm512_shuffle_i64x2

PLAIN __m512i _mm512_permutex2var_epi64(__m512i x, __m512i index, __m512i y)
{
	__m512i out;

	EACH(8)
	out.q[i] = (index.q[i] & 8 ? y : x).q[index.q[i] & 7];
	return out;
}

PLAIN __m512i _mm512_permutex2var_epi32(__m512i x, __m512i index, __m512i y)
{
	__m512i out;

	EACH(16)
	out.d[i] = (index.d[i] & 16 ? y : x).d[index.d[i] & 15];
	return out;
}

PLAIN __m128i _mm_loadu_si32(const void *p)
{
	__m128i out;

	memcpy(&out, p, 4);
	return out;
}

PLAIN __m256i _mm256_loadu_si256(const __m256i *p)
{
	__m256i out;

	memcpy(&out, p, sizeof(out));
	return out;
}

#define _mm256_load_si256 _mm256_loadu_si256

PLAIN void _mm256_storeu_si256(__m256i *p, __m256i x)
{
	memcpy(p, &x, sizeof(x));
}

PLAIN __m512i _mm512_zextsi256_si512(__m256i x)
{
	__m512i out = {.q = {0}};

	memcpy(&out, &x, sizeof(x));
	return out;
}

PLAIN __m512i _mm512_loadu_si512(const void *p)
{
	__m512i out;

	memcpy(&out, p, sizeof(out));
	return out;
}

#define _mm512_load_si512 _mm512_loadu_si512

PLAIN void _mm512_storeu_si512(void *p, __m512i x)
{
	memcpy(p, &x, sizeof(x));
}

#define _mm512_store_si512 _mm512_storeu_si512

PLAIN __m512i _mm512_mask_loadu_epi64(__m512i old, __mmask8 k, const void *p)
{
	return _mm512_mask_mov_epi64(old, k, _mm512_loadu_si512(p));
}

/* Masks of bytes come from lengths; what they leave out is not touched. */
PLAIN __m512i _mm512_maskz_loadu_epi8(__mmask64 k, const void *p)
{
	__m512i out = {.q = {0}};

	EACH(64)
	if (BIT(k, i))
		out.b[i] = ((const uint8_t *)p)[i];
	return out;
}

PLAIN void _mm512_mask_storeu_epi8(void *p, __mmask64 k, __m512i x)
{
	EACH(64)
	if (BIT(k, i))
		((uint8_t *)p)[i] = x.b[i];
}

#undef LANEWISE
#undef COMPARE
#undef EACH
#undef BIT
#undef ONES32
#undef ONES64
#undef PLAIN

#endif
