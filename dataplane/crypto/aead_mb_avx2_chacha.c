/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ChaCha20 (RFC 8439 section 2.3) for AVX2: word i of all eight blocks in one register,
 * and a transpose at the end that lays each block's 64 bytes together.
 *
 * Where all lanes have one key its words are broadcast, else the keys are loaded whole,
 * a lane each, and transposed. Branches and addresses depend on lengths, counts and
 * pointers, never on what is secret.
 */
#include <immintrin.h>
#include <stdbool.h>

#include "dataplane/crypto/aead_mb.h"

/* A rotation by whole bytes is one shuffle, any other takes three instructions. */
#define TURN16                                                                                     \
	_mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7,   \
			 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define TURN8                                                                                      \
	_mm256_setr_epi8(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14, 3, 0, 1, 2, 7, 4,   \
			 5, 6, 11, 8, 9, 10, 15, 12, 13, 14)

#define TURN_BYTES(x, how) (x = _mm256_shuffle_epi8(x, how))
#define TURN_BITS(x, n)                                                                            \
	(x = _mm256_or_si256(_mm256_slli_epi32(x, n), _mm256_srli_epi32(x, 32 - (n))))

/*
 * A step of four quarter rounds beside each other: a += b, d = (d ^ a) <<< turn. The
 * words are variables and not an array: gcc would keep the array in memory.
 */
#define STEP(a0, a1, a2, a3, b0, b1, b2, b3, d0, d1, d2, d3, turn, how)                            \
	do {                                                                                       \
		x##a0 = _mm256_add_epi32(x##a0, x##b0);                                            \
		x##a1 = _mm256_add_epi32(x##a1, x##b1);                                            \
		x##a2 = _mm256_add_epi32(x##a2, x##b2);                                            \
		x##a3 = _mm256_add_epi32(x##a3, x##b3);                                            \
		x##d0 = _mm256_xor_si256(x##d0, x##a0);                                            \
		x##d1 = _mm256_xor_si256(x##d1, x##a1);                                            \
		x##d2 = _mm256_xor_si256(x##d2, x##a2);                                            \
		x##d3 = _mm256_xor_si256(x##d3, x##a3);                                            \
		turn(x##d0, how);                                                                  \
		turn(x##d1, how);                                                                  \
		turn(x##d2, how);                                                                  \
		turn(x##d3, how);                                                                  \
	} while (0)

/*
 * A rotation by bits needs a register beside the 16 words. Where x0 rests it is put away:
 * left to itself the compiler puts away what the next instruction waits for.
 */
#define PARK                                                                                       \
	do {                                                                                       \
		parked = x0;                                                                       \
		__asm__("" : "+m"(parked));                                                        \
	} while (0)

#define DOUBLE_ROUND                                                                               \
	do {                                                                                       \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, TURN_BYTES, TURN16);                  \
		PARK;                                                                              \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, TURN_BITS, 12);                     \
		x0 = parked;                                                                       \
		STEP(0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, TURN_BYTES, TURN8);                   \
		PARK;                                                                              \
		STEP(8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, TURN_BITS, 7);                      \
		x0 = parked;                                                                       \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, TURN_BYTES, TURN16);                  \
		PARK;                                                                              \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, TURN_BITS, 12);                     \
		x0 = parked;                                                                       \
		STEP(0, 1, 2, 3, 5, 6, 7, 4, 15, 12, 13, 14, TURN_BYTES, TURN8);                   \
		PARK;                                                                              \
		STEP(10, 11, 8, 9, 15, 12, 13, 14, 5, 6, 7, 4, TURN_BITS, 7);                      \
		x0 = parked;                                                                       \
	} while (0)

/* Eight words of eight lanes. */
struct words {
	__m256i w0, w1, w2, w3, w4, w5, w6, w7;
};

/* What the lanes begin with, but for the constant. */
struct start {
	struct words key;
	__m256i number, nonce_low, nonce_high;
};

static inline __m256i broadcast_word(const void *p)
{
	return _mm256_broadcastd_epi32(_mm_loadu_si32(p));
}

/* Gathers four words of each lane: of lanes 0 and 4 in x0, of 1 and 5 in x1, .. */
static inline void transpose_quad(__m256i *x0, __m256i *x1, __m256i *x2, __m256i *x3)
{
	__m256i a = _mm256_unpacklo_epi32(*x0, *x1);
	__m256i b = _mm256_unpackhi_epi32(*x0, *x1);
	__m256i c = _mm256_unpacklo_epi32(*x2, *x3);
	__m256i d = _mm256_unpackhi_epi32(*x2, *x3);

	*x0 = _mm256_unpacklo_epi64(a, c);
	*x1 = _mm256_unpackhi_epi64(a, c);
	*x2 = _mm256_unpacklo_epi64(b, d);
	*x3 = _mm256_unpackhi_epi64(b, d);
}

/* Words of lanes from lanes of words, and back. */
static inline struct words transpose(struct words x)
{
	transpose_quad(&x.w0, &x.w1, &x.w2, &x.w3);
	transpose_quad(&x.w4, &x.w5, &x.w6, &x.w7);
	return (struct words){
		_mm256_permute2x128_si256(x.w0, x.w4, 0x20),
		_mm256_permute2x128_si256(x.w1, x.w5, 0x20),
		_mm256_permute2x128_si256(x.w2, x.w6, 0x20),
		_mm256_permute2x128_si256(x.w3, x.w7, 0x20),
		_mm256_permute2x128_si256(x.w0, x.w4, 0x31),
		_mm256_permute2x128_si256(x.w1, x.w5, 0x31),
		_mm256_permute2x128_si256(x.w2, x.w6, 0x31),
		_mm256_permute2x128_si256(x.w3, x.w7, 0x31),
	};
}

/* Half of each block: its first words, or with out moved by 32 bytes its last. */
static inline void store_half(uint8_t *out, struct words x)
{
	x = transpose(x);
	_mm256_store_si256((__m256i *)out, x.w0);
	_mm256_store_si256((__m256i *)(out + 1 * MB_BLOCK_BYTES), x.w1);
	_mm256_store_si256((__m256i *)(out + 2 * MB_BLOCK_BYTES), x.w2);
	_mm256_store_si256((__m256i *)(out + 3 * MB_BLOCK_BYTES), x.w3);
	_mm256_store_si256((__m256i *)(out + 4 * MB_BLOCK_BYTES), x.w4);
	_mm256_store_si256((__m256i *)(out + 5 * MB_BLOCK_BYTES), x.w5);
	_mm256_store_si256((__m256i *)(out + 6 * MB_BLOCK_BYTES), x.w6);
	_mm256_store_si256((__m256i *)(out + 7 * MB_BLOCK_BYTES), x.w7);
}

static inline struct words one_key(const uint8_t *key)
{
	return (struct words){
		broadcast_word(key),	  broadcast_word(key + 4),  broadcast_word(key + 8),
		broadcast_word(key + 12), broadcast_word(key + 16), broadcast_word(key + 20),
		broadcast_word(key + 24), broadcast_word(key + 28),
	};
}

/* The key of the next lane, which is that of the last one or the one behind. */
static inline __m256i next_key(const struct mb_group *g, unsigned *k, unsigned lane)
{
	if (*k + 1 < g->n_keys && g->first[*k + 1] <= lane)
		++*k;
	return _mm256_loadu_si256((const __m256i *)g->keys[*k]);
}

static inline struct words many_keys(const struct mb_group *g)
{
	unsigned i = 0;
	struct words k;

	k.w0 = next_key(g, &i, 0);
	k.w1 = next_key(g, &i, 1);
	k.w2 = next_key(g, &i, 2);
	k.w3 = next_key(g, &i, 3);
	k.w4 = next_key(g, &i, 4);
	k.w5 = next_key(g, &i, 5);
	k.w6 = next_key(g, &i, 6);
	k.w7 = next_key(g, &i, 7);
	return transpose(k);
}

static inline struct start start_of(const struct mb_group *g)
{
	/* Lower words of four counters, and behind them their upper ones. */
	const __m256i halves = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
	__m256i a = _mm256_loadu_si256((const __m256i *)g->counters);
	__m256i b = _mm256_loadu_si256((const __m256i *)(g->counters + MB_LANES / 2));

	a = _mm256_permutevar8x32_epi32(a, halves);
	b = _mm256_permutevar8x32_epi32(b, halves);
	return (struct start){
		.key = g->n_keys == 1 ? one_key(g->keys[0]) : many_keys(g),
		.number = _mm256_loadu_si256((const __m256i *)g->blocks),
		.nonce_low = _mm256_permute2x128_si256(a, b, 0x20),
		.nonce_high = _mm256_permute2x128_si256(a, b, 0x31),
	};
}

static inline __attribute__((always_inline)) void make_keystream(const struct mb_group *g)
{
	const __m256i c0 = _mm256_set1_epi32(0x61707865); /* "expand 32-byte k" */
	const __m256i c1 = _mm256_set1_epi32(0x3320646e);
	const __m256i c2 = _mm256_set1_epi32(0x79622d32);
	const __m256i c3 = _mm256_set1_epi32(0x6b206574);
	const struct start s = start_of(g);
	__m256i x0 = c0, x1 = c1, x2 = c2, x3 = c3;
	__m256i x4 = s.key.w0, x5 = s.key.w1, x6 = s.key.w2, x7 = s.key.w3;
	__m256i x8 = s.key.w4, x9 = s.key.w5, x10 = s.key.w6, x11 = s.key.w7;
	__m256i x12 = s.number, x13 = _mm256_setzero_si256();
	__m256i x14 = s.nonce_low, x15 = s.nonce_high;
	__m256i parked;

	/* Written out: for a loop gcc stores 15 registers a turn. */
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
	store_half(g->stream,
		   (struct words){_mm256_add_epi32(x0, c0), _mm256_add_epi32(x1, c1),
				  _mm256_add_epi32(x2, c2), _mm256_add_epi32(x3, c3),
				  _mm256_add_epi32(x4, s.key.w0), _mm256_add_epi32(x5, s.key.w1),
				  _mm256_add_epi32(x6, s.key.w2), _mm256_add_epi32(x7, s.key.w3)});
	store_half(g->stream + MB_BLOCK_BYTES / 2,
		   (struct words){_mm256_add_epi32(x8, s.key.w4), _mm256_add_epi32(x9, s.key.w5),
				  _mm256_add_epi32(x10, s.key.w6), _mm256_add_epi32(x11, s.key.w7),
				  _mm256_add_epi32(x12, s.number), x13,
				  _mm256_add_epi32(x14, s.nonce_low),
				  _mm256_add_epi32(x15, s.nonce_high)});
}

static inline void xor32(uint8_t *dst, const uint8_t *src, const uint8_t *stream)
{
	_mm256_storeu_si256((__m256i *)dst,
			    _mm256_xor_si256(_mm256_load_si256((const __m256i *)stream),
					     _mm256_loadu_si256((const __m256i *)src)));
}

/* Fewer bytes than a block has, and no byte beside them touched. */
static inline void xor_tail(uint8_t *dst, const uint8_t *src, const uint8_t *stream, uint32_t n)
{
#define XOR_SOME(type)                                                                             \
	do {                                                                                       \
		type a, b;                                                                         \
                                                                                                   \
		__builtin_memcpy(&a, src, sizeof(a));                                              \
		__builtin_memcpy(&b, stream, sizeof(b));                                           \
		a = (type)(a ^ b);                                                                 \
		__builtin_memcpy(dst, &a, sizeof(a));                                              \
		src += sizeof(a);                                                                  \
		dst += sizeof(a);                                                                  \
		stream += sizeof(a);                                                               \
	} while (0)
	if (n & 32) {
		xor32(dst, src, stream);
		src += 32;
		dst += 32;
		stream += 32;
	}
	if (n & 16) {
		_mm_storeu_si128((__m128i *)dst,
				 _mm_xor_si128(_mm_load_si128((const __m128i *)stream),
					       _mm_loadu_si128((const __m128i *)src)));
		src += 16;
		dst += 16;
		stream += 16;
	}
	if (n & 8)
		XOR_SOME(uint64_t);
	if (n & 4)
		XOR_SOME(uint32_t);
	if (n & 2)
		XOR_SOME(uint16_t);
	if (n & 1)
		XOR_SOME(uint8_t);
#undef XOR_SOME
}

static inline void xor_block(uint8_t *dst, const uint8_t *src, const uint8_t *stream, uint32_t n)
{
	if (n < MB_BLOCK_BYTES) {
		xor_tail(dst, src, stream, n);
		return;
	}
	xor32(dst, src, stream);
	xor32(dst + 32, src + 32, stream + 32);
}

static inline void finish(const struct mb_group *g)
{
	for (unsigned i = 0; i < MB_LANES; i++) {
		bool is_whole = g->whole >> i & 1;

		if (is_whole || g->bytes[i])
			xor_block(g->dst[i], g->src[i], g->stream + i * MB_BLOCK_BYTES,
				  is_whole ? MB_BLOCK_BYTES : g->bytes[i]);
	}
}

void aead_mb_finish_avx2(struct mb_group *g)
{
	finish(g);
}

static inline void store64(void *p, __m256i low, __m256i high)
{
	_mm256_storeu_si256((__m256i *)p, low);
	_mm256_storeu_si256((__m256i *)p + 1, high);
}

/* Places of eight blocks, one behind the other. */
static inline void store_places(void *p, const uint8_t *first)
{
	const __m256i lane =
		_mm256_setr_epi64x(0, MB_BLOCK_BYTES, 2 * MB_BLOCK_BYTES, 3 * MB_BLOCK_BYTES);
	__m256i low = _mm256_add_epi64(_mm256_set1_epi64x((long long)first), lane);

	store64(p, low, _mm256_add_epi64(low, _mm256_set1_epi64x(4 * MB_BLOCK_BYTES)));
}

/* All lanes from one long message. */
static inline void fill_long(struct mb_feed *f, struct mb_group *g)
{
	const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i counter = _mm256_set1_epi64x((long long)f->counter);

	store64(g->counters, counter, counter);
	_mm256_storeu_si256((__m256i *)g->blocks,
			    _mm256_add_epi32(_mm256_set1_epi32((int)f->block), lane));
	store_places(g->src, f->src);
	store_places(g->dst, f->dst);
	g->whole = (1u << MB_LANES) - 1;
	f->block += MB_LANES;
	f->src += MB_LANES * MB_BLOCK_BYTES;
	f->dst += MB_LANES * MB_BLOCK_BYTES;
	f->left -= MB_LANES * MB_BLOCK_BYTES;
}

static inline void fill(struct mb_feed *f, struct aead_job *const *jobs, struct mb_group *g)
{
	mb_feed_start(f, g);
	if (f->left >= MB_LANES * MB_BLOCK_BYTES && !f->keystream)
		fill_long(f, g);
	else
		for (unsigned i = 0; i < MB_LANES; i++)
			mb_feed_lane(f, jobs, g, i);
	mb_feed_end(f, g);
}

/* One after the other: there are no registers for more than one. */
void aead_mb_chacha_avx2(struct mb_group *g, struct mb_group *before, struct mb_group *next,
			 struct mb_feed *feed, struct aead_job *const *jobs)
{
	struct mb_feed f = *feed;

	if (before)
		finish(before);
	fill(&f, jobs, next);
	*feed = f;
	make_keystream(g);
}

const uint8_t *aead_mb_xor_avx2(struct aead_job *const *jobs, unsigned n, const uint8_t *keystream)
{
	for (unsigned i = 0; i < n; i++) {
		const struct aead_job *j = jobs[i];

		for (uint32_t at = 0; at < j->len; at += MB_BLOCK_BYTES) {
			uint32_t left = j->len - at;

			if (j->ok)
				xor_block(j->dst + at, j->src + at, keystream,
					  left < MB_BLOCK_BYTES ? left : MB_BLOCK_BYTES);
			keystream += MB_BLOCK_BYTES;
		}
	}
	return keystream;
}
