/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of causeway-dp (docs/man/causeway-dp.8). */
#ifndef DATAPLANE_OPTIONS_H
#define DATAPLANE_OPTIONS_H

#include <stdbool.h>

#include "dataplane/port/port.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"

struct options {
	const char *socket;
	const char *ports[PORTS_MAX];
	unsigned port_count;
	unsigned workers;
	unsigned lanes; /* lane ports of each port, 0: off */
	bool has_lanes;
	const char *cpus; /* NULL: workers float over all cores */
	unsigned cpu_list[PORT_WORKERS_MAX + 1];
	unsigned cpu_count;
	const char *engine; /* NULL: chosen by CPU */
	bool no_huge;
	unsigned memory_mb; /* without hugepages */
	unsigned flows;	    /* a worker */
	enum log_level log_level;
};

/*
 * 0 = run; 1 = --help or --version was printed, exit 0; -EINVAL = a sentence
 * with the option went to stderr, exit 2.
 */
int options_parse(int argc, char **argv, struct options *o);

#endif
