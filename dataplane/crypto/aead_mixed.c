/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that takes the faster of two for each part of a batch. The multi-buffer
 * engine wins where messages fill its lanes, ipsec-mb where they are few, or long
 * and of unlike lengths.
 *
 * ctx_new seals samples of each size class with both, a batch of like messages and one
 * alone (about 10 ms in all), so the bounds are this machine's own. Jobs sorted by length
 * are looked at in groups, which the multi-buffer engine would hash side by side: eights, or
 * with AVX2 fours. A full group of one class, and a message alone, goes where its samples
 * were faster; what either engine takes for any other group follows from the costs that
 * the samples are made of. A class that was given away by name (aead_mixed_force) goes where
 * it was given.
 *
 * A context belongs to one worker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"

/* Messages in a sample of many, two groups with AVX-512. */
#define SAMPLE_JOBS  16
#define SAMPLE_CALLS 4
#define SAMPLES	     4
/* All classes, again and again: a CPU that was idle is slow for milliseconds. */
#define PASSES 5

/* A class has the messages up to its length that are longer than the one before. */
static const uint32_t class_bytes[] = {64, 128, 256, 512, 1024, 1500, 9000};
#define CLASSES	    ARRAY_SIZE(class_bytes)
#define CLASS_SHORT 0 /* of a block */
#define CLASS_LONG  4 /* costs are taken from this one and the shortest */
#define CLASS_KEPT  1 /* up to here the multi-buffer engine opens in one go */
#define BYTES_MAX   9000

/* Sixteenths of a tick, for all messages of the sample. */
struct sample {
	int64_t many, alone;
};

enum { MB, IPSECMB, MEASURED };

/* Sixteenths of a tick. */
struct costs {
	int64_t lanes; /* multi-buffer: its lanes' blocks of key stream */
	int64_t chunk; /* multi-buffer: 64 bytes of each message of a group hashed */
	int64_t group; /* multi-buffer: to hash a group at all */
	int64_t call;  /* multi-buffer: once, where no other group is there to hide it */
	/* ipsec-mb, in a class: a message of the longest before it, and each block more. */
	struct {
		int64_t message, block;
	} other[CLASSES];
};

struct mixed_ctx {
	const struct aead_mb *set;
	void *mb, *ipsecmb;
	struct sample samples[CLASSES][2];
	struct costs costs;
};

/* What the operator said of a class; control thread, before there is a context. */
static uint8_t forced[CLASSES] = {[0 ... CLASSES - 1] = MEASURED};

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

/*
 * What sealing n messages of len bytes takes either engine at best. They take turns, for the
 * clock of the CPU may change. There is room for all in texts and out.
 */
static void measure(const struct mixed_ctx *c, unsigned n, uint32_t len, const uint8_t *texts,
		    uint8_t *out, int64_t best[2])
{
	const struct aead_engine *engines[] = {[MB] = &c->set->engine, [IPSECMB] = &aead_ipsecmb};
	void *ctxs[] = {[MB] = c->mb, [IPSECMB] = c->ipsecmb};
	static const uint8_t key[AEAD_KEY_BYTES];
	struct aead_job jobs[SAMPLE_JOBS];

	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){.key = key,
					    .counter = i,
					    .src = texts + i * len,
					    .dst = out + i * (len + AEAD_TAG_BYTES),
					    .len = len};
	best[MB] = best[IPSECMB] = INT64_MAX;
	/* The first samples also warm the caches. */
	for (unsigned i = 0; i < 2 * SAMPLES; i++) {
		unsigned e = i % 2;
		uint64_t start = __rdtsc();
		int64_t ticks;

		for (unsigned k = 0; k < SAMPLE_CALLS; k++)
			engines[e]->seal(ctxs[e], jobs, n);
		ticks = (int64_t)(__rdtsc() - start) * 16 / SAMPLE_CALLS;
		if (ticks < best[e])
			best[e] = ticks;
	}
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

/*
 * Between the long class and the short one the multi-buffer engine fills its lanes more often
 * and hashes more chunks: many do both for each group, one alone does it for one.
 */
static struct costs costs_of(const struct mixed_ctx *c)
{
	const struct sample *s = c->samples[CLASS_SHORT], *l = c->samples[CLASS_LONG];
	uint32_t bytes = class_bytes[CLASS_LONG];
	int64_t more = blocks(bytes) - 1, groups = SAMPLE_JOBS / c->set->hashes;
	int64_t short_many = fillings(c->set, SAMPLE_JOBS, class_bytes[CLASS_SHORT]);
	int64_t short_alone = fillings(c->set, 1, class_bytes[CLASS_SHORT]);
	int64_t more_many = fillings(c->set, SAMPLE_JOBS, bytes) - short_many;
	int64_t more_alone = fillings(c->set, 1, bytes) - short_alone;
	int64_t longer_many = l[MB].many - s[MB].many, longer_alone = l[MB].alone - s[MB].alone;
	struct costs p;

	p.lanes =
		positive((longer_many - groups * longer_alone) / (more_many - groups * more_alone));
	p.chunk = positive((longer_alone - more_alone * p.lanes) / more);
	p.group = positive((s[MB].many - short_many * p.lanes) / groups - p.chunk);
	p.call = positive(s[MB].alone - short_alone * p.lanes - p.chunk - p.group);
	p.other[0].message = c->samples[0][IPSECMB].many / SAMPLE_JOBS;
	p.other[0].block = 0;
	for (unsigned i = 1; i < CLASSES; i++) {
		int64_t message = c->samples[i - 1][IPSECMB].many / SAMPLE_JOBS;

		p.other[i].message = message;
		p.other[i].block = (c->samples[i][IPSECMB].many / SAMPLE_JOBS - message) /
				   (blocks(class_bytes[i]) - blocks(class_bytes[i - 1]));
	}
	return p;
}

static int measure_all(struct mixed_ctx *c)
{
	uint8_t *texts = calloc(SAMPLE_JOBS, BYTES_MAX);
	uint8_t *out = calloc(SAMPLE_JOBS, BYTES_MAX + AEAD_TAG_BYTES);
	int ret = -ENOMEM;

	if (!texts || !out)
		goto no_memory;
	for (unsigned i = 0; i < PASSES * CLASSES; i++) {
		unsigned class = i % CLASSES;
		int64_t many[2], alone[2];

		measure(c, SAMPLE_JOBS, class_bytes[class], texts, out, many);
		measure(c, 1, class_bytes[class], texts, out, alone);
		for (unsigned e = 0; e < 2; e++) {
			struct sample *s = &c->samples[class][e];

			if (i < CLASSES || many[e] < s->many)
				s->many = many[e];
			if (i < CLASSES || alone[e] < s->alone)
				s->alone = alone[e];
		}
	}
	c->costs = costs_of(c);
	ret = 0;
no_memory:
	free(texts);
	free(out);
	return ret;
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

/* "64": the class of messages up to 64 bytes; -1 = there is no such one. */
static int class_named(const char *text, size_t len)
{
	char name[16];

	for (unsigned i = 0; i < CLASSES; i++) {
		snprintf(name, sizeof(name), "%u", class_bytes[i]);
		if (strlen(name) == len && memcmp(name, text, len) == 0)
			return (int)i;
	}
	return -1;
}

static int engine_named(const char *text, size_t len)
{
	if (len == 2 && memcmp(text, "mb", 2) == 0)
		return MB;
	if (len == strlen(aead_ipsecmb.name) && memcmp(text, aead_ipsecmb.name, len) == 0)
		return IPSECMB;
	return MEASURED;
}

int aead_mixed_force(const char *text, char *why, size_t room)
{
	uint8_t wanted[CLASSES];

	memset(wanted, MEASURED, sizeof(wanted));
	for (;;) {
		size_t len = strcspn(text, ","), name = strcspn(text, "=,");
		int class = class_named(text, name);
		int engine = name < len ? engine_named(text + name + 1, len - name - 1) : MEASURED;
		int at;

		if (class < 0 || engine == MEASURED) {
			at = snprintf(why, room,
				      "\"%.*s\" is no SIZE=ENGINE; engines are mb and %s, sizes",
				      (int)(len < 32 ? len : 32), text, aead_ipsecmb.name);
			for (unsigned i = 0; i < CLASSES && at > 0 && (size_t)at < room; i++)
				at += snprintf(why + at, room - (size_t)at, " %u", class_bytes[i]);
			return -EINVAL;
		}
		wanted[class] = (uint8_t)engine;
		if (!text[len])
			break;
		text += len + 1;
	}
	memcpy(forced, wanted, sizeof(forced));
	return 0;
}

static bool is_mb_many(const struct mixed_ctx *c, unsigned class)
{
	if (forced[class] != MEASURED)
		return forced[class] == MB;
	return c->samples[class][MB].many <= c->samples[class][IPSECMB].many;
}

static bool is_mb_alone(const struct mixed_ctx *c, unsigned class)
{
	if (forced[class] != MEASURED)
		return forced[class] == MB;
	return c->samples[class][MB].alone <= c->samples[class][IPSECMB].alone;
}

/* What ipsec-mb takes for a message. */
static int64_t other_cost(const struct costs *p, uint32_t bytes)
{
	unsigned class = class_of(bytes);
	int64_t before = class ? blocks(class_bytes[class - 1]) : 0;

	return p->other[class].message + (blocks(bytes) - before) * p->other[class].block;
}

/*
 * Is the multi-buffer engine the faster for a group of n messages, the longest first? is_all:
 * there are no others. Opening takes two calls' worth, keys first and then the texts.
 */
static bool is_for_mb(const struct mixed_ctx *c, struct aead_job *const *sorted, unsigned n,
		      bool is_all, bool is_open)
{
	const struct costs *p = &c->costs;
	unsigned class = class_of(sorted[0]->len);
	int64_t text_blocks = 0, lanes, calls = is_all, other = 0;

	/* A group of several classes goes by its longest message. */
	if (forced[class] != MEASURED ||
	    (n == c->set->hashes && class_of(sorted[n - 1]->len) == class))
		return is_mb_many(c, class);
	for (unsigned i = 0; i < n; i++) {
		text_blocks += blocks(sorted[i]->len);
		other += other_cost(p, sorted[i]->len);
	}
	lanes = (text_blocks + n + c->set->lanes - 1) / c->set->lanes;
	if (is_all && is_open && class > CLASS_KEPT) {
		lanes++;
		calls++;
	}
	return calls * p->call + lanes * p->lanes + blocks(sorted[0]->len) * p->chunk + p->group <=
	       other;
}

/* Keeps in sorted what the multi-buffer engine takes, and returns the number of the others. */
static unsigned split(const struct mixed_ctx *c, struct aead_job **sorted, unsigned n,
		      struct aead_job **others, bool is_open)
{
	unsigned kept = 0, given = 0, group = c->set->hashes;

	/* All groups alike, as bulk traffic has them, and the answer is to keep. */
	if (n && n % group == 0 && blocks(sorted[0]->len) == blocks(sorted[n - 1]->len) &&
	    is_for_mb(c, sorted, group, false, is_open))
		return 0;
	for (unsigned i = 0; i < n; i += group) {
		unsigned some = n - i < group ? n - i : group;
		bool is_mb = is_for_mb(c, sorted + i, some, n <= group, is_open);

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

	if (n == 1 && !is_mb_alone(c, class_of(jobs->len))) {
		aead_ipsecmb.seal(c->ipsecmb, jobs, 1);
		return;
	}
	aead_mb_sort(sorted, jobs, n);
	given = split(c, sorted, n, others, false);
	if (given == n)
		aead_ipsecmb.seal(c->ipsecmb, jobs, n);
	else if (given)
		run_others(aead_ipsecmb.seal, c->ipsecmb, others, given);
	if (given < n)
		c->set->seal_sorted(c->mb, sorted, n - given);
}

static void mixed_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct aead_job *sorted[AEAD_BATCH_MAX], *others[AEAD_BATCH_MAX];
	struct mixed_ctx *c = ctx;
	unsigned given;

	if (n == 1 && !is_mb_alone(c, class_of(jobs->len))) {
		aead_ipsecmb.open(c->ipsecmb, jobs, 1);
		return;
	}
	aead_mb_sort(sorted, jobs, n);
	given = split(c, sorted, n, others, true);
	if (given == n)
		aead_ipsecmb.open(c->ipsecmb, jobs, n);
	else if (given)
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
