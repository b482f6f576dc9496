/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What many peers and routes cost. Prints a figure a line, "name value":
 *
 *   scale rates PEERS ROUTES4 ROUTES6 WORKERS LANES
 *       ticks a packet of 64 bytes, seal and open, to peers at random; the workers run
 *       at the same time, and each figure is the mean of them
 *   scale changes PEERS ROUTES4 ROUTES6 RATE
 *       the same while another thread changes RATE routes a second, and what one takes
 *   scale memory PEERS
 *       growth of the process for peers with a session, and for one session more
 *   scale program SOCKET PEERS
 *       seconds until a causeway-dp has so many peers with sessions
 *
 * A figure is the median of BATCHES batches of 64, filled anew outside of the measured
 * time, which alone pushes the tables of many peers out of the caches.
 */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/pipeline.h"
#include "dataplane/table/peer_build.h"
#include "dataplane/table/retire.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "perf/dp_program.h"
#include "perf/gen.h"

#define BATCHES 2001
/* The whole order of destinations once: every session has its window then. */
#define WARM 4200

struct run {
	pthread_t thread;
	unsigned worker;
	double seal, open;
	double seal_stage[STAGE_COUNT], open_stage[STAGE_COUNT]; /* means, of all batches */
};

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
static pthread_barrier_t start;
static _Atomic bool is_over;

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double ticks(struct worker *w, bool is_open, uint64_t *v, double *stage)
{
	uint64_t before[STAGE_COUNT] = {0};

	for (unsigned i = 0; i < WARM + BATCHES; i++) {
		uint64_t from;

		if (i == WARM)
			memcpy(before, w->stats.stage_cycles, sizeof(before));
		if (is_open)
			gen_outside(g, w, &gen_loads[0]);
		else
			gen_inside(g, w, &gen_loads[0]);
		from = __rdtsc();
		if (is_open)
			pipeline_outside(w, &w->batch);
		else
			pipeline_inside(w, &w->batch);
		v[i < WARM ? 0 : i - WARM] = __rdtsc() - from;
		rte_rcu_qsbr_quiescent(gen_dataplane(g)->qsbr, w->id);
	}
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		stage[i] = (double)(w->stats.stage_cycles[i] - before[i]) / BATCHES / BATCH_MAX;
	qsort(v, BATCHES, sizeof(*v), compare);
	return (double)v[BATCHES / 2] / BATCH_MAX;
}

static void *run_worker(void *arg)
{
	struct run *r = arg;
	struct worker *w = gen_worker(g, r->worker);
	uint64_t *v = calloc(BATCHES, sizeof(*v));

	if (!v)
		abort();
	pthread_barrier_wait(&start);
	r->seal = ticks(w, false, v, r->seal_stage);
	pthread_barrier_wait(&start);
	r->open = ticks(w, true, v, r->open_stage);
	pthread_barrier_wait(&start);
	free(v);
	return NULL;
}

static void say_stages(const char *way, const char *suffix, const double *stage)
{
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		if (stage[i] >= 0.5)
			printf("%s%s-%s %.1f\n", way, suffix, stage_name[i], stage[i]);
}

static void rates(unsigned workers, const char *suffix)
{
	struct run run[8] = {0};
	double seal = 0, open = 0;
	uint64_t sent = 0;

	pthread_barrier_init(&start, NULL, workers);
	for (unsigned i = 0; i < workers; i++) {
		run[i].worker = i;
		pthread_create(&run[i].thread, NULL, run_worker, &run[i]);
	}
	for (unsigned i = 0; i < workers; i++) {
		pthread_join(run[i].thread, NULL);
		seal += run[i].seal / workers;
		open += run[i].open / workers;
		sent += gen_counted(g, gen_worker(g, i)).sent;
	}
	pthread_barrier_destroy(&start);
	if (sent % (2ull * workers * (WARM + BATCHES) * BATCH_MAX)) {
		fprintf(stderr, "scale: packets are missing, %lu came out\n", sent);
		exit(1);
	}
	printf("seal%s %.2f\nopen%s %.2f\n", suffix, seal, suffix, open);
	say_stages("seal", suffix, run[0].seal_stage);
	say_stages("open", suffix, run[0].open_stage);
}

static void set_up(char **argv, unsigned workers, unsigned lanes)
{
	struct gen_config c = {
		.peers = (unsigned)atoi(argv[2]),
		.routes4 = (unsigned)atoi(argv[3]),
		.routes6 = (unsigned)atoi(argv[4]),
		.workers = workers,
		.lanes = lanes,
		.is_random = true,
	};

	g = gen_new(&c);
}

/* ---- changes ---- */

struct changer {
	unsigned rate, routes, peers;
	uint64_t changes, busy_ns, worst_ns;
};

static void *change_routes(void *arg)
{
	struct changer *c = arg;
	uint64_t begin = clock_now_ns();
	uint32_t x = 1;

	while (!atomic_load(&is_over)) {
		uint64_t from = clock_now_ns(), took;
		struct timespec pause = {.tv_nsec = 200000};

		if (c->changes * NS_PER_SEC >= (from - begin) * c->rate) {
			nanosleep(&pause, NULL);
			continue;
		}
		x = x * 1664525 + 1013904223;
		gen_route(g, (x >> 4) % c->routes, 1 + (x >> 7) % c->peers);
		retire_poll();
		took = clock_now_ns() - from;
		c->busy_ns += took;
		if (took > c->worst_ns)
			c->worst_ns = took;
		c->changes++;
	}
	return NULL;
}

static int changes(char **argv)
{
	struct changer c = {
		.rate = (unsigned)atoi(argv[5]),
		.routes = (unsigned)atoi(argv[3]),
		.peers = (unsigned)atoi(argv[2]),
	};
	pthread_t thread;

	set_up(argv, 1, 0);
	rates(1, "-quiet");
	pthread_create(&thread, NULL, change_routes, &c);
	rates(1, "-changing");
	atomic_store(&is_over, true);
	pthread_join(thread, NULL);
	printf("changes %lu\nchange-ns %.0f\n", c.changes,
	       c.changes ? (double)c.busy_ns / (double)c.changes : 0);
	return 0;
}

/* ---- memory ---- */

static double resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		exit(1);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void need(int ret)
{
	if (ret < 0) {
		fprintf(stderr, "scale: %s\n", strerror(-ret));
		exit(1);
	}
}

static void install(struct session_table *sessions, struct peer_table *peers, uint32_t id,
		    uint32_t index, bool is_live)
{
	struct dpapi_session_set s = {
		.peer_id = id,
		.local_index = index,
		.remote_index = ~index,
		.flags = DPAPI_SESSION_CONFIRMED,
		.born_ns = index,
		.expire_ns = UINT64_MAX,
	};

	randombytes_buf(s.send_key, sizeof(s.send_key));
	need(peer_session_install(peers, &s));
	if (is_live && replay_check(&session_find(sessions, index)->replay, 1) != REPLAY_OK)
		need(-1);
}

static int memory(unsigned n)
{
	struct session_table *sessions;
	struct peer_table *peers;
	double before, first, idle, more;

	retire_init(NULL);
	before = resident();
	sessions = session_table_new(SESSION_SLOTS_DEFAULT);
	peers = peer_table_new(sessions);
	if (!sessions || !peers)
		return 1;
	for (uint32_t id = 1; id <= n; id++) {
		struct dpapi_peer_set m = {.id = id, .mtu = 1420};
		struct dpapi_path path = {.kind = DPAPI_PATH_UDP, .remote = {.port = 1}};

		memcpy(m.public_key, &id, sizeof(id));
		need(peer_set(peers, &m));
		need(peer_path_set(peers, id, &path));
		install(sessions, peers, id, id, true);
	}
	first = resident();
	for (uint32_t id = 1; id <= n; id++)
		install(sessions, peers, id, n + id, false);
	idle = resident();
	for (uint32_t id = 1; id <= n; id++)
		install(sessions, peers, id, 2 * n + id, true);
	more = resident();
	printf("peer %.0f\nsession-idle %.0f\nsession %.0f\n", (first - before) / n,
	       (idle - first) / n, (more - idle) / n);
	peer_table_free(peers);
	session_table_free(sessions);
	return 0;
}

/* ---- programming ---- */

static int program(const char *socket, unsigned n)
{
	struct dpapi_addr remote = dp_program_addr("203.0.113.2", 41641);
	uint64_t from = clock_now_ns();
	struct dp_program p;

	dp_program_open(&p, socket);
	dp_program_allow_all(&p);
	for (uint32_t id = 1; id <= n; id++) {
		struct dp_program_session s = {
			.peer_id = id, .local_index = id, .remote_index = ~id};
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.%u.%u.%u/32", id >> 16, id >> 8 & 255,
			 id & 255);
		memcpy(s.send_key, &id, sizeof(id));
		memcpy(s.recv_key, &id, sizeof(id));
		dp_program_peer(&p, id, &remote, 0, 1420);
		dp_program_route(&p, id, prefix);
		dp_program_session(&p, &s);
	}
	dp_program_barrier(&p, 1);
	printf("program-s %.3f\n", (double)(clock_now_ns() - from) / NS_PER_SEC);
	dp_program_close(&p);
	return 0;
}

int main(int argc, char **argv)
{
	log_init("scale", LOG_ERROR);
	if (sodium_init() < 0)
		return 1;
	if (argc == 3 && !strcmp(argv[1], "memory"))
		return memory((unsigned)atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "program"))
		return program(argv[2], (unsigned)atoi(argv[3]));
	if (argc == 6 && !strcmp(argv[1], "changes"))
		return changes(argv);
	if (argc == 7 && !strcmp(argv[1], "rates")) {
		unsigned workers = (unsigned)atoi(argv[5]);

		set_up(argv, workers, (unsigned)atoi(argv[6]));
		rates(workers, "");
		return 0;
	}
	fprintf(stderr, "usage: scale rates|changes|memory|program ARGUMENTS\n");
	return 2;
}
