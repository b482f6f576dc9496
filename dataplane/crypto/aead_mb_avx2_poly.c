/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poly1305 (RFC 8439 section 2.5) of four messages side by side for AVX2. Numbers below
 * 2^130 are five limbs of 26 bits, a message a lane, so that a product of two limbs is
 * one multiplication of 32 by 32 bits.
 *
 * The sum is h = ((h + m0) r + m1) r + ..; a chunk of four blocks is taken in one
 * step, h = (h + m0) r^4 + m1 r^3 + m2 r^2 + m3 r, which carries once instead of four
 * times; where messages are too short to be worth r^3 and r^4, in two steps of two.
 * Messages run out at different times: one with less than a chunk left keeps its h
 * while the others go on, and reads what another reads. Then what is left of all is
 * taken block by block under masks, and last the block with the length.
 *
 * Sizes: limbs after reduce() are below 2^26 + 2^10, h + m below 2^27 + 2^10, 5 r
 * below 2^29. A step sums 20 products at most, 15 below 2^55 and 5 below 2^56: below 2^60.
 */
#include <immintrin.h>

#include "dataplane/crypto/aead_mb.h"

#define CHUNK_BYTES 64
#define BLOCK_BYTES 16
/* Chunks of the longest message from which on r^3 and r^4 are worth their making. */
#define FOUR_POWERS_CHUNKS 6

#define MASK26 _mm256_set1_epi64x((1ll << 26) - 1)
/* The bit behind a whole block, 2^128, in the fifth limb. */
#define HIGH_BIT _mm256_set1_epi64x(1ll << 24)

struct limbs {
	__m256i l0, l1, l2, l3, l4;
};

/* A factor, with 5 times its upper limbs: 2^130 = 5 (mod 2^130 - 5). */
struct factor {
	__m256i r0, r1, r2, r3, r4, s1, s2, s3, s4;
};

/* Four numbers of 128 bits. */
struct wide {
	__m256i lo, hi;
};

/* Ones in the first n lanes from 4 - n on. */
static const uint64_t lane_masks[2 * MB_HASHES] = {~0ull, ~0ull, ~0ull, ~0ull, 0, 0, 0, 0};

static inline __m256i first_lanes(unsigned n)
{
	return _mm256_loadu_si256((const __m256i *)(lane_masks + MB_HASHES - n));
}

static inline __m256i times_five(__m256i x)
{
	return _mm256_add_epi64(x, _mm256_slli_epi64(x, 2));
}

static inline void set_factor(struct factor *f, struct limbs r)
{
	f->r0 = r.l0;
	f->r1 = r.l1;
	f->r2 = r.l2;
	f->r3 = r.l3;
	f->r4 = r.l4;
	f->s1 = times_five(r.l1);
	f->s2 = times_five(r.l2);
	f->s3 = times_five(r.l3);
	f->s4 = times_five(r.l4);
}

static inline struct limbs limbs_of(struct wide w)
{
	return (struct limbs){
		.l0 = _mm256_and_si256(w.lo, MASK26),
		.l1 = _mm256_and_si256(_mm256_srli_epi64(w.lo, 26), MASK26),
		.l2 = _mm256_and_si256(
			_mm256_or_si256(_mm256_srli_epi64(w.lo, 52), _mm256_slli_epi64(w.hi, 12)),
			MASK26),
		.l3 = _mm256_and_si256(_mm256_srli_epi64(w.hi, 14), MASK26),
		.l4 = _mm256_srli_epi64(w.hi, 40),
	};
}

static inline struct limbs whole_block(struct wide w)
{
	struct limbs m = limbs_of(w);

	m.l4 = _mm256_or_si256(m.l4, HIGH_BIT);
	return m;
}

static inline struct limbs add(struct limbs a, struct limbs b)
{
	return (struct limbs){
		_mm256_add_epi64(a.l0, b.l0), _mm256_add_epi64(a.l1, b.l1),
		_mm256_add_epi64(a.l2, b.l2), _mm256_add_epi64(a.l3, b.l3),
		_mm256_add_epi64(a.l4, b.l4),
	};
}

static inline struct limbs pick(struct limbs old, __m256i lanes, struct limbs new)
{
	return (struct limbs){
		_mm256_blendv_epi8(old.l0, new.l0, lanes),
		_mm256_blendv_epi8(old.l1, new.l1, lanes),
		_mm256_blendv_epi8(old.l2, new.l2, lanes),
		_mm256_blendv_epi8(old.l3, new.l3, lanes),
		_mm256_blendv_epi8(old.l4, new.l4, lanes),
	};
}

static inline struct limbs zero_limbs(void)
{
	__m256i zero = _mm256_setzero_si256();

	return (struct limbs){zero, zero, zero, zero, zero};
}

/* The lower 32 bits of each lane, multiplied to 64. */
static inline __m256i multiply32(__m256i a, __m256i b)
{
#ifdef __clang__
	/*
	 * clang knows the intrinsic as masks and a 64-bit product. It lifts the masks out
	 * of the loop and then no longer sees that one instruction will do.
	 */
	__m256i product;

	__asm__("vpmuludq %2, %1, %0" : "=x"(product) : "x"(a), "xm"(b));
	return product;
#else
	return _mm256_mul_epu32(a, b);
#endif
}

/* sums + a f, not carried */
static inline struct limbs multiply(struct limbs s, struct limbs a, const struct factor *f)
{
#define ADD_PRODUCT(sum, x, y) (sum = _mm256_add_epi64(sum, multiply32(x, y)))
	ADD_PRODUCT(s.l0, a.l0, f->r0);
	ADD_PRODUCT(s.l1, a.l0, f->r1);
	ADD_PRODUCT(s.l2, a.l0, f->r2);
	ADD_PRODUCT(s.l3, a.l0, f->r3);
	ADD_PRODUCT(s.l4, a.l0, f->r4);
	ADD_PRODUCT(s.l0, a.l1, f->s4);
	ADD_PRODUCT(s.l1, a.l1, f->r0);
	ADD_PRODUCT(s.l2, a.l1, f->r1);
	ADD_PRODUCT(s.l3, a.l1, f->r2);
	ADD_PRODUCT(s.l4, a.l1, f->r3);
	ADD_PRODUCT(s.l0, a.l2, f->s3);
	ADD_PRODUCT(s.l1, a.l2, f->s4);
	ADD_PRODUCT(s.l2, a.l2, f->r0);
	ADD_PRODUCT(s.l3, a.l2, f->r1);
	ADD_PRODUCT(s.l4, a.l2, f->r2);
	ADD_PRODUCT(s.l0, a.l3, f->s2);
	ADD_PRODUCT(s.l1, a.l3, f->s3);
	ADD_PRODUCT(s.l2, a.l3, f->s4);
	ADD_PRODUCT(s.l3, a.l3, f->r0);
	ADD_PRODUCT(s.l4, a.l3, f->r1);
	ADD_PRODUCT(s.l0, a.l4, f->s1);
	ADD_PRODUCT(s.l1, a.l4, f->s2);
	ADD_PRODUCT(s.l2, a.l4, f->s3);
	ADD_PRODUCT(s.l3, a.l4, f->s4);
	ADD_PRODUCT(s.l4, a.l4, f->r0);
#undef ADD_PRODUCT
	return s;
}

/* What from holds beyond 26 bits goes to the limb above. */
#define CARRY(to, from)                                                                            \
	do {                                                                                       \
		to = _mm256_add_epi64(to, _mm256_srli_epi64(from, 26));                            \
		from = _mm256_and_si256(from, MASK26);                                             \
	} while (0)

#define CARRY_AROUND(h)                                                                            \
	do {                                                                                       \
		h.l0 = _mm256_add_epi64(h.l0, times_five(_mm256_srli_epi64(h.l4, 26)));            \
		h.l4 = _mm256_and_si256(h.l4, MASK26);                                             \
	} while (0)

/* Two chains of carries beside each other: from limb 0 to 3, and from 3 around the top. */
static inline struct limbs reduce(struct limbs h)
{
	CARRY(h.l1, h.l0);
	CARRY(h.l4, h.l3);
	CARRY(h.l2, h.l1);
	CARRY_AROUND(h);
	CARRY(h.l3, h.l2);
	CARRY(h.l1, h.l0);
	CARRY(h.l4, h.l3);
	return h;
}

static inline struct limbs step(struct limbs h, struct limbs m, const struct factor *r)
{
	return reduce(multiply(zero_limbs(), add(h, m), r));
}

/* 16 bytes of each message. A half of a register is loaded in one, without a shuffle. */
static inline struct wide load_block(const uint8_t *p0, const uint8_t *p1, const uint8_t *p2,
				     const uint8_t *p3)
{
#define PAIR(a, b)                                                                                 \
	_mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(a))),     \
				_mm_loadu_si128((const __m128i *)(b)), 1)
	__m256i even = PAIR(p0, p2), odd = PAIR(p1, p3);
#undef PAIR

	return (struct wide){_mm256_unpacklo_epi64(even, odd), _mm256_unpackhi_epi64(even, odd)};
}

/* Block i of a chunk. */
static inline struct limbs load_whole(const uint8_t *const p[MB_HASHES], uint64_t at, unsigned i)
{
	at += i * BLOCK_BYTES;
	return whole_block(load_block(p[0] + at, p[1] + at, p[2] + at, p[3] + at));
}

static inline struct limbs step_four(struct limbs h, const uint8_t *const p[MB_HASHES], uint64_t at,
				     const struct factor powers[4])
{
	struct limbs s = multiply(zero_limbs(), load_whole(p, at, 1), &powers[2]);

	s = multiply(s, load_whole(p, at, 2), &powers[1]);
	s = multiply(s, load_whole(p, at, 3), &powers[0]);
	return reduce(multiply(s, add(h, load_whole(p, at, 0)), &powers[3]));
}

static inline struct limbs step_two(struct limbs h, const uint8_t *const p[MB_HASHES], uint64_t at,
				    const struct factor powers[4])
{
	struct limbs s = multiply(zero_limbs(), load_whole(p, at, 1), &powers[0]);

	return reduce(multiply(s, add(h, load_whole(p, at, 0)), &powers[1]));
}

static inline struct limbs hash_whole(struct limbs h, const uint8_t *const p[MB_HASHES],
				      uint64_t bytes, const struct factor powers[4], bool has_four)
{
	if (has_four) {
		for (uint64_t at = 0; at < bytes; at += CHUNK_BYTES)
			h = step_four(h, p, at, powers);
	} else {
		for (uint64_t at = 0; at < bytes; at += CHUNK_BYTES / 2)
			h = step_two(h, p, at, powers);
	}
	return h;
}

/* Takes whole chunks until none of the messages has one. */
static inline struct limbs hash_chunks(struct limbs h, struct mb_texts *t,
				       const struct factor powers[4], bool has_four)
{
	while (t->bytes[0] >= CHUNK_BYTES) {
		/* The longest come first, so the lanes that go on are the lower ones. */
		unsigned n = 1 + (t->bytes[1] >= CHUNK_BYTES) + (t->bytes[2] >= CHUNK_BYTES) +
			     (t->bytes[3] >= CHUNK_BYTES);
		uint64_t bytes = t->bytes[n - 1] / CHUNK_BYTES * CHUNK_BYTES;
		const uint8_t *const p[MB_HASHES] = {
			t->p[0],
			n > 1 ? t->p[1] : t->p[0],
			n > 2 ? t->p[2] : t->p[0],
			n > 3 ? t->p[3] : t->p[0],
		};

		h = pick(h, first_lanes(n), hash_whole(h, p, bytes, powers, has_four));
		for (unsigned i = 0; i < n; i++) {
			t->p[i] += bytes;
			t->bytes[i] -= bytes;
		}
	}
	return h;
}

/* 1 to 15 bytes and zeroes: the AEAD fills the last block up with them. */
static inline __m128i load_part(const uint8_t *p, uint64_t n)
{
	uint64_t low, high = 0;

	if (n >= 8) {
		__builtin_memcpy(&low, p, 8);
		if (n > 8) {
			__builtin_memcpy(&high, p + n - 8, 8);
			high >>= 8 * (16 - n);
		}
	} else if (n >= 4) {
		uint32_t first, last;

		__builtin_memcpy(&first, p, 4);
		__builtin_memcpy(&last, p + n - 4, 4);
		low = first | (uint64_t)last << (8 * (n - 4));
	} else {
		low = p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) |
		      (uint64_t)p[n - 1] << (8 * (n - 1));
	}
	return _mm_set_epi64x((long long)high, (long long)low);
}

/* Block i of what is left of a message; zeroes behind its end. */
static inline __m128i load_rest(const struct mb_texts *t, unsigned k, uint64_t at)
{
	if (t->bytes[k] >= at + BLOCK_BYTES)
		return _mm_loadu_si128((const __m128i *)(t->p[k] + at));
	if (t->bytes[k] > at)
		return load_part(t->p[k] + at, t->bytes[k] - at);
	return _mm_setzero_si128();
}

/* Less than a chunk of each, no longer in order. */
static inline struct limbs hash_rest(struct limbs h, const struct mb_texts *t,
				     const struct factor *r)
{
	__m256i left = _mm256_loadu_si256((const __m256i *)t->bytes);

	for (uint64_t at = 0;
	     (t->bytes[0] > at) | (t->bytes[1] > at) | (t->bytes[2] > at) | (t->bytes[3] > at);
	     at += BLOCK_BYTES) {
		__m256i lanes = _mm256_cmpgt_epi64(left, _mm256_set1_epi64x((long long)at));
		__m256i even = _mm256_set_m128i(load_rest(t, 2, at), load_rest(t, 0, at));
		__m256i odd = _mm256_set_m128i(load_rest(t, 3, at), load_rest(t, 1, at));
		struct wide w = {_mm256_unpacklo_epi64(even, odd),
				 _mm256_unpackhi_epi64(even, odd)};

		h = pick(h, lanes, step(h, whole_block(w), r));
	}
	return h;
}

/* (h mod 2^130 - 5) + pad, mod 2^128. */
static inline struct wide finish(struct limbs h, struct wide pad)
{
	const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
	struct limbs g;
	struct wide tag;
	__m256i is_less, has_carry;

	/*
	 * All limbs below their size. If something goes around the top, what is left of
	 * the fifth limb is small, so that the second chain ends there.
	 */
	CARRY(h.l2, h.l1);
	CARRY(h.l3, h.l2);
	CARRY(h.l4, h.l3);
	CARRY_AROUND(h);
	CARRY(h.l1, h.l0);
	CARRY(h.l2, h.l1);
	CARRY(h.l3, h.l2);
	CARRY(h.l4, h.l3);

	/* h + 5 reaches 2^130 just when h is not below 2^130 - 5. */
	g = h;
	g.l0 = _mm256_add_epi64(g.l0, _mm256_set1_epi64x(5));
	CARRY(g.l1, g.l0);
	CARRY(g.l2, g.l1);
	CARRY(g.l3, g.l2);
	CARRY(g.l4, g.l3);
	is_less = _mm256_cmpgt_epi64(_mm256_set1_epi64x(1ll << 26), g.l4);
	g.l4 = _mm256_and_si256(g.l4, MASK26);
	h = pick(g, is_less, h);

	tag.lo = _mm256_or_si256(_mm256_or_si256(h.l0, _mm256_slli_epi64(h.l1, 26)),
				 _mm256_slli_epi64(h.l2, 52));
	tag.hi = _mm256_or_si256(
		_mm256_or_si256(_mm256_srli_epi64(h.l2, 12), _mm256_slli_epi64(h.l3, 14)),
		_mm256_slli_epi64(h.l4, 40));
	tag.lo = _mm256_add_epi64(tag.lo, pad.lo);
	/* There is no unsigned comparison. */
	has_carry =
		_mm256_cmpgt_epi64(_mm256_xor_si256(pad.lo, sign), _mm256_xor_si256(tag.lo, sign));
	tag.hi = _mm256_sub_epi64(_mm256_add_epi64(tag.hi, pad.hi), has_carry);
	return tag;
}

static inline void store_tags(uint8_t tags[MB_HASHES][AEAD_TAG_BYTES], struct wide t)
{
	__m256i even = _mm256_unpacklo_epi64(t.lo, t.hi), odd = _mm256_unpackhi_epi64(t.lo, t.hi);

	_mm256_storeu_si256((__m256i *)tags[0], _mm256_permute2x128_si256(even, odd, 0x20));
	_mm256_storeu_si256((__m256i *)tags[2], _mm256_permute2x128_si256(even, odd, 0x31));
}

void aead_mb_poly_avx2(struct mb_texts *texts, unsigned n, uint8_t (*keys)[MB_HASH_KEY],
		       uint8_t (*tags)[AEAD_TAG_BYTES])
{
	struct wide key = load_block(keys[0], keys[1], keys[2], keys[3]);
	struct wide pad = load_block(keys[0] + 16, keys[1] + 16, keys[2] + 16, keys[3] + 16);
	bool has_four = texts->bytes[0] >= FOUR_POWERS_CHUNKS * CHUNK_BYTES;
	struct limbs h = zero_limbs(), r, r_squared;
	struct factor powers[4];
	struct wide length = {
		.lo = _mm256_setzero_si256(),
		.hi = _mm256_loadu_si256((const __m256i *)texts->bytes),
	};

	/* Some bits of r are zero by definition. */
	key.lo = _mm256_and_si256(key.lo, _mm256_set1_epi64x(0x0ffffffc0fffffff));
	key.hi = _mm256_and_si256(key.hi, _mm256_set1_epi64x(0x0ffffffc0ffffffc));
	r = limbs_of(key);
	set_factor(&powers[0], r);
	r_squared = reduce(multiply(h, r, &powers[0]));
	set_factor(&powers[1], r_squared);
	if (has_four) {
		set_factor(&powers[2], reduce(multiply(h, r_squared, &powers[0])));
		set_factor(&powers[3], reduce(multiply(h, r_squared, &powers[1])));
	}
	h = hash_chunks(h, texts, powers, has_four);
	h = hash_rest(h, texts, &powers[0]);
	h = step(h, whole_block(length), &powers[0]);
	store_tags(tags, finish(h, pad));
}
