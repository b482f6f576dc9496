/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multi-buffer engine: many messages side by side in the lanes of a vector,
 * so that small ones fill it too. This file says which message goes to which lane;
 * the kernels compute (aead_mb.h). It is built once for each instruction set.
 *
 * Jobs are taken in order of length, the longest first. All their blocks of key
 * stream, the Poly1305 key of each included, form one sequence that is computed
 * MB_LANES at a time, and MB_HASHES neighbours in length are hashed together as soon as
 * their ciphertext is complete, while it is in the cache. Opening first computes
 * all Poly1305 keys, and a message's other blocks when its tag was right: plaintext
 * of a forged one never exists.
 *
 * A context belongs to one worker. What it and the stack hold that derives from keys
 * is wiped at the end of each call; vector registers are not.
 */
#include <sodium.h>
#include <stdlib.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb.h"
#include "lib/base/bug.h"

#define CACHE_LINE 64

/*
 * Opening keeps the key stream of short messages beside their Poly1305 keys, which
 * saves a second setting up of their lanes: 86 instead of 96 ticks a message of 64
 * bytes, 118 instead of 125 at 128. From 256 bytes on it costs more than it saves.
 */
#define KEPT_LEN_MAX 192
/* Room for a whole batch of such messages, and the lanes that are not kept. */
#define KEPT_BLOCKS (AEAD_BATCH_MAX * (1 + KEPT_LEN_MAX / MB_BLOCK_BYTES) + MB_LANES)

struct mb_ctx {
	/* Secret while a call runs. */
	uint8_t keystream[KEPT_BLOCKS][MB_BLOCK_BYTES];
	uint8_t hash_keys[AEAD_BATCH_MAX][MB_HASH_KEY];
	uint8_t tags[MB_HASHES][AEAD_TAG_BYTES];
	/* Runs that do not fill the lanes yet. */
	struct mb_run runs[MB_LANES];
	unsigned n_runs, lanes;
	unsigned filled;	  /* blocks of keystream before these lanes, a multiple of them */
	bool has_texts;		  /* false while open computes ahead of its checks */
	struct aead_job **sorted; /* of this call */
	uint16_t kept_at[AEAD_BATCH_MAX]; /* block 0 of each, by the same order */
	unsigned n;			  /* of sorted */
};

static_assert(AEAD_BATCH_MAX % MB_HASHES == 0, "the last hashing finds all its keys");
static_assert(KEPT_BLOCKS % MB_LANES == 0, "the kernel stores all lanes");
static_assert(MB_HASH_KEY == 32 && AEAD_TAG_BYTES == 16, "as in RFC 8439");

static bool mb_is_supported(void)
{
	__builtin_cpu_init();
#ifdef MB_AVX512
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
#else
	return __builtin_cpu_supports("avx2");
#endif
}

static void *mb_ctx_new(void)
{
	struct mb_ctx *c =
		aligned_alloc(CACHE_LINE, (sizeof(*c) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);

	if (c)
		memset(c, 0, sizeof(*c));
	return c;
}

static void mb_ctx_free(void *ctx)
{
	free(ctx);
}

static void begin(struct mb_ctx *c, struct aead_job **sorted, unsigned n)
{
	BUG_ON(n > AEAD_BATCH_MAX);
	c->sorted = sorted;
	c->n = n;
	c->n_runs = 0;
	c->lanes = 0;
	c->filled = 0;
	c->has_texts = true;
}

static void end(struct mb_ctx *c)
{
	sodium_memzero(c->keystream, (c->filled + MB_LANES) * sizeof(c->keystream[0]));
	sodium_memzero(c->hash_keys, c->n * sizeof(c->hash_keys[0]));
	sodium_memzero(c->tags, sizeof(c->tags));
	sodium_stackzero(MB_STACK);
}

static void flush(struct mb_ctx *c)
{
	if (!c->n_runs)
		return;
	MB_FOR_SET(aead_mb_chacha)
	(c->runs, c->n_runs, c->has_texts, c->hash_keys, c->keystream + c->filled);
	if (!c->has_texts)
		c->filled += MB_LANES;
	c->n_runs = 0;
	c->lanes = 0;
}

/* Queues n blocks of message i, the first of them number block. */
static void add_blocks(struct mb_ctx *c, unsigned i, uint32_t block, uint32_t n)
{
	while (n) {
		uint32_t take = n < MB_LANES - c->lanes ? n : MB_LANES - c->lanes;

		c->runs[c->n_runs++] = (struct mb_run){
			.job = c->sorted[i],
			.block = block,
			.at = (uint8_t)i,
			.first = (uint8_t)c->lanes,
			.lanes = (uint8_t)take,
		};
		block += take;
		n -= take;
		c->lanes += take;
		if (c->lanes == MB_LANES)
			flush(c);
	}
}

static uint32_t text_blocks(const struct aead_job *j)
{
	return (j->len + MB_BLOCK_BYTES - 1) / MB_BLOCK_BYTES;
}

/* The tags of MB_HASHES messages from i, or of as many as are left. */
static void hash(struct mb_ctx *c, unsigned i, bool is_seal)
{
	unsigned n = c->n - i < MB_HASHES ? c->n - i : MB_HASHES;
	struct mb_texts texts;

	for (unsigned k = 0; k < n; k++) {
		const struct aead_job *j = c->sorted[i + k];

		texts.p[k] = is_seal ? j->dst : j->src;
		texts.bytes[k] = j->len;
	}
	for (unsigned k = n; k < MB_HASHES; k++) {
		texts.p[k] = NULL;
		texts.bytes[k] = 0;
	}
	MB_FOR_SET(aead_mb_poly)(&texts, &c->hash_keys[i], c->tags);
}

static void put_tags(struct mb_ctx *c, unsigned i)
{
	hash(c, i, true);
	for (unsigned k = 0; k < MB_HASHES && i + k < c->n; k++)
		memcpy(c->sorted[i + k]->dst + c->sorted[i + k]->len, c->tags[k], AEAD_TAG_BYTES);
}

static bool is_same(const uint8_t a[AEAD_TAG_BYTES], const uint8_t b[AEAD_TAG_BYTES])
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static void check_tags(struct mb_ctx *c, unsigned i)
{
	hash(c, i, false);
	for (unsigned k = 0; k < MB_HASHES && i + k < c->n; k++) {
		struct aead_job *j = c->sorted[i + k];

		j->ok = AEAD_PUBLIC(is_same(c->tags[k], j->src + j->len));
	}
}

static void mb_seal_sorted(void *ctx, struct aead_job **sorted, unsigned n)
{
	struct mb_ctx *c = ctx;
	unsigned hashed = 0;

	begin(c, sorted, n);
	for (unsigned i = 0; i < n; i++) {
		unsigned complete;

		add_blocks(c, i, 0, 1 + text_blocks(c->sorted[i]));
		complete = c->n_runs ? c->runs[0].at : i + 1;
		for (; hashed + MB_HASHES <= complete; hashed += MB_HASHES)
			put_tags(c, hashed);
	}
	flush(c);
	for (; hashed < n; hashed += MB_HASHES)
		put_tags(c, hashed);
	end(c);
}

/*
 * Computes the Poly1305 keys of all, and of those at the end, the short ones, as
 * much key stream as there is room for. Returns the first of these.
 */
static unsigned compute_ahead(struct mb_ctx *c)
{
	unsigned room = KEPT_BLOCKS - MB_LANES - c->n, kept = c->n;

	while (kept && c->sorted[kept - 1]->len <= KEPT_LEN_MAX &&
	       room >= text_blocks(c->sorted[kept - 1]))
		room -= text_blocks(c->sorted[--kept]);
	c->has_texts = false;
	for (unsigned i = 0; i < c->n; i++) {
		c->kept_at[i] = (uint16_t)(c->filled + c->lanes);
		add_blocks(c, i, 0, 1 + (i < kept ? 0 : text_blocks(c->sorted[i])));
	}
	flush(c);
	c->has_texts = true;
	return kept;
}

static void mb_open_sorted(void *ctx, struct aead_job **sorted, unsigned n)
{
	struct mb_ctx *c = ctx;
	unsigned kept;

	begin(c, sorted, n);
	kept = compute_ahead(c);
	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = c->sorted[i];

		if (i % MB_HASHES == 0)
			check_tags(c, i);
		if (!j->ok) {
			if (j->len)
				memset(j->dst, 0, j->len);
		} else if (i < kept) {
			add_blocks(c, i, 1, text_blocks(j));
		} else {
			MB_FOR_SET(aead_mb_xor)(j, c->keystream + c->kept_at[i] + 1);
		}
	}
	flush(c);
	end(c);
}

static void mb_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct aead_job *sorted[AEAD_BATCH_MAX];

	aead_mb_sort(sorted, jobs, n);
	mb_seal_sorted(ctx, sorted, n);
}

static void mb_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct aead_job *sorted[AEAD_BATCH_MAX];

	aead_mb_sort(sorted, jobs, n);
	mb_open_sorted(ctx, sorted, n);
}

const struct aead_mb MB_FOR_SET(aead_mb) = {
	.engine =
		{
			.name = MB_SET_NAME,
			.is_supported = mb_is_supported,
			.ctx_new = mb_ctx_new,
			.ctx_free = mb_ctx_free,
			.seal = mb_seal,
			.open = mb_open,
		},
	.lanes = MB_LANES,
	.hashes = MB_HASHES,
	.seal_sorted = mb_seal_sorted,
	.open_sorted = mb_open_sorted,
};
