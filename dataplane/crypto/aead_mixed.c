/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that takes the faster of two for each part of a batch. The multi-buffer
 * engine wins where messages fill its lanes, ipsec-mb where they are few, or long
 * and of unlike lengths.
 *
 * Jobs sorted by length are looked at in groups, which the multi-buffer engine
 * would hash side by side: eights, or with AVX2 fours. What either engine takes for them follows
 * from four costs, which ctx_new measures (half a millisecond), so the bounds are this machine's
 * own.
 *
 * A context belongs to one worker.
 */
#include <stdlib.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

/*
 * What hashing costs beside its chunks of 64 bytes, counted in these: setting up
 * and finishing, with what the engine does around it.
 */
#define HASH_FIXED_CHUNKS 2

#define SAMPLE_JOBS  8
#define SAMPLE_BYTES 1024
#define SAMPLE_CALLS 4
#define SAMPLES	     8

/* In picoseconds. */
struct costs {
	int64_t lanes;	 /* multi-buffer: its lanes' blocks of key stream */
	int64_t chunk;	 /* multi-buffer: 64 bytes of each message of a group hashed */
	int64_t message; /* ipsec-mb: a message, beside its blocks */
	int64_t block;	 /* ipsec-mb: 64 bytes */
};

struct mixed_ctx {
	const struct aead_mb *set;
	void *mb, *ipsecmb;
	struct costs costs;
};

typedef void call(void *ctx, struct aead_job *jobs, unsigned n);

static bool mixed_is_supported(void)
{
	return aead_mb_best() && aead_ipsecmb.is_supported();
}

static int64_t blocks(uint32_t bytes)
{
	return (bytes + MB_BLOCK_BYTES - 1) / MB_BLOCK_BYTES;
}

/* Picoseconds that sealing n messages of len bytes takes at best. */
static int64_t measure(const struct aead_engine *e, void *ctx, unsigned n, uint32_t len)
{
	static const uint8_t key[AEAD_KEY_BYTES], text[SAMPLE_BYTES];
	uint8_t out[SAMPLE_JOBS][SAMPLE_BYTES + AEAD_TAG_BYTES];
	struct aead_job jobs[SAMPLE_JOBS];
	int64_t best = INT64_MAX;

	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){
			.key = key, .counter = i, .src = text, .dst = out[i], .len = len};
	/* The first sample also warms the caches. */
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t start = clock_now_ns();
		int64_t ps;

		for (unsigned k = 0; k < SAMPLE_CALLS; k++)
			e->seal(ctx, jobs, n);
		ps = (int64_t)(clock_now_ns() - start) * 1000 / SAMPLE_CALLS;
		if (ps < best)
			best = ps;
	}
	return best;
}

static int64_t positive(int64_t cost)
{
	/* An interruption may fall into all samples of one measurement. */
	return cost > 0 ? cost : 1;
}

/* How often the lanes are filled for n messages of SAMPLE_BYTES and their hash keys. */
static int64_t fillings(const struct aead_mb *set, unsigned n)
{
	return (n * (1 + SAMPLE_BYTES / MB_BLOCK_BYTES) + set->lanes - 1) / set->lanes;
}

static struct costs measure_costs(const struct mixed_ctx *c)
{
	const struct aead_mb *set = c->set;
	int64_t text_blocks = SAMPLE_BYTES / MB_BLOCK_BYTES;
	/* Both hash as much. */
	int64_t mb_many = measure(&set->engine, c->mb, set->hashes, SAMPLE_BYTES);
	int64_t mb_one = measure(&set->engine, c->mb, 1, SAMPLE_BYTES);
	int64_t other_long = measure(&aead_ipsecmb, c->ipsecmb, SAMPLE_JOBS, SAMPLE_BYTES);
	int64_t other_short = measure(&aead_ipsecmb, c->ipsecmb, SAMPLE_JOBS, MB_BLOCK_BYTES);
	int64_t one = fillings(set, 1);
	struct costs p;

	p.lanes = positive((mb_many - mb_one) / (fillings(set, set->hashes) - one));
	p.chunk = positive((mb_one - one * p.lanes) / (text_blocks + HASH_FIXED_CHUNKS));
	p.block = positive((other_long - other_short) / (text_blocks - 1) / SAMPLE_JOBS);
	p.message = positive(other_short / SAMPLE_JOBS - p.block);
	return p;
}

static void mixed_ctx_free(void *ctx)
{
	struct mixed_ctx *c = ctx;

	if (!c)
		return;
	c->set->engine.ctx_free(c->mb);
	aead_ipsecmb.ctx_free(c->ipsecmb);
	free(c);
}

void *aead_mixed_ctx_for(const struct aead_mb *set, void *ipsecmb)
{
	struct mixed_ctx *c = calloc(1, sizeof(*c));

	if (!c) {
		aead_ipsecmb.ctx_free(ipsecmb);
		return NULL;
	}
	c->set = set;
	c->mb = set->engine.ctx_new();
	c->ipsecmb = ipsecmb;
	if (!c->mb || !c->ipsecmb) {
		mixed_ctx_free(c);
		return NULL;
	}
	c->costs = measure_costs(c);
	return c;
}

static void *mixed_ctx_new(void)
{
	return aead_mixed_ctx_for(aead_mb_best(), aead_ipsecmb.ctx_new());
}

/* Is the multi-buffer engine the faster for a group of n messages, the longest first? */
static bool is_for_mb(const struct mixed_ctx *c, struct aead_job *const *sorted, unsigned n)
{
	const struct costs *p = &c->costs;
	int64_t text_blocks = 0, lanes;

	for (unsigned i = 0; i < n; i++)
		text_blocks += blocks(sorted[i]->len);
	lanes = (text_blocks + n + c->set->lanes - 1) / c->set->lanes;
	return lanes * p->lanes + (blocks(sorted[0]->len) + HASH_FIXED_CHUNKS) * p->chunk <=
	       n * p->message + text_blocks * p->block;
}

/* Keeps in sorted what the multi-buffer engine takes, and returns the number of the others. */
static unsigned split(const struct mixed_ctx *c, struct aead_job **sorted, unsigned n,
		      struct aead_job **others)
{
	unsigned kept = 0, given = 0, group = c->set->hashes;

	/* All groups alike, as bulk traffic has them, and the answer is to keep. */
	if (n && n % group == 0 && blocks(sorted[0]->len) == blocks(sorted[n - 1]->len) &&
	    is_for_mb(c, sorted, group))
		return 0;
	for (unsigned i = 0; i < n; i += group) {
		unsigned some = n - i < group ? n - i : group;
		bool is_mb = is_for_mb(c, sorted + i, some);

		for (unsigned k = i; k < i + some; k++)
			if (is_mb)
				sorted[kept++] = sorted[k];
			else
				others[given++] = sorted[k];
	}
	return given;
}

/* ipsec-mb takes jobs in a row. */
static void run_others(call *run, void *ctx, struct aead_job **others, unsigned n)
{
	struct aead_job row[AEAD_BATCH_MAX];

	for (unsigned i = 0; i < n; i++)
		row[i] = *others[i];
	run(ctx, row, n);
	for (unsigned i = 0; i < n; i++)
		others[i]->ok = row[i].ok;
}

static void mixed_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct aead_job *sorted[AEAD_BATCH_MAX], *others[AEAD_BATCH_MAX];
	struct mixed_ctx *c = ctx;
	unsigned given;

	aead_mb_sort(sorted, jobs, n);
	given = split(c, sorted, n, others);
	if (given)
		run_others(aead_ipsecmb.seal, c->ipsecmb, others, given);
	if (given < n)
		c->set->seal_sorted(c->mb, sorted, n - given);
}

static void mixed_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct aead_job *sorted[AEAD_BATCH_MAX], *others[AEAD_BATCH_MAX];
	struct mixed_ctx *c = ctx;
	unsigned given;

	aead_mb_sort(sorted, jobs, n);
	given = split(c, sorted, n, others);
	if (given)
		run_others(aead_ipsecmb.open, c->ipsecmb, others, given);
	if (given < n)
		c->set->open_sorted(c->mb, sorted, n - given);
}

const struct aead_engine aead_mixed = {
	.name = "mixed",
	.is_supported = mixed_is_supported,
	.ctx_new = mixed_ctx_new,
	.ctx_free = mixed_ctx_free,
	.seal = mixed_seal,
	.open = mixed_open,
};
