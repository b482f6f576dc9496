/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto ROUNDS BATCH: ticks a message that each AEAD engine of this machine takes.
 *
 * In each round every engine does each load once, one right after the other, so that
 * figures of one round may be divided. A figure is the median of CALLS batches,
 * whose texts are in the cache. Prints a line a figure:
 *
 *	round  way  keys  load  engine  ticks
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "dataplane/crypto/aead_engines.h"
#include "lib/base/bug.h"

#define CALLS 101
/* Not a multiple of a page, or all texts would compete for the same lines of the cache. */
#define STRIDE	    (145 * 64)
#define ENGINES_MAX 8

struct load {
	const char *name;
	uint32_t lens[12]; /* in turn, to the first 0 */
};

static const struct load loads[] = {
	{"64", {64}},	  {"128", {128}},
	{"256", {256}},	  {"512", {512}},
	{"1024", {1024}}, {"1420", {1420}},
	{"9000", {9000}}, {"imix", {64, 64, 576, 64, 64, 1420, 64, 576, 64, 576, 64, 576}},
};

static uint8_t keys[AEAD_BATCH_MAX][AEAD_KEY_BYTES];
static uint8_t texts[AEAD_BATCH_MAX][STRIDE], boxes[AEAD_BATCH_MAX][STRIDE];

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void jobs_init(struct aead_job *jobs, unsigned n, const struct load *l, bool one_key)
{
	unsigned lens = 0;

	while (lens < ARRAY_SIZE(l->lens) && l->lens[lens])
		lens++;
	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct aead_job){.key = keys[one_key ? 0 : i],
					    .counter = 1 + i,
					    .src = texts[i],
					    .dst = boxes[i],
					    .len = l->lens[i % lens]};
}

/* Ticks a message, or a negative value if a message did not open. */
static double measure(const struct aead_engine *e, void *ctx, struct aead_job *jobs, unsigned n,
		      bool is_open)
{
	uint64_t ticks[CALLS];

	e->seal(ctx, jobs, n);
	for (unsigned i = 0; is_open && i < n; i++) {
		jobs[i].src = boxes[i];
		jobs[i].dst = texts[i];
	}
	for (unsigned i = 0; i < CALLS; i++) {
		uint64_t start = __rdtsc();

		if (is_open)
			e->open(ctx, jobs, n);
		else
			e->seal(ctx, jobs, n);
		ticks[i] = __rdtsc() - start;
	}
	for (unsigned i = 0; is_open && i < n; i++)
		if (!jobs[i].ok)
			return -1;
	qsort(ticks, CALLS, sizeof(ticks[0]), compare);
	return (double)ticks[CALLS / 2] / n;
}

static int run_load(void *const *ctxs, unsigned round, unsigned n, const struct load *l,
		    bool one_key, bool is_open)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	for (unsigned i = 0; aead_engines[i]; i++) {
		double ticks;

		if (!ctxs[i])
			continue;
		jobs_init(jobs, n, l, one_key);
		ticks = measure(aead_engines[i], ctxs[i], jobs, n, is_open);
		if (ticks < 0) {
			fprintf(stderr, "crypto: %s refuses its own message\n",
				aead_engines[i]->name);
			return -EBADMSG;
		}
		printf("%u %s %u %s %s %.1f\n", round, is_open ? "open" : "seal", one_key ? 1 : n,
		       l->name, aead_engines[i]->name, ticks);
	}
	return 0;
}

static int run(void *const *ctxs, unsigned rounds, unsigned n)
{
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < ARRAY_SIZE(loads); i++)
			for (unsigned way = 0; way < 4; way++)
				if (run_load(ctxs, round, n, &loads[i], way & 1, way & 2))
					return 1;
	return 0;
}

int main(int argc, char **argv)
{
	void *ctxs[ENGINES_MAX] = {0};
	unsigned rounds, n;
	int rc = 1;

	if (argc != 3 || sodium_init() < 0)
		return 2;
	rounds = (unsigned)atoi(argv[1]);
	n = (unsigned)atoi(argv[2]);
	if (n < 1 || n > AEAD_BATCH_MAX)
		return 2;
	randombytes_buf(keys, sizeof(keys));
	for (unsigned i = 0; aead_engines[i]; i++) {
		BUG_ON(i >= ENGINES_MAX);
		if (!aead_engines[i]->is_supported())
			continue;
		ctxs[i] = aead_engines[i]->ctx_new();
		if (!ctxs[i])
			goto no_ctx;
	}
	rc = run(ctxs, rounds, n);
no_ctx:
	for (unsigned i = 0; aead_engines[i]; i++)
		if (ctxs[i])
			aead_engines[i]->ctx_free(ctxs[i]);
	return rc;
}
