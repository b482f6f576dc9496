/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline ROUNDS PEERS short|full [ENGINE [BATCHES]]: ticks a packet that the ways of the
 * pipeline take, whole and by stage, beside what the engine alone takes for the same
 * texts, and ipsec-mb's seal in batches of 32. Prints a line a figure:
 *
 *	round  way  load  figure  ticks
 *
 * pipeline tsc: ticks of the time stamp counter a second.
 *
 * A figure is the median of BATCHES batches of 64, each filled anew outside of the
 * measured time; "full": from a standing queue of 2,048 packets, so that payload was
 * last touched 2,048 packets ago. All packets of every 64th batch are opened or compared.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/crypto/aead_engines.h"
#include "dataplane/pipeline.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "perf/gen.h"

#define BATCHES_MAX    201
#define WARM	       20
#define BARE_BATCH     32
#define ROUTES_DEFAULT 100
#define TSC_NS	       (50 * NS_PER_MS)

enum way { WAY_SEAL, WAY_OPEN, WAY_HUB, WAY_COUNT };

static const char *const way_name[] = {"seal", "open", "hub"};
static const char *const stage_name[STAGE_COUNT] = {
	[STAGE_RX_OUTSIDE] = "rx-outside",
	[STAGE_RX_INSIDE] = "rx-inside",
	[STAGE_CLASSIFY] = "classify",
	[STAGE_OPEN] = "open",
	[STAGE_FILTER] = "filter",
	[STAGE_ROUTE] = "route",
	[STAGE_MTU] = "mtu",
	[STAGE_SEAL] = "seal",
	[STAGE_TX] = "tx",
};

static struct gen *g;
static struct worker *w;
static void *bare_ctx;
static unsigned round_number;
static unsigned batches = BATCHES_MAX;
static uint64_t ticks[BATCHES_MAX], by_stage[STAGE_COUNT][BATCHES_MAX];

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(uint64_t *v)
{
	qsort(v, batches, sizeof(*v), compare);
	return (double)v[batches / 2];
}

static void say(enum way way, const struct gen_load *l, const char *figure, double per_packet)
{
	printf("%u %s %s %s %.1f\n", round_number, way_name[way], l->name, figure, per_packet);
}

static void fill(enum way way, const struct gen_load *l)
{
	if (way == WAY_SEAL)
		gen_inside(g, w, l);
	else if (way == WAY_OPEN)
		gen_outside(g, w, l);
	else
		gen_hub(g, w, l);
}

static void one_batch(enum way way)
{
	if (way == WAY_SEAL)
		pipeline_inside(w, &w->batch);
	else
		pipeline_outside(w, &w->batch);
	rte_rcu_qsbr_quiescent(gen_dataplane(g)->qsbr, w->id);
}

/* Everything that goes in must come out, and be what it was. */
static int run_way(enum way way, const struct gen_load *l)
{
	uint64_t sent = gen_counted(g, w).sent;

	for (unsigned i = 0; i < WARM + batches; i++) {
		unsigned at = i < WARM ? 0 : i - WARM;
		uint64_t before[STAGE_COUNT], start;

		fill(way, l);
		gen_check(g, i % BATCH_MAX == 0);
		memcpy(before, w->stats.stage_cycles, sizeof(before));
		start = __rdtsc();
		one_batch(way);
		ticks[at] = __rdtsc() - start;
		for (unsigned s = 0; s < STAGE_COUNT; s++)
			by_stage[s][at] = w->stats.stage_cycles[s] - before[s];
	}
	sent = gen_counted(g, w).sent - sent;
	if (sent != (WARM + batches) * BATCH_MAX || gen_counted(g, w).wrong) {
		fprintf(stderr, "pipeline: %s %s: %lu of %u packets came out, %lu wrong\n",
			way_name[way], l->name, sent, (WARM + batches) * BATCH_MAX,
			gen_counted(g, w).wrong);
		return 1;
	}
	say(way, l, "total", median(ticks) / BATCH_MAX);
	for (unsigned s = 0; s < STAGE_COUNT; s++) {
		double t = median(by_stage[s]);

		if (t > 0)
			say(way, l, stage_name[s], t / BATCH_MAX);
	}
	return 0;
}

static void run_engine(enum way way, const struct gen_load *l)
{
	struct aead_job jobs[BATCH_MAX];

	for (unsigned i = 0; i < WARM + batches; i++) {
		uint64_t start;

		gen_jobs(g, w, l, way == WAY_OPEN, jobs);
		start = __rdtsc();
		if (way == WAY_OPEN)
			w->engine->open(w->aead, jobs, BATCH_MAX);
		else
			w->engine->seal(w->aead, jobs, BATCH_MAX);
		ticks[i < WARM ? 0 : i - WARM] = __rdtsc() - start;
	}
	say(way, l, "engine", median(ticks) / BATCH_MAX);
}

static void run_bare(const struct gen_load *l)
{
	struct aead_job jobs[BATCH_MAX];

	for (unsigned i = 0; i < WARM + batches; i++) {
		uint64_t start;

		gen_jobs(g, w, l, false, jobs);
		start = __rdtsc();
		aead_ipsecmb.seal(bare_ctx, jobs, BARE_BATCH);
		ticks[i < WARM ? 0 : i - WARM] = __rdtsc() - start;
	}
	say(WAY_SEAL, l, "ipsecmb", median(ticks) / BARE_BATCH);
}

static int run_round(void)
{
	for (unsigned i = 0; i < gen_load_count; i++) {
		const struct gen_load *l = &gen_loads[i];

		for (enum way way = WAY_SEAL; way < WAY_COUNT; way++) {
			if (run_way(way, l))
				return 1;
			if (way != WAY_HUB)
				run_engine(way, l);
		}
		if (bare_ctx)
			run_bare(l);
	}
	return 0;
}

static double ticks_a_second(void)
{
	uint64_t from_ns = clock_now_ns(), to_ns, from = __rdtsc();

	while ((to_ns = clock_now_ns()) - from_ns < TSC_NS)
		;
	return (double)(__rdtsc() - from) * 1e9 / (double)(to_ns - from_ns);
}

int main(int argc, char **argv)
{
	struct gen_config config = {.workers = 1, .routes4 = ROUTES_DEFAULT};
	unsigned rounds;

	if (argc == 2 && !strcmp(argv[1], "tsc")) {
		printf("%.0f\n", ticks_a_second());
		return 0;
	}
	if (argc < 4 || argc > 6 || sodium_init() < 0) {
		fprintf(stderr,
			"usage: pipeline ROUNDS PEERS short|full [ENGINE|- [BATCHES]] | tsc\n");
		return 2;
	}
	log_init("pipeline", LOG_ERROR);
	rounds = (unsigned)atoi(argv[1]);
	config.peers = (unsigned)atoi(argv[2]);
	config.depth = strcmp(argv[3], "full") ? 1 : GEN_DEPTH_MAX;
	config.engine = argc > 4 && strcmp(argv[4], "-") ? argv[4] : NULL;
	if (argc > 5)
		batches = (unsigned)atoi(argv[5]);
	if (batches < 1 || batches > BATCHES_MAX)
		batches = BATCHES_MAX;
	g = gen_new(&config);
	w = gen_worker(g, 0);
	if (aead_ipsecmb.is_supported())
		bare_ctx = aead_ipsecmb.ctx_new();
	for (round_number = 0; round_number < rounds; round_number++)
		if (run_round())
			return 1;
	if (bare_ctx)
		aead_ipsecmb.ctx_free(bare_ctx);
	gen_free(g);
	return 0;
}
