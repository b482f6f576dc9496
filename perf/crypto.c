/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto ROUNDS BATCH [ENGINE...]: ticks a message that each AEAD engine of this machine, or
 * each named one, takes.
 *
 * Besides the engines as they come there are ipsec-mb held to its AVX2 code, and mixed
 * of that machine's two, as on a CPU without AVX-512.
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
#define STRIDE	   (145 * 64)
#define RIVALS_MAX 16

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

/* What is measured: an engine and a context of it. */
struct rival {
	const char *name;
	const struct aead_engine *engine;
	void *ctx;
};

static struct rival rivals[RIVALS_MAX];
static unsigned n_rivals;

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

static int run_load(unsigned round, unsigned n, const struct load *l, bool one_key, bool is_open)
{
	struct aead_job jobs[AEAD_BATCH_MAX];

	for (unsigned i = 0; i < n_rivals; i++) {
		const struct rival *r = &rivals[i];
		double ticks;

		jobs_init(jobs, n, l, one_key);
		ticks = measure(r->engine, r->ctx, jobs, n, is_open);
		if (ticks < 0) {
			fprintf(stderr, "crypto: %s refuses its own message\n", r->name);
			return -EBADMSG;
		}
		printf("%u %s %u %s %s %.1f\n", round, is_open ? "open" : "seal", one_key ? 1 : n,
		       l->name, r->name, ticks);
	}
	return 0;
}

static int run(unsigned rounds, unsigned n)
{
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < ARRAY_SIZE(loads); i++)
			for (unsigned way = 0; way < 4; way++) {
				/* One message has one key. */
				if (n == 1 && !(way & 1))
					continue;
				if (run_load(round, n, &loads[i], way & 1, way & 2))
					return 1;
			}
	return 0;
}

/* The engines asked for; none: all. */
static char **wanted;

static bool is_wanted(const char *name)
{
	for (char **w = wanted; *w; w++)
		if (strcmp(*w, name) == 0)
			return true;
	return !*wanted;
}

static void add_rival(const char *name, const struct aead_engine *e, void *ctx)
{
	BUG_ON(n_rivals >= RIVALS_MAX);
	if (ctx)
		rivals[n_rivals++] = (struct rival){name, e, ctx};
	else
		fprintf(stderr, "crypto: no context of %s\n", name);
}

static void add_rivals(void)
{
	for (unsigned i = 0; aead_engines[i]; i++) {
		const struct aead_engine *e = aead_engines[i];

		if (e->is_supported() && is_wanted(e->name))
			add_rival(e->name, e, e->ctx_new());
	}
	if (!aead_mb_avx2.engine.is_supported() || !aead_ipsecmb.is_supported())
		return;
	if (is_wanted("ipsecmb-avx2"))
		add_rival("ipsecmb-avx2", &aead_ipsecmb, aead_ipsecmb_ctx_for(init_mb_mgr_avx2));
	if (is_wanted("mixed-avx2"))
		add_rival(
			"mixed-avx2", &aead_mixed,
			aead_mixed_ctx_for(&aead_mb_avx2, aead_ipsecmb_ctx_for(init_mb_mgr_avx2)));
}

int main(int argc, char **argv)
{
	unsigned rounds, n;
	int rc;

	if (argc < 3 || sodium_init() < 0)
		return 2;
	rounds = (unsigned)atoi(argv[1]);
	n = (unsigned)atoi(argv[2]);
	if (n < 1 || n > AEAD_BATCH_MAX)
		return 2;
	wanted = argv + 3;
	randombytes_buf(keys, sizeof(keys));
	add_rivals();
	rc = run(rounds, n);
	for (unsigned i = 0; i < n_rivals; i++)
		rivals[i].engine->ctx_free(rivals[i].ctx);
	return rc;
}
