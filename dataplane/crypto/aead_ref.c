/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference engine: RFC 8439 in plain C, a message and a block after the other. Its only
 * aim is to be read beside the RFC; no branch and no address depends on a key or a
 * text. Every CPU runs it, and so does Valgrind. No state.
 */
#include <sodium.h>

#include "dataplane/crypto/aead_engines.h"

#define BLOCK_BYTES 64
#define HASH_BYTES  16
#define MASK26	    0x3ffffffu

/* Numbers below 2^130 in five limbs of 26 bits. */
#define LIMBS 5

struct poly {
	uint32_t r[LIMBS], h[LIMBS];
	uint8_t pad[AEAD_TAG_BYTES];
};

/* A context must be non-NULL; this engine keeps nothing in it. */
static char no_state;

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void le32_put(uint8_t *p, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static uint32_t turn(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

/* RFC 8439 section 2.1 */
static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b;
	*d = turn(*d ^ *a, 16);
	*c += *d;
	*b = turn(*b ^ *c, 12);
	*a += *b;
	*d = turn(*d ^ *a, 8);
	*c += *d;
	*b = turn(*b ^ *c, 7);
}

/* Section 2.3, with the nonce of WireGuard. */
static void chacha_block(uint8_t out[BLOCK_BYTES], const uint8_t *key, uint64_t nonce,
			 uint32_t number)
{
	uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x[16];

	for (int i = 0; i < 8; i++)
		start[4 + i] = le32(key + 4 * i);
	start[12] = number;
	start[14] = (uint32_t)nonce;
	start[15] = (uint32_t)(nonce >> 32);
	memcpy(x, start, sizeof(x));
	for (int i = 0; i < 10; i++) {
		quarter_round(&x[0], &x[4], &x[8], &x[12]);
		quarter_round(&x[1], &x[5], &x[9], &x[13]);
		quarter_round(&x[2], &x[6], &x[10], &x[14]);
		quarter_round(&x[3], &x[7], &x[11], &x[15]);
		quarter_round(&x[0], &x[5], &x[10], &x[15]);
		quarter_round(&x[1], &x[6], &x[11], &x[12]);
		quarter_round(&x[2], &x[7], &x[8], &x[13]);
		quarter_round(&x[3], &x[4], &x[9], &x[14]);
	}
	for (int i = 0; i < 16; i++)
		le32_put(out + 4 * i, x[i] + start[i]);
	sodium_memzero(x, sizeof(x));
	sodium_memzero(start, sizeof(start));
}

static void xor_text(const struct aead_job *j)
{
	uint8_t stream[BLOCK_BYTES];

	for (uint32_t at = 0; at < j->len; at += BLOCK_BYTES) {
		chacha_block(stream, j->key, j->counter, 1 + at / BLOCK_BYTES);
		for (uint32_t i = 0; i < BLOCK_BYTES && at + i < j->len; i++)
			j->dst[at + i] = j->src[at + i] ^ stream[i];
	}
	sodium_memzero(stream, sizeof(stream));
}

static void limbs_of(uint32_t l[LIMBS], const uint8_t b[HASH_BYTES])
{
	l[0] = le32(b) & MASK26;
	l[1] = le32(b + 3) >> 2 & MASK26;
	l[2] = le32(b + 6) >> 4 & MASK26;
	l[3] = le32(b + 9) >> 6 & MASK26;
	l[4] = le32(b + 12) >> 8;
}

/* Section 2.6: the one-time key is block 0. */
static void poly_init(struct poly *p, const struct aead_job *j)
{
	uint8_t block[BLOCK_BYTES];

	chacha_block(block, j->key, j->counter, 0);
	for (int i = 3; i < HASH_BYTES; i += 4)
		block[i] &= 0x0f;
	for (int i = 4; i < HASH_BYTES; i += 4)
		block[i] &= 0xfc;
	limbs_of(p->r, block);
	memcpy(p->pad, block + HASH_BYTES, sizeof(p->pad));
	memset(p->h, 0, sizeof(p->h));
	sodium_memzero(block, sizeof(block));
}

/* h = (h + block) r mod 2^130 - 5, limbs below 2^26 but for the second, a little above. */
static void poly_block(struct poly *p, const uint8_t block[HASH_BYTES])
{
	uint32_t m[LIMBS];
	uint64_t d[LIMBS] = {0}, carry = 0;

	limbs_of(m, block);
	m[4] |= 1u << 24;
	for (int i = 0; i < LIMBS; i++)
		p->h[i] += m[i];
	for (int i = 0; i < LIMBS; i++)
		for (int k = 0; k < LIMBS; k++)
			d[(i + k) % LIMBS] += (uint64_t)p->h[i] * p->r[k] * (i + k < LIMBS ? 1 : 5);
	for (int i = 0; i < LIMBS; i++) {
		d[i] += carry;
		carry = d[i] >> 26;
		p->h[i] = (uint32_t)d[i] & MASK26;
	}
	carry = p->h[0] + 5 * carry;
	p->h[0] = (uint32_t)carry & MASK26;
	p->h[1] += (uint32_t)(carry >> 26);
}

/* All limbs below 2^26; what goes around the top leaves less than one more round moves. */
static void poly_carry(uint32_t h[LIMBS])
{
	for (int round = 0; round < 2; round++) {
		uint32_t carry = 0;

		for (int i = 0; i < LIMBS; i++) {
			h[i] += carry;
			carry = h[i] >> 26;
			h[i] &= MASK26;
		}
		h[0] += 5 * carry;
	}
}

static void poly_tag(struct poly *p, uint8_t tag[AEAD_TAG_BYTES])
{
	uint32_t g[LIMBS], carry = 5, is_less;
	uint64_t sum = 0;

	poly_carry(p->h);
	/* h + 5 reaches 2^130 just when h is not below 2^130 - 5. */
	for (int i = 0; i < LIMBS; i++) {
		g[i] = p->h[i] + carry;
		carry = g[i] >> 26;
		g[i] &= MASK26;
	}
	is_less = carry - 1;
	for (int i = 0; i < LIMBS; i++)
		p->h[i] = (p->h[i] & is_less) | (g[i] & ~is_less);
	for (int i = 0; i < 4; i++) {
		uint32_t word = p->h[i] >> (6 * i) | p->h[i + 1] << (26 - 6 * i);

		sum += (uint64_t)word + le32(p->pad + 4 * i);
		le32_put(tag + 4 * i, (uint32_t)sum);
		sum >>= 32;
	}
	sodium_memzero(g, sizeof(g));
}

/* Section 2.8 without additional data: the text filled up with zeroes, and the lengths. */
static void hash(const struct aead_job *j, const uint8_t *text, uint8_t tag[AEAD_TAG_BYTES])
{
	uint8_t block[HASH_BYTES];
	struct poly p;

	poly_init(&p, j);
	for (uint32_t at = 0; at < j->len; at += HASH_BYTES) {
		uint32_t left = j->len - at;

		memset(block, 0, sizeof(block));
		memcpy(block, text + at, left < HASH_BYTES ? left : HASH_BYTES);
		poly_block(&p, block);
	}
	memset(block, 0, sizeof(block));
	le32_put(block + 8, j->len);
	poly_block(&p, block);
	poly_tag(&p, tag);
	sodium_memzero(&p, sizeof(p));
}

static bool is_same(const uint8_t *a, const uint8_t *b)
{
	uint8_t difference = 0;

	for (int i = 0; i < AEAD_TAG_BYTES; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

static bool ref_is_supported(void)
{
	return true;
}

static void *ref_ctx_new(void)
{
	return &no_state;
}

static void ref_ctx_free(void *ctx)
{
}

static void ref_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		xor_text(&jobs[i]);
		hash(&jobs[i], jobs[i].dst, jobs[i].dst + jobs[i].len);
	}
}

static void ref_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	uint8_t tag[AEAD_TAG_BYTES];

	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		hash(j, j->src, tag);
		j->ok = AEAD_PUBLIC(is_same(tag, j->src + j->len));
		if (j->ok)
			xor_text(j);
		else if (j->len)
			memset(j->dst, 0, j->len);
	}
	sodium_memzero(tag, sizeof(tag));
}

const struct aead_engine aead_ref = {
	.name = "ref",
	.is_supported = ref_is_supported,
	.ctx_new = ref_ctx_new,
	.ctx_free = ref_ctx_free,
	.seal = ref_seal,
	.open = ref_open,
};
