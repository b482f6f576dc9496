/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What check_aead_objects.py must find, a function a leak, and what it must let pass. Compiled
 * with the flags of a multi-buffer engine's kernels; nobody calls it.
 */
#include <immintrin.h>

#include "dataplane/crypto/aead_mb.h"

#define FUNCTION(name)                                                                             \
	void name(struct mb_texts *texts, uint8_t *data, uint64_t n);                              \
	void name(struct mb_texts *texts, uint8_t *data, uint64_t n)

static inline __m256i load(const uint8_t *p)
{
	return _mm256_loadu_si256((const __m256i *)p);
}

FUNCTION(leak_branch_on_byte)
{
	if (data[0] & 1)
		texts->bytes[0] = 0;
}

/* Two pointers away, as texts are. */
FUNCTION(leak_branch_on_text)
{
	const uint8_t *p = texts->p[n];

	for (uint64_t i = 0; p[i]; i++)
		data[i] = 0;
}

FUNCTION(leak_index)
{
	static const uint8_t table[256] = {5, 3, 1};

	data[1] = table[data[0]];
}

FUNCTION(leak_store_to_secret_place)
{
	data[data[0]] = 1;
}

FUNCTION(leak_loop_count)
{
	for (uint8_t i = 0; i < data[0]; i++)
		__asm__ volatile("nop");
}

FUNCTION(leak_division)
{
	data[0] = (uint8_t)(n / (data[0] | 1u));
}

FUNCTION(leak_public_memory)
{
	texts->bytes[1] = data[0];
}

FUNCTION(leak_call)
{
	uint64_t (*volatile how)(uint64_t) = NULL;

	data[0] = (uint8_t)how(n);
}

/* In another function, which gets the secret as a number and the data as a pointer. */
static __attribute__((noinline)) uint64_t inner_branch(uint64_t x)
{
	uint64_t n = 0;

	__asm__ volatile("" : "+r"(x));
	for (; x; x >>= 1)
		n += x & 1;
	return n;
}

static __attribute__((noinline)) uint64_t inner_load(const uint8_t *p)
{
	__asm__ volatile("" : "+r"(p));
	return p[3];
}

FUNCTION(leak_in_other_function)
{
	data[1] = (uint8_t)inner_branch(data[0]);
}

FUNCTION(leak_from_other_function)
{
	if (inner_load(data))
		texts->bytes[0] = 0;
}

FUNCTION(clean_other_function)
{
	texts->bytes[0] = inner_branch(n);
	data[0] = (uint8_t)inner_load(data);
}

FUNCTION(leak_branch_on_vector)
{
	__m256i x = _mm256_xor_si256(load(data), load(data + 32));

	if (_mm256_testz_si256(x, x))
		texts->bytes[0] = 0;
}

FUNCTION(leak_branch_on_mask)
{
	__m256i x = _mm256_cmpeq_epi8(load(data), load(data + 32));

	if (_mm256_movemask_epi8(x) == -1)
		texts->bytes[0] = 0;
}

FUNCTION(leak_index_from_vector)
{
	__m256i x = _mm256_and_si256(load(data), _mm256_set1_epi32(7));

	data[_mm_cvtsi128_si32(_mm256_castsi256_si128(x))] = 1;
}

/* Through a slot of the stack, written as a vector and read as a number. */
FUNCTION(leak_through_stack)
{
	volatile uint64_t slot[4];

	_mm256_storeu_si256((__m256i *)slot, load(data));
	if (slot[2] > n)
		texts->bytes[0] = 0;
}

FUNCTION(leak_through_some_slot)
{
	volatile uint64_t slot[16];

	slot[3] = n;
	slot[n & 15] = data[0];
	if (slot[3])
		texts->bytes[0] = 0;
}

FUNCTION(leak_gather)
{
	__m256i x = _mm256_i64gather_epi64((const long long *)data, load((uint8_t *)texts), 8);

	_mm256_storeu_si256((__m256i *)data, x);
}

#ifdef MB_AVX512
FUNCTION(leak_branch_on_mask_register)
{
	__m512i x = _mm512_loadu_si512(data);

	if (_mm512_test_epi64_mask(x, x))
		texts->bytes[0] = 0;
}

FUNCTION(leak_masked_access)
{
	__m512i x = _mm512_loadu_si512(data);

	_mm512_mask_storeu_epi8(data + 64, _mm512_test_epi8_mask(x, x), x);
}
#endif

/* Lengths and pointers may go through vectors and the stack, and decide. */
FUNCTION(clean_lengths_in_vectors)
{
	__m256i x = _mm256_add_epi64(load((uint8_t *)texts->bytes), _mm256_set1_epi64x(1));

	_mm256_storeu_si256((__m256i *)texts->bytes, x);
	if (!_mm256_testz_si256(x, x))
		data[texts->bytes[n]] ^= 1;
}

FUNCTION(clean_choice)
{
	uint8_t odd = (uint8_t) - (data[0] & 1);

	data[1] = (uint8_t)((data[2] & odd) | (data[3] & ~odd));
	for (uint64_t i = 0; i < texts->bytes[0]; i++)
		data[i] ^= texts->p[0][i];
}
