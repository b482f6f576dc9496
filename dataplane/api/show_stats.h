/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of `dp show` that are made of the workers' counters. Rows into an
 * open JSON array. Control thread; the workers are not bothered.
 */
#ifndef DATAPLANE_API_SHOW_STATS_H
#define DATAPLANE_API_SHOW_STATS_H

#include "dataplane/dataplane.h"
#include "lib/base/json_out.h"

void show_stats_workers(struct dataplane *dp, struct json_out *js);
/* Drops by reason, then traffic, then causewayd's and the steering program's. */
void show_stats_counters(struct dataplane *dp, struct json_out *js);
/* A row a stage: cycles a packet and a batch; and the time of whole batches. */
void show_stats_latency(struct dataplane *dp, struct json_out *js);

#endif
