/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Poly1305 (RFC 8439 section 2.5) of eight messages side by side for AVX-512 with
 * IFMA. Numbers below 2^130 are limbs of 44, 44 and 42 bits, a message a lane.
 *
 * The sum is h = ((h + m0) r + m1) r + ..; two blocks are taken in one step,
 * h = (h + m0) r^2 + m1 r, which carries once instead of twice, or four where texts
 * are long enough to pay for the powers. Each step waits for the one before, so two groups
 * of eight take turns where there are as many messages.
 *
 * Messages run out at different times: one with less than 64 bytes left keeps its h
 * while the others go on, and reads what another reads. Then what is left of all, less
 * than 64 bytes each, is taken block by block under masks, and last the block with the
 * length.
 *
 * Sizes: IFMA multiplies the low 52 bits of its operands. Limbs after reduce() are
 * below 2^44 + 2^10, h + m below 2^46, 20 r below 2^49. The products of one step,
 * twelve at most, leave below 2^56 in a low and below 2^43 in a high accumulator; in the
 * highest below 2^38.9, so that it can be multiplied by 5 * 2^10 in 52 bits.
 */
#include <immintrin.h>

#include "dataplane/crypto/aead_mb.h"

#define CHUNK_BYTES 64
#define BLOCK_BYTES 16
#define ALL_LANES   0xffu
/* Texts from which on r^3 and r^4 pay. */
#define FOUR_BYTES_MIN 400

#define MASK44 _mm512_set1_epi64((1ll << 44) - 1)
#define MASK42 _mm512_set1_epi64((1ll << 42) - 1)
/* The bit behind a whole block, 2^128, in the third limb. */
#define HIGH_BIT _mm512_set1_epi64(1ll << 40)

struct limbs {
	__m512i l0, l1, l2;
};

/* A factor, with 20 times its upper limbs: 2^132 = 20 (mod 2^130 - 5) after the limb shift. */
struct factor {
	__m512i r0, r1, r2, s1, s2;
};

/* r, r^2, and where they pay r^3 and r^4. */
struct powers {
	struct factor r[4];
};

struct sums {
	__m512i lo0, lo1, lo2, hi0, hi1, hi2;
};

/* Eight numbers of 128 bits. */
struct wide {
	__m512i lo, hi;
};

struct chunk {
	struct wide block[CHUNK_BYTES / BLOCK_BYTES];
};

static inline __attribute__((always_inline)) struct factor factor_of(struct limbs r)
{
	return (struct factor){
		.r0 = r.l0,
		.r1 = r.l1,
		.r2 = r.l2,
		.s1 = _mm512_add_epi64(_mm512_slli_epi64(r.l1, 4), _mm512_slli_epi64(r.l1, 2)),
		.s2 = _mm512_add_epi64(_mm512_slli_epi64(r.l2, 4), _mm512_slli_epi64(r.l2, 2)),
	};
}

static inline __attribute__((always_inline)) struct limbs limbs_of(struct wide w)
{
	return (struct limbs){
		.l0 = _mm512_and_si512(w.lo, MASK44),
		.l1 = _mm512_and_si512(
			_mm512_or_si512(_mm512_srli_epi64(w.lo, 44), _mm512_slli_epi64(w.hi, 20)),
			MASK44),
		.l2 = _mm512_srli_epi64(w.hi, 24),
	};
}

static inline __attribute__((always_inline)) struct limbs add(struct limbs a, struct limbs b)
{
	return (struct limbs){
		.l0 = _mm512_add_epi64(a.l0, b.l0),
		.l1 = _mm512_add_epi64(a.l1, b.l1),
		.l2 = _mm512_add_epi64(a.l2, b.l2),
	};
}

static inline __attribute__((always_inline)) struct limbs whole_block(struct wide w)
{
	struct limbs m = limbs_of(w);

	m.l2 = _mm512_or_si512(m.l2, HIGH_BIT);
	return m;
}

static inline __attribute__((always_inline)) struct limbs pick(struct limbs old, __mmask8 lanes,
							       struct limbs new)
{
	return (struct limbs){
		.l0 = _mm512_mask_mov_epi64(old.l0, lanes, new.l0),
		.l1 = _mm512_mask_mov_epi64(old.l1, lanes, new.l1),
		.l2 = _mm512_mask_mov_epi64(old.l2, lanes, new.l2),
	};
}

static inline __attribute__((always_inline)) struct sums no_sums(void)
{
	__m512i zero = _mm512_setzero_si512();

	return (struct sums){zero, zero, zero, zero, zero, zero};
}

static inline __attribute__((always_inline)) void multiply(struct sums *s, struct limbs a,
							   const struct factor *f)
{
	s->lo0 = _mm512_madd52lo_epu64(s->lo0, a.l0, f->r0);
	s->hi0 = _mm512_madd52hi_epu64(s->hi0, a.l0, f->r0);
	s->lo1 = _mm512_madd52lo_epu64(s->lo1, a.l0, f->r1);
	s->hi1 = _mm512_madd52hi_epu64(s->hi1, a.l0, f->r1);
	s->lo2 = _mm512_madd52lo_epu64(s->lo2, a.l0, f->r2);
	s->hi2 = _mm512_madd52hi_epu64(s->hi2, a.l0, f->r2);
	s->lo0 = _mm512_madd52lo_epu64(s->lo0, a.l1, f->s2);
	s->hi0 = _mm512_madd52hi_epu64(s->hi0, a.l1, f->s2);
	s->lo1 = _mm512_madd52lo_epu64(s->lo1, a.l1, f->r0);
	s->hi1 = _mm512_madd52hi_epu64(s->hi1, a.l1, f->r0);
	s->lo2 = _mm512_madd52lo_epu64(s->lo2, a.l1, f->r1);
	s->hi2 = _mm512_madd52hi_epu64(s->hi2, a.l1, f->r1);
	s->lo0 = _mm512_madd52lo_epu64(s->lo0, a.l2, f->s1);
	s->hi0 = _mm512_madd52hi_epu64(s->hi0, a.l2, f->s1);
	s->lo1 = _mm512_madd52lo_epu64(s->lo1, a.l2, f->s2);
	s->hi1 = _mm512_madd52hi_epu64(s->hi1, a.l2, f->s2);
	s->lo2 = _mm512_madd52lo_epu64(s->lo2, a.l2, f->r0);
	s->hi2 = _mm512_madd52hi_epu64(s->hi2, a.l2, f->r0);
}

static inline __attribute__((always_inline)) __m512i add_product(__m512i sum, __m512i a,
								 long long b)
{
	return _mm512_madd52lo_epu64(sum, a, _mm512_set1_epi64(b));
}

/* A high half weighs 2^52, that is 2^8 of the limb above, and 5 * 2^10 around the top. */
static inline __attribute__((always_inline)) struct limbs reduce(struct sums s)
{
	struct limbs h;
	__m512i top;

	s.lo1 = add_product(s.lo1, s.hi0, 1 << 8);
	s.lo2 = add_product(s.lo2, s.hi1, 1 << 8);
	h.l0 = _mm512_and_si512(s.lo0, MASK44);
	s.lo1 = _mm512_add_epi64(s.lo1, _mm512_srli_epi64(s.lo0, 44));
	h.l1 = _mm512_and_si512(s.lo1, MASK44);
	s.lo2 = _mm512_add_epi64(s.lo2, _mm512_srli_epi64(s.lo1, 44));
	h.l2 = _mm512_and_si512(s.lo2, MASK42);
	top = add_product(_mm512_srli_epi64(s.lo2, 42), s.hi2, 1 << 10);
	h.l0 = add_product(h.l0, top, 5);
	h.l1 = _mm512_add_epi64(h.l1, _mm512_srli_epi64(h.l0, 44));
	h.l0 = _mm512_and_si512(h.l0, MASK44);
	return h;
}

static inline __attribute__((always_inline)) struct limbs step(struct limbs h, struct limbs m,
							       const struct factor *r)
{
	struct sums s = no_sums();

	multiply(&s, add(h, m), r);
	return reduce(s);
}

static inline __attribute__((always_inline)) struct limbs step_two(struct limbs h, struct limbs m0,
								   struct limbs m1,
								   const struct factor *r,
								   const struct factor *r_squared)
{
	struct sums s = no_sums();

	multiply(&s, m1, r);
	multiply(&s, add(h, m0), r_squared);
	return reduce(s);
}

static inline __attribute__((always_inline)) struct limbs
step_four(struct limbs h, const struct chunk *c, const struct powers *p)
{
	struct sums s = no_sums();

	multiply(&s, whole_block(c->block[3]), &p->r[0]);
	multiply(&s, whole_block(c->block[2]), &p->r[1]);
	multiply(&s, whole_block(c->block[1]), &p->r[2]);
	multiply(&s, add(h, whole_block(c->block[0])), &p->r[3]);
	return reduce(s);
}

static inline __attribute__((always_inline)) struct limbs
two_steps(struct limbs h, const struct chunk *c, const struct powers *p)
{
	h = step_two(h, whole_block(c->block[0]), whole_block(c->block[1]), &p->r[0], &p->r[1]);
	return step_two(h, whole_block(c->block[2]), whole_block(c->block[3]), &p->r[0], &p->r[1]);
}

static inline __attribute__((always_inline)) struct limbs product(struct limbs a,
								  const struct factor *f)
{
	struct sums s = no_sums();

	multiply(&s, a, f);
	return reduce(s);
}

/* Rows are pairs of lanes; out are blocks q = 0 .. 3 of all lanes, in order. */
static inline __attribute__((always_inline)) void transpose_quarters(__m512i x0, __m512i x1,
								     __m512i x2, __m512i x3,
								     __m512i *out0, __m512i *out1,
								     __m512i *out2, __m512i *out3)
{
	__m512i a = _mm512_shuffle_i64x2(x0, x1, 0x44);
	__m512i b = _mm512_shuffle_i64x2(x0, x1, 0xee);
	__m512i c = _mm512_shuffle_i64x2(x2, x3, 0x44);
	__m512i d = _mm512_shuffle_i64x2(x2, x3, 0xee);

	*out0 = _mm512_shuffle_i64x2(a, c, 0x88);
	*out1 = _mm512_shuffle_i64x2(a, c, 0xdd);
	*out2 = _mm512_shuffle_i64x2(b, d, 0x88);
	*out3 = _mm512_shuffle_i64x2(b, d, 0xdd);
}

static inline __attribute__((always_inline)) struct chunk transpose(__m512i x0, __m512i x1,
								    __m512i x2, __m512i x3,
								    __m512i x4, __m512i x5,
								    __m512i x6, __m512i x7)
{
	struct chunk c;

	transpose_quarters(_mm512_unpacklo_epi64(x0, x1), _mm512_unpacklo_epi64(x2, x3),
			   _mm512_unpacklo_epi64(x4, x5), _mm512_unpacklo_epi64(x6, x7),
			   &c.block[0].lo, &c.block[1].lo, &c.block[2].lo, &c.block[3].lo);
	transpose_quarters(_mm512_unpackhi_epi64(x0, x1), _mm512_unpackhi_epi64(x2, x3),
			   _mm512_unpackhi_epi64(x4, x5), _mm512_unpackhi_epi64(x6, x7),
			   &c.block[0].hi, &c.block[1].hi, &c.block[2].hi, &c.block[3].hi);
	return c;
}

static inline __attribute__((always_inline)) struct chunk
load_keys(uint8_t keys[MB_HASHES][MB_HASH_KEY])
{
#define ROW(i) _mm512_zextsi256_si512(_mm256_loadu_si256((const __m256i *)keys[i]))
	return transpose(ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7));
#undef ROW
}

/* 64 bytes of each, at an offset common to all. */
static inline __attribute__((always_inline)) struct chunk
load_whole(const uint8_t *const p[MB_HASHES], uint64_t at)
{
#define ROW(i) _mm512_loadu_si512(p[i] + at)
	return transpose(ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7));
#undef ROW
}

/* Less than 64 bytes of each, and zeroes: the AEAD fills the last block up with them. */
static inline __attribute__((always_inline)) struct chunk load_rest(const struct mb_texts *t)
{
#define ROW(i) _mm512_maskz_loadu_epi8((1ull << t->bytes[i]) - 1, t->p[i])
	return transpose(ROW(0), ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7));
#undef ROW
}

static inline __attribute__((always_inline)) void take(struct mb_texts *t, __mmask8 lanes,
						       uint64_t bytes)
{
	__m512i taken = _mm512_maskz_set1_epi64(lanes, (long long)bytes);

	_mm512_storeu_si512(t->p, _mm512_add_epi64(_mm512_loadu_si512(t->p), taken));
	_mm512_storeu_si512(t->bytes, _mm512_sub_epi64(_mm512_loadu_si512(t->bytes), taken));
}

/*
 * Takes whole chunks until none of the messages has one. Where all have, as at first
 * nearly always, their addresses are read as the engine wrote them, one by one: a
 * vector of them would have to wait until all these stores have reached the cache.
 */
static inline __attribute__((always_inline)) struct limbs
hash_chunks(struct limbs h, struct mb_texts *t, const struct powers *p, bool has_four)
{
	while (t->bytes[0] >= CHUNK_BYTES) {
		const uint8_t *some[MB_HASHES], *const *from = t->p;
		uint64_t bytes = t->bytes[MB_HASHES - 1];
		__mmask8 lanes = ALL_LANES;
		struct limbs sum = h;

		if (bytes < CHUNK_BYTES) {
			/* The longest come first, so the lanes that go on are the lower ones. */
			lanes = _mm512_cmpge_epu64_mask(_mm512_loadu_si512(t->bytes),
							_mm512_set1_epi64(CHUNK_BYTES));
			bytes = t->bytes[__builtin_popcount(lanes) - 1];
			_mm512_storeu_si512(
				some, _mm512_mask_loadu_epi64(_mm512_set1_epi64((long long)t->p[0]),
							      lanes, t->p));
			from = some;
		}
		bytes -= bytes % CHUNK_BYTES;
		for (uint64_t at = 0; at < bytes; at += CHUNK_BYTES) {
			struct chunk c = load_whole(from, at);

			sum = has_four ? step_four(sum, &c, p) : two_steps(sum, &c, p);
		}
		h = pick(h, lanes, sum);
		take(t, lanes, bytes);
	}
	return h;
}

/* Less than a chunk of each, no longer in order, and the length's block. */
static inline __attribute__((always_inline)) struct limbs
hash_rest(struct limbs h, const struct mb_texts *t, __m512i length, const struct powers *p)
{
	__m512i left = _mm512_loadu_si512(t->bytes);
	struct wide last = {.lo = _mm512_setzero_si512(), .hi = length};

	if (_mm512_test_epi64_mask(left, left)) {
		struct chunk c = load_rest(t);

		for (unsigned i = 0; i < CHUNK_BYTES / BLOCK_BYTES; i++) {
			__mmask8 lanes =
				_mm512_cmpgt_epu64_mask(left, _mm512_set1_epi64(i * BLOCK_BYTES));

			if (!lanes)
				break;
			h = pick(h, lanes, step(h, whole_block(c.block[i]), &p->r[0]));
		}
	}
	return step(h, whole_block(last), &p->r[0]);
}

/* (h mod 2^130 - 5) + pad, mod 2^128. */
static inline __attribute__((always_inline)) struct wide finish(struct limbs h, struct wide pad)
{
	struct limbs g;
	struct wide tag;
	__mmask8 is_less, has_carry;

	/*
	 * All limbs below their size. Only the middle one was not, by 2^10 at most: if its
	 * carry goes around the top, what that carry leaves behind is small.
	 */
	h.l2 = _mm512_add_epi64(h.l2, _mm512_srli_epi64(h.l1, 44));
	h.l1 = _mm512_and_si512(h.l1, MASK44);
	h.l0 = add_product(h.l0, _mm512_srli_epi64(h.l2, 42), 5);
	h.l2 = _mm512_and_si512(h.l2, MASK42);
	h.l1 = _mm512_add_epi64(h.l1, _mm512_srli_epi64(h.l0, 44));
	h.l0 = _mm512_and_si512(h.l0, MASK44);

	/* h + 5 reaches 2^130 just when h is not below 2^130 - 5. */
	g.l0 = _mm512_add_epi64(h.l0, _mm512_set1_epi64(5));
	g.l1 = _mm512_add_epi64(h.l1, _mm512_srli_epi64(g.l0, 44));
	g.l2 = _mm512_add_epi64(h.l2, _mm512_srli_epi64(g.l1, 44));
	g.l0 = _mm512_and_si512(g.l0, MASK44);
	g.l1 = _mm512_and_si512(g.l1, MASK44);
	is_less = _mm512_cmple_epu64_mask(g.l2, MASK42);
	g.l2 = _mm512_and_si512(g.l2, MASK42);
	h = pick(g, is_less, h);

	tag.lo = _mm512_or_si512(h.l0, _mm512_slli_epi64(h.l1, 44));
	tag.hi = _mm512_or_si512(_mm512_srli_epi64(h.l1, 20), _mm512_slli_epi64(h.l2, 24));
	tag.lo = _mm512_add_epi64(tag.lo, pad.lo);
	has_carry = _mm512_cmplt_epu64_mask(tag.lo, pad.lo);
	tag.hi = _mm512_add_epi64(tag.hi, pad.hi);
	tag.hi = _mm512_mask_add_epi64(tag.hi, has_carry, tag.hi, _mm512_set1_epi64(1));
	return tag;
}

static inline __attribute__((always_inline)) void
store_tags(uint8_t tags[MB_HASHES][AEAD_TAG_BYTES], struct wide t)
{
	const __m512i lower = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
	const __m512i upper = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);

	_mm512_storeu_si512(tags[0], _mm512_permutex2var_epi64(t.lo, lower, t.hi));
	_mm512_storeu_si512(tags[4], _mm512_permutex2var_epi64(t.lo, upper, t.hi));
}

static inline __attribute__((always_inline)) struct wide
start(struct powers *p, uint8_t keys[MB_HASHES][MB_HASH_KEY], bool has_four)
{
	struct chunk key = load_keys(keys);
	struct limbs r, square;

	/* Some bits of r are zero by definition. */
	key.block[0].lo = _mm512_and_si512(key.block[0].lo, _mm512_set1_epi64(0x0ffffffc0fffffff));
	key.block[0].hi = _mm512_and_si512(key.block[0].hi, _mm512_set1_epi64(0x0ffffffc0ffffffc));
	r = limbs_of(key.block[0]);
	p->r[0] = factor_of(r);
	square = product(r, &p->r[0]);
	p->r[1] = factor_of(square);
	if (has_four) {
		p->r[2] = factor_of(product(square, &p->r[0]));
		p->r[3] = factor_of(product(square, &p->r[1]));
	}
	return key.block[1];
}

static inline __attribute__((always_inline)) struct limbs zero(void)
{
	__m512i z = _mm512_setzero_si512();

	return (struct limbs){z, z, z};
}

static inline __attribute__((always_inline)) void hash_one(struct mb_texts *t,
							   uint8_t (*keys)[MB_HASH_KEY],
							   uint8_t (*tags)[AEAD_TAG_BYTES],
							   bool has_four)
{
	__m512i length = _mm512_loadu_si512(t->bytes);
	struct powers p;
	struct wide pad = start(&p, keys, has_four);
	struct limbs h = hash_chunks(zero(), t, &p, has_four);

	store_tags(tags, finish(hash_rest(h, t, length, &p), pad));
}

/* Two groups, step by step, so that one computes while the other waits for its products. */
static inline __attribute__((always_inline)) void hash_two(struct mb_texts *t,
							   uint8_t (*keys)[MB_HASH_KEY],
							   uint8_t (*tags)[AEAD_TAG_BYTES],
							   bool has_four)
{
	__m512i length0 = _mm512_loadu_si512(t[0].bytes), length1 = _mm512_loadu_si512(t[1].bytes);
	uint64_t bytes = t[1].bytes[MB_HASHES - 1] & ~(uint64_t)(CHUNK_BYTES - 1);
	struct powers p0, p1;
	struct wide pad0 = start(&p0, keys, has_four);
	struct wide pad1 = start(&p1, keys + MB_HASHES, has_four);
	struct limbs h0 = zero(), h1 = zero();

	for (uint64_t at = 0; at < bytes; at += CHUNK_BYTES) {
		struct chunk c0 = load_whole(t[0].p, at);
		struct chunk c1 = load_whole(t[1].p, at);

		h0 = has_four ? step_four(h0, &c0, &p0) : two_steps(h0, &c0, &p0);
		h1 = has_four ? step_four(h1, &c1, &p1) : two_steps(h1, &c1, &p1);
	}
	take(&t[0], ALL_LANES, bytes);
	take(&t[1], ALL_LANES, bytes);
	h0 = hash_chunks(h0, &t[0], &p0, has_four);
	h1 = hash_chunks(h1, &t[1], &p1, has_four);
	h0 = hash_rest(h0, &t[0], length0, &p0);
	h1 = hash_rest(h1, &t[1], length1, &p1);
	store_tags(tags, finish(h0, pad0));
	store_tags(tags + MB_HASHES, finish(h1, pad1));
}

void aead_mb_poly_avx512(struct mb_texts *texts, unsigned n, uint8_t (*keys)[MB_HASH_KEY],
			 uint8_t (*tags)[AEAD_TAG_BYTES])
{
	bool has_four = texts->bytes[0] >= FOUR_BYTES_MIN;

	if (n == 2 && has_four)
		hash_two(texts, keys, tags, true);
	else if (n == 2)
		hash_two(texts, keys, tags, false);
	else if (has_four)
		hash_one(texts, keys, tags, true);
	else
		hash_one(texts, keys, tags, false);
}
