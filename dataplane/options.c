/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. */
#include "dataplane/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/crypto/aead.h"
#include "lib/wire/lane.h"

static const char usage[] =
	"usage: causeway-dp --port SPEC [OPTION...]\n"
	"\n"
	"The poll-mode dataplane of a Causeway gateway.\n"
	"\n"
	"  --port kernel:tun=NAME,listen=PORT[,mtu=N]\n"
	"  --port xdp:wan=IF,lan=IF[+IF...],listen=PORT,tun=NAME[,queues=N][,mtu=N]\n"
	"  --port dpdk:wan=DEV,lan=DEV[+DEV...],listen=PORT,tun=NAME[,queues=N][,mtu=N]\n"
	"         [,rings=N][,poll=auto|always][,accept=own|any]\n"
	"                      a port; may repeat. DEV: a DPDK device, its arguments behind\n"
	"                      semicolons: net_memif0;role=server;socket=/run/wan.sock\n"
	"  --socket PATH       where causewayd and the CLI connect\n"
	"                      (default /run/causeway/dp.sock)\n"
	"  --workers N         threads that move packets (default 1)\n"
	"  --lanes N           UDP port pairs that one peer's traffic may spread over, 0 to 16\n"
	"                      (default: as many as workers; none with one)\n"
	"  --cpus A,B,...      core of the control thread, then of each worker\n"
	"                      (default: all float over the allowed cores)\n"
	"  --no-huge           run without hugepages\n"
	"  --memory MB         memory for packet buffers (default 128)\n"
	"  --flows N           entries of the flow table a worker (default 131072)\n"
	"  --engine NAME       AEAD engine: mixed, mb, mb-avx512, mb-avx2, ipsecmb, sodium, ref;\n"
	"                      of mixed, sizes by name: mixed:64=mb,1500=ipsecmb\n"
	"                      (default: mixed, by size the faster of mb and ipsecmb)\n"
	"  --log-level LEVEL   debug, info, warn or error (default info)\n"
	"  --version, --help\n";

enum {
	OPT_PORT = 1,
	OPT_SOCKET,
	OPT_WORKERS,
	OPT_LANES,
	OPT_CPUS,
	OPT_NO_HUGE,
	OPT_MEMORY,
	OPT_FLOWS,
	OPT_ENGINE,
	OPT_LOG_LEVEL,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option longopts[] = {
	{"port", required_argument, NULL, OPT_PORT},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"lanes", required_argument, NULL, OPT_LANES},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"flows", required_argument, NULL, OPT_FLOWS},
	{"engine", required_argument, NULL, OPT_ENGINE},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int bad(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "causeway-dp: --%s %s: %s\n", option, value, want);
	return -EINVAL;
}

static int number(const char *option, const char *text, unsigned min, unsigned max, unsigned *out)
{
	char *end;
	unsigned long v;
	char want[64];

	errno = 0;
	v = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || v < min || v > max) {
		snprintf(want, sizeof(want), "want a number from %u to %u", min, max);
		return bad(option, text, want);
	}
	*out = (unsigned)v;
	return 0;
}

static int cpu_list(struct options *o, const char *text)
{
	const char *p = text;

	o->cpus = text;
	for (o->cpu_count = 0; *p;) {
		char *end;
		unsigned long v = strtoul(p, &end, 10);

		if (end == p || v > 1023 || (*end && *end != ',') ||
		    o->cpu_count == ARRAY_SIZE(o->cpu_list))
			return bad("cpus", text, "want core numbers, separated by commas");
		o->cpu_list[o->cpu_count++] = (unsigned)v;
		p = *end ? end + 1 : end;
	}
	return 0;
}

static int set(struct options *o, int opt, const char *value)
{
	switch (opt) {
	case OPT_PORT:
		if (o->port_count == PORTS_MAX)
			return bad("port", value, "too many ports");
		o->ports[o->port_count++] = value;
		return 0;
	case OPT_SOCKET:
		o->socket = value;
		return 0;
	case OPT_WORKERS:
		return number("workers", value, 1, PORT_WORKERS_MAX, &o->workers);
	case OPT_LANES:
		o->has_lanes = true;
		return number("lanes", value, 0, LANE_MAX, &o->lanes);
	case OPT_CPUS:
		return cpu_list(o, value);
	case OPT_NO_HUGE:
		o->no_huge = true;
		return 0;
	case OPT_MEMORY:
		return number("memory", value, 32, 1u << 20, &o->memory_mb);
	case OPT_FLOWS:
		return number("flows", value, 1024, 1u << 24, &o->flows);
	case OPT_ENGINE:
		o->engine = value;
		return 0;
	case OPT_LOG_LEVEL:
		if (log_level_parse(value, &o->log_level) < 0)
			return bad("log-level", value, "want debug, info, warn or error");
		return 0;
	case OPT_VERSION:
		printf("causeway-dp %s\n", CAUSEWAY_VERSION);
		return 1;
	case OPT_HELP:
		fputs(usage, stdout);
		return 1;
	default:
		fputs("Try causeway-dp --help.\n", stderr);
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *o)
{
	int opt;

	*o = (struct options){.socket = "/run/causeway/dp.sock",
			      .workers = 1,
			      .memory_mb = 128,
			      .flows = 131072,
			      .log_level = LOG_INFO};
	while ((opt = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		int ret = set(o, opt, optarg);

		if (ret)
			return ret;
	}
	if (optind < argc)
		return bad("port", argv[optind], "unexpected argument");
	if (o->port_count == 0) {
		fputs("causeway-dp: no --port given, so there is nothing to forward\n", stderr);
		return -EINVAL;
	}
	/* A worker sends in one lane. */
	if (!o->has_lanes || o->lanes > o->workers)
		o->lanes = o->workers > 1 ? o->workers : 0;
	if (o->lanes > LANE_MAX)
		o->lanes = LANE_MAX;
	if (o->cpus && o->cpu_count != o->workers + 1)
		return bad("cpus", o->cpus,
			   "want one core for the control thread and one a worker");
	return 0;
}
