/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multi-buffer engine: many messages side by side in the lanes of a vector,
 * so that small ones fill it too. This file says which message goes to which lane;
 * the kernels compute (aead_mb.h). It is built once for each instruction set.
 *
 * Jobs are taken in order of length, the longest first. All their blocks of key
 * stream, the Poly1305 key of each included, form one sequence that is computed
 * MB_LANES at a time, and neighbours in length are hashed together as soon as their
 * ciphertext is complete, while it is in the cache. Opening first computes all
 * Poly1305 keys, and a message's other blocks when its tag was right: plaintext of a
 * forged one never exists.
 *
 * A context belongs to one worker. What it and the stack hold that derives from keys
 * is wiped at the end of each call; vector registers are not.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb.h"
#include "lib/base/bug.h"

#define CACHE_LINE 64

/*
 * Opening keeps the key stream of short messages beside their Poly1305 keys, which
 * saves groups that are not full: one message of 64 bytes needs one of them, not two.
 */
#define KEPT_LEN_MAX 192
/* Room for a whole batch of such messages. */
#define KEPT_BLOCKS (AEAD_BATCH_MAX * KEPT_LEN_MAX / MB_BLOCK_BYTES)

#define HASHES_MAX (MB_HASH_GROUPS * MB_HASHES)

struct mb_ctx {
	/* Secret while a call runs. */
	uint8_t streams[2][MB_LANES * MB_BLOCK_BYTES];
	uint8_t tags[HASHES_MAX][AEAD_TAG_BYTES];
	/* Poly1305 keys of all messages, and behind the last the key stream that is kept. */
	uint8_t hash_keys[AEAD_BATCH_MAX + KEPT_BLOCKS][MB_HASH_KEY];

	struct mb_group groups[3];
	struct aead_job **sorted; /* of this call */
	unsigned n;
	/* Opening: from here on key stream is kept, and where that of the next is. */
	unsigned first_kept;
	const uint8_t *kept;
	/* Those before whose tags were right. */
	struct aead_job *right[AEAD_BATCH_MAX];
	unsigned n_right;
};

static_assert(offsetof(struct mb_ctx, streams) == 0, "what end() wipes begins there");
static_assert(AEAD_BATCH_MAX % HASHES_MAX == 0, "the last hashing finds all its keys");

/* What makes a block of key stream of itself. */
const uint8_t MB_FOR_SET(aead_mb_zeroes)[MB_BLOCK_BYTES];

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
}

/* secrets_end: behind the last Poly1305 key or key stream in use. */
static void end(struct mb_ctx *c, const uint8_t *secrets_end)
{
	sodium_memzero(c, (size_t)(secrets_end - (const uint8_t *)c));
	sodium_stackzero(MB_STACK);
}

static inline bool has_lanes(const struct mb_group *g)
{
	return g->n_keys;
}

static void fill(struct mb_feed *feed, struct aead_job *const *jobs, struct mb_group *g)
{
	struct mb_feed f = *feed;

	mb_feed_start(&f, g);
	for (unsigned i = 0; i < MB_LANES; i++)
		mb_feed_lane(&f, jobs, g, i);
	mb_feed_end(&f, g);
	*feed = f;
}

/* The tags of HASHES_MAX messages from i, or of as many as are left. */
static void hash(struct mb_ctx *c, unsigned i, bool is_seal)
{
	unsigned n = c->n - i < HASHES_MAX ? c->n - i : HASHES_MAX;
	struct mb_texts texts[MB_HASH_GROUPS];
	unsigned k = 0, groups = 0;

	do {
		struct mb_texts *t = &texts[groups++];

		for (unsigned at = 0; at < MB_HASHES; at++, k++) {
			if (k < n) {
				const struct aead_job *j = c->sorted[i + k];

				t->p[at] = is_seal ? j->dst : j->src;
				t->bytes[at] = j->len;
			} else {
				/* Never NULL: a load under an empty mask would be slow there. */
				t->p[at] = MB_FOR_SET(aead_mb_zeroes);
				t->bytes[at] = 0;
			}
		}
	} while (k < n);
	MB_FOR_SET(aead_mb_poly)(texts, groups, &c->hash_keys[i], c->tags);
}

static void put_tags(struct mb_ctx *c, unsigned i)
{
	hash(c, i, true);
	for (unsigned k = 0; k < HASHES_MAX && i + k < c->n; k++)
		memcpy(c->sorted[i + k]->dst + c->sorted[i + k]->len, c->tags[k], AEAD_TAG_BYTES);
}

static void clear(struct aead_job *j)
{
	if (j->len)
		memset(j->dst, 0, j->len);
}

static bool is_same(const uint8_t a[AEAD_TAG_BYTES], const uint8_t b[AEAD_TAG_BYTES])
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* And what then can be done at once, while the texts are in the cache. */
static void check_tags(struct mb_ctx *c, unsigned i)
{
	unsigned end = i + HASHES_MAX < c->n ? i + HASHES_MAX : c->n;
	unsigned first_kept = c->first_kept > i ? c->first_kept : i;

	hash(c, i, false);
	for (unsigned k = i; k < end; k++) {
		struct aead_job *j = c->sorted[k];

		j->ok = AEAD_PUBLIC(is_same(c->tags[k - i], j->src + j->len));
	}
	for (unsigned k = i; k < end; k++) {
		struct aead_job *j = c->sorted[k];

		if (!j->ok)
			clear(j);
		else if (k < first_kept)
			c->right[c->n_right++] = j;
	}
	if (first_kept < end)
		c->kept =
			MB_FOR_SET(aead_mb_xor)(c->sorted + first_kept, end - first_kept, c->kept);
}

static void no_tags(struct mb_ctx *c, unsigned i)
{
}

/*
 * Computes all that is fed, one group behind filling and one before finishing. Calls
 * on_complete for HASHES_MAX messages that are complete, or as many as there are at last.
 */
static inline __attribute__((always_inline)) void
compute(struct mb_ctx *c, struct mb_feed *f, struct aead_job *const *jobs,
	void (*on_complete)(struct mb_ctx *c, unsigned i))
{
	struct mb_group *g = c->groups, *before = NULL, *next = c->groups + 1;
	unsigned hashed = 0, n = 0;

	fill(f, jobs, g);
	while (has_lanes(g)) {
		struct mb_group *last = before;

		g->stream = c->streams[n++ % 2];
		MB_FOR_SET(aead_mb_chacha)(g, before, next, f, jobs);
		for (; before && hashed + HASHES_MAX <= before->done; hashed += HASHES_MAX)
			on_complete(c, hashed);
		before = g;
		g = next;
		next = last ? last : c->groups + 2;
	}
	if (before)
		MB_FOR_SET(aead_mb_finish)(before);
	for (; hashed < c->n; hashed += HASHES_MAX)
		on_complete(c, hashed);
}

static void mb_seal_sorted(void *ctx, struct aead_job **sorted, unsigned n)
{
	struct mb_ctx *c = ctx;
	struct mb_feed f = {.n = n, .hash_keys = c->hash_keys};

	begin(c, sorted, n);
	compute(c, &f, sorted, put_tags);
	end(c, c->hash_keys[n]);
}

static void mb_open_sorted(void *ctx, struct aead_job **sorted, unsigned n)
{
	struct mb_ctx *c = ctx;
	struct mb_feed f = {.n = n, .hash_keys = c->hash_keys, .keystream = c->hash_keys[n]};

	begin(c, sorted, n);
	c->n_right = 0;
	c->kept = f.keystream;
	c->first_kept = 0;
	while (c->first_kept < n && sorted[c->first_kept]->len > KEPT_LEN_MAX)
		c->first_kept++;
	f.first_text = c->first_kept;
	compute(c, &f, sorted, check_tags);
	if (c->n_right) {
		f = (struct mb_feed){.n = c->n_right};
		compute(c, &f, c->right, no_tags);
	}
	end(c, c->kept);
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
