/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways of a packet. Each takes the worker's batch as a port's rx left it and
 * ends with packet_finish(). Worker thread.
 */
#ifndef DATAPLANE_PIPELINE_H
#define DATAPLANE_PIPELINE_H

#include "dataplane/worker.h"

/* Outside -> inside, and peer -> peer for what a hub passes on. */
void pipeline_outside(struct worker *w, struct batch *b);
/* Inside -> outside. */
void pipeline_inside(struct worker *w, struct batch *b);
/* What is routed and filtered already: out of the staging, or made here. */
void pipeline_seal(struct worker *w, struct batch *b);
/* Messages about lanes, from causewayd to its peers. */
void pipeline_lane(struct worker *w, struct batch *b);

#endif
