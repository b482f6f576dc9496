/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dataplane's tables as JSON text: `causeway dp show X`. Each is one object
 * {"X": [row, ...]}. Control thread; workers are not bothered.
 */
#ifndef DATAPLANE_API_SHOW_H
#define DATAPLANE_API_SHOW_H

#include "dataplane/dataplane.h"
#include "lib/base/json_out.h"

/* what: ports, workers, peers, sessions, routes, rules, flows, counters, latency.
 * limit: rows at most, 0 = all. 0, or -ENOENT (js untouched). */
int show_table(struct dataplane *dp, const char *what, uint32_t limit, struct json_out *js);

#endif
