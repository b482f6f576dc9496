/* SPDX-License-Identifier: Apache-2.0 */
/*
 * derp_load: pairs of clients, one thread, around a DERP relay that runs on another core.
 *
 *   derp_load --connect ADDR:PORT [--tls] --server PID --pairs N --size B --shape bulk|single
 *             [--rate FRAMES/S] [--window N] [--seconds S] [--warm S]
 *   derp_load --connect ADDR:PORT [--tls] --quiet N
 *
 * Each pair is a sender and a receiver. With a rate the loop is open: what is due is sent,
 * and what the socket refuses is lost at the sender and counted. Without one it is closed:
 * a pair has up to --window frames on the way. "bulk": so many at once in one write, as a busy
 * sender brings them; "single": a write, a segment and a record for each. Frames carry
 * when they were sent; one in a closed loop that takes longer than 200 ms counts as lost.
 * One JSON object is printed. --quiet joins N clients that say nothing, prints "ready" and
 * stays until its input ends.
 */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/json_out.h"
#include "perf/derp_pairs.h"

void give_up(const char *what, int rc)
{
	fprintf(stderr, "derp_load: %s%s%s\n", what, rc ? ": " : "", rc ? strerror(-rc) : "");
	exit(1);
}

static void print(const struct load *l, const struct result *r)
{
	double seconds = (double)r->window_ns / 1e9;
	struct json_out j;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_double(&j, "seconds", seconds);
	json_out_double(&j, "offered_s", (double)r->offered / seconds);
	json_out_double(&j, "delivered_s", (double)l->in_window / seconds);
	json_out_double(&j, "server_us",
			l->in_window ? (double)r->cpu_ns / 1e3 / (double)l->in_window : 0);
	json_out_double(&j, "server_core", (double)r->cpu_ns / (double)r->window_ns);
	json_out_double(&j, "load_core", (double)r->busy_ns / (double)r->window_ns);
	json_out_u64(&j, "sent", r->sent);
	json_out_u64(&j, "received", l->received);
	json_out_u64(&j, "refused", l->refused);
	json_out_double(&j, "p50_us", (double)histogram_percentile(&l->ages, 0.5) / 1e3);
	json_out_double(&j, "p99_us", (double)histogram_percentile(&l->ages, 0.99) / 1e3);
	json_out_double(&j, "max_us", (double)l->ages.max_ns / 1e3);
	json_out_end(&j);
	if (j.error)
		give_up("the result", j.error);
	puts(j.text);
	json_out_fini(&j);
}

static void stay_quiet(struct load *l)
{
	struct derp_conn *all = calloc(l->quiet, sizeof(*all));
	char byte;

	if (!all)
		give_up("clients", -ENOMEM);
	for (unsigned i = 0; i < l->quiet; i++) {
		int rc = derp_conn_open(&all[i], &l->to, l->tls);

		if (rc)
			give_up("joining", rc);
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	for (unsigned i = 0; i < l->quiet; i++)
		derp_conn_close(&all[i]);
	free(all);
}

static void parse(struct load *l, int argc, char **argv)
{
	static const struct option longs[] = {
		{"connect", required_argument, NULL, 'c'}, {"tls", no_argument, NULL, 't'},
		{"server", required_argument, NULL, 'p'},  {"pairs", required_argument, NULL, 'n'},
		{"size", required_argument, NULL, 'b'},	   {"shape", required_argument, NULL, 's'},
		{"rate", required_argument, NULL, 'r'},	   {"window", required_argument, NULL, 'w'},
		{"seconds", required_argument, NULL, 'T'}, {"warm", required_argument, NULL, 'W'},
		{"quiet", required_argument, NULL, 'q'},   {0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'c' && endpoint_parse(optarg, &l->to) == 0)
			continue;
		if (opt == 't')
			l->is_tls = true;
		else if (opt == 'p')
			l->server = atoi(optarg);
		else if (opt == 'n')
			l->pairs = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'b')
			l->size = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 's')
			l->is_single = strcmp(optarg, "single") == 0;
		else if (opt == 'r')
			l->rate = strtod(optarg, NULL);
		else if (opt == 'w')
			l->window = (unsigned)strtoul(optarg, NULL, 10);
		else if (opt == 'T')
			l->seconds = strtod(optarg, NULL);
		else if (opt == 'W')
			l->warm = strtod(optarg, NULL);
		else if (opt == 'q')
			l->quiet = (unsigned)strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	if (!l->to.port || l->size < SIZE_MIN || l->size > DERP_PACKET_MAX ||
	    (!l->quiet && (!l->server || !l->pairs || !l->window)))
		give_up("an option is missing, or --size is not 16 to 65536", 0);
}

int main(int argc, char **argv)
{
	static struct load l = {.size = 64, .window = BURST, .seconds = 1, .warm = 0.3};
	struct rlimit files;
	struct result r;

	parse(&l, argc, argv);
	if (sodium_init() < 0)
		give_up("libsodium", 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	l.tls = l.is_tls ? derp_conn_tls() : NULL;
	if (l.is_tls && !l.tls)
		give_up("TLS", 0);
	if (l.quiet) {
		stay_quiet(&l);
		return 0;
	}
	derp_pairs_connect(&l);
	r = derp_pairs_run(&l);
	print(&l, &r);
	return 0;
}
