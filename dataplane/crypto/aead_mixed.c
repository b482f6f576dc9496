/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that takes the faster of two for each part of a batch. The multi-buffer
 * engine wins where messages fill its lanes, ipsec-mb where they are few, or long
 * and of unlike lengths.
 *
 * ctx_new seals samples of each size class with both, a batch of like messages and one
 * alone (about 4 ms in all), so the bounds are this machine's own. Jobs sorted by length
 * are looked at in groups, which the multi-buffer engine would hash side by side: eights, or
 * with AVX2 fours. A full group of one class, and a message alone, goes where its samples
 * were faster; what either engine takes for any other group follows from four costs that
 * the samples are made of.
 *
 * A context belongs to one worker.
 */
#include <errno.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"

/*
 * What hashing costs beside its chunks of 64 bytes, counted in these: setting up
 * and finishing, with what the engine does around it.
 */
#define HASH_FIXED_CHUNKS 2

/* Messages in a sample of many, two groups with AVX-512. */
#define SAMPLE_JOBS  16
#define SAMPLE_CALLS 4
#define SAMPLES	     8

/* A class has the messages up to its length that are longer than the one before. */
static const uint32_t class_bytes[] = {64, 128, 256, 512, 1024, 1500, 9000};
#define CLASSES	    ARRAY_SIZE(class_bytes)
#define CLASS_SHORT 0 /* of a block */
#define CLASS_LONG  4 /* costs are taken from this one and the shortest */
#define BYTES_MAX   9000

/* Sixteenths of a tick, for all messages of the sample. */
struct sample {
	int64_t many, alone;
};

enum { MB, IPSECMB };

/* Sixteenths of a tick. */
struct costs {
	int64_t lanes;	 /* multi-buffer: its lanes' blocks of key stream */
	int64_t chunk;	 /* multi-buffer: 64 bytes of each message of a group hashed */
	int64_t message; /* ipsec-mb: a message, beside its blocks */
	int64_t block;	 /* ipsec-mb: 64 bytes */
};

struct mixed_ctx {
	const struct aead_mb *set;
	void *mb, *ipsecmb;
	struct sample samples[CLASSES][2];
	struct costs costs;
};

static_assert(CLASSES <= AEAD_CHOICES_MAX, "choices() has room");

typedef void call(void *ctx, struct aead_job *jobs, unsigned n);

static bool mixed_is_supported(void)
{
	return aead_mb_best() && aead_ipsecmb.is_supported();
}

static int64_t blocks(uint32_t bytes)
{
	return (bytes + MB_BLOCK_BYTES - 1) / MB_BLOCK_BYTES;
}

static unsigned class_of(uint32_t bytes)
{
	unsigned c = 0;

	while (c < CLASSES - 1 && bytes > class_bytes[c])
		c++;
	return c;
}

/* What sealing n messages of len bytes takes at best. out has room for all. */
static int64_t measure(const struct aead_engine *e, void *ctx, unsigned n, uint32_t len,
		       uint8_t *out)
{
	static const uint8_t key[AEAD_KEY_BYTES], text[BYTES_MAX];
	struct aead_job jobs[SAMPLE_JOBS];
	int64_t best = INT64_MAX;

	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){.key = key,
					    .counter = i,
					    .src = text,
					    .dst = out + i * (len + AEAD_TAG_BYTES),
					    .len = len};
	/* The first sample also warms the caches. */
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t start = __rdtsc();
		int64_t ticks;

		for (unsigned k = 0; k < SAMPLE_CALLS; k++)
			e->seal(ctx, jobs, n);
		ticks = (int64_t)(__rdtsc() - start) * 16 / SAMPLE_CALLS;
		if (ticks < best)
			best = ticks;
	}
	return best;
}

static int64_t positive(int64_t cost)
{
	/* An interruption may fall into all samples of one measurement. */
	return cost > 0 ? cost : 1;
}

/* How often the lanes are filled for n messages of so many bytes and their hash keys. */
static int64_t fillings(const struct aead_mb *set, unsigned n, uint32_t bytes)
{
	return (n * (1 + blocks(bytes)) + set->lanes - 1) / set->lanes;
}

static struct costs costs_of(const struct mixed_ctx *c)
{
	const struct sample *long_mb = &c->samples[CLASS_LONG][MB];
	int64_t other_long = c->samples[CLASS_LONG][IPSECMB].many / SAMPLE_JOBS;
	int64_t other_short = c->samples[CLASS_SHORT][IPSECMB].many / SAMPLE_JOBS;
	int64_t text_blocks = blocks(class_bytes[CLASS_LONG]);
	int64_t one = fillings(c->set, 1, class_bytes[CLASS_LONG]);
	int64_t all = fillings(c->set, SAMPLE_JOBS, class_bytes[CLASS_LONG]);
	int64_t groups = SAMPLE_JOBS / c->set->hashes;
	struct costs p;

	/* Many fill the lanes more often, and hash as much as one alone for each group. */
	p.lanes = positive((long_mb->many - groups * long_mb->alone) / (all - groups * one));
	p.chunk = positive((long_mb->alone - one * p.lanes) / (text_blocks + HASH_FIXED_CHUNKS));
	p.block = positive((other_long - other_short) / (text_blocks - 1));
	p.message = positive(other_short - p.block);
	return p;
}

static int measure_all(struct mixed_ctx *c)
{
	const struct aead_engine *engines[] = {[MB] = &c->set->engine, [IPSECMB] = &aead_ipsecmb};
	void *ctxs[] = {[MB] = c->mb, [IPSECMB] = c->ipsecmb};
	uint8_t *out = malloc(SAMPLE_JOBS * (BYTES_MAX + AEAD_TAG_BYTES));

	if (!out)
		return -ENOMEM;
	for (unsigned i = 0; i < CLASSES; i++)
		for (unsigned e = 0; e < ARRAY_SIZE(engines); e++)
			c->samples[i][e] = (struct sample){
				.many = measure(engines[e], ctxs[e], SAMPLE_JOBS, class_bytes[i],
						out),
				.alone = measure(engines[e], ctxs[e], 1, class_bytes[i], out),
			};
	free(out);
	c->costs = costs_of(c);
	return 0;
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
	if (!c->mb || !c->ipsecmb || measure_all(c) < 0) {
		mixed_ctx_free(c);
		return NULL;
	}
	return c;
}

static void *mixed_ctx_new(void)
{
	return aead_mixed_ctx_for(aead_mb_best(), aead_ipsecmb.ctx_new());
}

static bool is_mb_many(const struct mixed_ctx *c, unsigned class)
{
	return c->samples[class][MB].many <= c->samples[class][IPSECMB].many;
}

static bool is_mb_alone(const struct mixed_ctx *c, unsigned class)
{
	return c->samples[class][MB].alone <= c->samples[class][IPSECMB].alone;
}

/* Is the multi-buffer engine the faster for a group of n messages, the longest first? */
static bool is_for_mb(const struct mixed_ctx *c, struct aead_job *const *sorted, unsigned n)
{
	const struct costs *p = &c->costs;
	unsigned class = class_of(sorted[0]->len);
	int64_t text_blocks = 0, lanes;

	if (n == 1)
		return is_mb_alone(c, class);
	if (n == c->set->hashes && class_of(sorted[n - 1]->len) == class)
		return is_mb_many(c, class);
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

static unsigned mixed_choices(const void *ctx, struct aead_choice out[AEAD_CHOICES_MAX])
{
	const struct mixed_ctx *c = ctx;

	for (unsigned i = 0; i < CLASSES; i++) {
		out[i] = (struct aead_choice){
			.up_to = class_bytes[i],
			.engines = {[MB] = c->set->engine.name, [IPSECMB] = aead_ipsecmb.name},
			.many = is_mb_many(c, i) ? MB : IPSECMB,
			.alone = is_mb_alone(c, i) ? MB : IPSECMB,
		};
		for (unsigned e = 0; e < AEAD_CHOICE_OF; e++) {
			out[i].many_ticks[e] = (uint32_t)(c->samples[i][e].many / SAMPLE_JOBS / 16);
			out[i].alone_ticks[e] = (uint32_t)(c->samples[i][e].alone / 16);
		}
	}
	return CLASSES;
}

const struct aead_engine aead_mixed = {
	.name = "mixed",
	.is_supported = mixed_is_supported,
	.ctx_new = mixed_ctx_new,
	.ctx_free = mixed_ctx_free,
	.seal = mixed_seal,
	.open = mixed_open,
	.choices = mixed_choices,
};
