/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the multi-buffer engine: between aead_mb.c, which is plain C, and the kernels of one
 * instruction set. MB_AVX2 or MB_AVX512 says which set a file is built for; aead_mb.c
 * is built once for each. Kernels are built with the flags of their set and called only
 * where the CPU has it. A kernel file includes no function of ours: one compiled with
 * those flags must not become the copy that everybody links.
 *
 * The ChaCha20 kernel makes a group of blocks of key stream at once, each in a lane,
 * 16 with AVX-512, 8 with AVX2. They may belong to any messages:
 *
 *	lane     0    1    2    3    4    5    6   ..
 *	message |---- 0 ----|  |---- 1 -----| |---- 2 ..
 *	block    0    1    2    0    1    2    0
 *
 * Block 0 of a message is its Poly1305 key, the others are XORed onto its text. A group
 * is filled, computed and finished; finishing is shuffles and memory, filling is plain
 * instructions, and a vector unit would be idle meanwhile. So a kernel does both
 * for the groups before and behind, between the rounds of the one that it computes.
 */
#ifndef DATAPLANE_CRYPTO_AEAD_MB_H
#define DATAPLANE_CRYPTO_AEAD_MB_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/crypto/aead_mb_set.h"

/*
 * MB_LANES: blocks of key stream side by side; MB_HASHES: messages hashed side by side, and
 * MB_HASH_GROUPS: so many times in turns, where one alone would wait for its products.
 */
#if defined(MB_AVX512)
#define MB_LANES	 16
#define MB_HASHES	 8
#define MB_HASH_GROUPS	 2
#define MB_SET_NAME	 "mb-avx512"
#define MB_FOR_SET(name) name##_avx512
#else /* MB_AVX2, and what the header is by itself */
#define MB_LANES	 8
#define MB_HASHES	 4
#define MB_HASH_GROUPS	 1
#define MB_SET_NAME	 "mb-avx2"
#define MB_FOR_SET(name) name##_avx2
#endif

/* More than what a kernel leaves on the stack, to be wiped; check_aead_objects.py measures it. */
#if defined(MB_AVX2) && defined(__clang__)
#define MB_STACK 12288
#elif defined(MB_AVX2)
#define MB_STACK 3072
#else
#define MB_STACK 5120
#endif

#define MB_HASH_KEY MB_BLOCK_BYTES /* block 0 as it is; the first half of it is the key */

struct mb_group {
	/* Between computing and finishing, MB_LANES blocks as the kernel likes them. Secret. */
	uint8_t *stream;
	/* Of the lanes: where a block comes from. */
	uint64_t counters[MB_LANES];
	uint32_t blocks[MB_LANES];
	/* What it is XORed onto, and to where. */
	const uint8_t *src[MB_LANES];
	uint8_t *dst[MB_LANES];
	uint8_t bytes[MB_LANES]; /* of it, in lanes that are not whole; 0: not in use */
	uint32_t whole;		 /* lanes with MB_BLOCK_BYTES, bit by bit */
	/* A key is that of the lanes from first on, up to the next one's. */
	uint32_t n_keys;
	const uint8_t *keys[MB_LANES];
	uint8_t first[MB_LANES];
	unsigned done; /* messages that are complete with this group */
};

/* Where groups come from: messages in turn, a lane for each block. */
struct mb_feed {
	unsigned i, n; /* the next message, and how many there are */
	/* Block 0 of each goes here, one behind the other; NULL: there are no such lanes. */
	uint8_t (*hash_keys)[MB_HASH_KEY];
	/* The others go to their text; or, one behind the other, whole, to here. */
	uint8_t *keystream;
	unsigned first_text; /* messages before this one have no lanes but those of block 0 */
	/* What is left of the message before number i. */
	uint64_t counter;
	const uint8_t *key, *src;
	uint8_t *dst;
	uint32_t left, block;
};

/* What a block is XORed onto to be kept as it is. */
extern const uint8_t MB_FOR_SET(aead_mb_zeroes)[MB_BLOCK_BYTES];

/* Filling a group: the start, each lane in turn, the end. */
static inline void mb_feed_start(struct mb_feed *f, struct mb_group *g)
{
	g->whole = 0;
	g->n_keys = 0;
	if (f->left) {
		g->keys[0] = f->key;
		g->first[0] = 0;
		g->n_keys = 1;
	} else {
		f->key = NULL;
	}
}

static inline void mb_feed_message(struct mb_feed *f, const struct aead_job *j, struct mb_group *g,
				   unsigned lane)
{
	f->counter = j->counter;
	f->src = j->src;
	f->dst = j->dst;
	f->left = j->len;
	f->block = 1;
	if (j->key != f->key) {
		f->key = j->key;
		g->keys[g->n_keys] = j->key;
		g->first[g->n_keys++] = (uint8_t)lane;
	}
}

static inline void mb_feed_hash_key(struct mb_feed *f, struct mb_group *g, unsigned lane)
{
	if (f->i < f->first_text)
		f->left = 0;
	else if (f->keystream)
		f->left = (f->left + MB_BLOCK_BYTES - 1) & ~(MB_BLOCK_BYTES - 1u);
	g->counters[lane] = f->counter;
	g->blocks[lane] = 0;
	g->src[lane] = MB_FOR_SET(aead_mb_zeroes);
	g->dst[lane] = f->hash_keys[f->i++];
	g->whole |= 1u << lane;
}

static inline void mb_feed_text(struct mb_feed *f, struct mb_group *g, unsigned lane)
{
	g->counters[lane] = f->counter;
	g->blocks[lane] = f->block++;
	if (f->keystream) {
		g->src[lane] = MB_FOR_SET(aead_mb_zeroes);
		g->dst[lane] = f->keystream;
		f->keystream += MB_BLOCK_BYTES;
	} else {
		g->src[lane] = f->src;
		g->dst[lane] = f->dst;
		f->src += MB_BLOCK_BYTES;
		f->dst += MB_BLOCK_BYTES;
	}
	if (f->left >= MB_BLOCK_BYTES) {
		g->whole |= 1u << lane;
		f->left -= MB_BLOCK_BYTES;
	} else {
		g->bytes[lane] = (uint8_t)f->left;
		f->left = 0;
	}
}

static inline void mb_feed_lane(struct mb_feed *f, struct aead_job *const *jobs, struct mb_group *g,
				unsigned lane)
{
	if (!f->left) {
		if (f->i == f->n) {
			g->bytes[lane] = 0;
			return;
		}
		mb_feed_message(f, jobs[f->i], g, lane);
		if (f->hash_keys) {
			mb_feed_hash_key(f, g, lane);
			return;
		}
		f->i++;
	}
	mb_feed_text(f, g, lane);
}

static inline void mb_feed_end(const struct mb_feed *f, struct mb_group *g)
{
	g->done = f->i - (f->left != 0);
}

/* Longest first; where there are fewer than MB_HASHES, empty ones are last. */
struct mb_texts {
	const uint8_t *p[MB_HASHES];
	uint64_t bytes[MB_HASHES];
};

/* Computes g, finishes before if there is one, and fills next. */
void MB_FOR_SET(aead_mb_chacha)(struct mb_group *g, struct mb_group *before, struct mb_group *next,
				struct mb_feed *feed, struct aead_job *const *jobs);
void MB_FOR_SET(aead_mb_finish)(struct mb_group *g);

/*
 * For each that is ok: dst = src ^ key stream, of which each has whole blocks. Returns where
 * that of the next message is.
 */
const uint8_t *MB_FOR_SET(aead_mb_xor)(struct aead_job *const *jobs, unsigned n,
				       const uint8_t *keystream);

/*
 * Tags of n times MB_HASHES messages, n <= MB_HASH_GROUPS, without additional data: blocks
 * of 16, the last filled up with zeroes, and one that holds the length. Fastest when
 * they are of like length. texts are changed.
 */
void MB_FOR_SET(aead_mb_poly)(struct mb_texts *texts, unsigned n, uint8_t (*keys)[MB_HASH_KEY],
			      uint8_t (*tags)[AEAD_TAG_BYTES]);

#endif
