/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dataplane tells causewayd of its own accord. Workers post what a
 * packet shows at once (worker_post); a sweep finds what only time shows:
 * silence after sending, sessions that ran out. Control thread.
 */
#ifndef DATAPLANE_API_EVENT_H
#define DATAPLANE_API_EVENT_H

#include "dataplane/api/server.h"

#define EVENT_SWEEP_NS (100 * 1000000ull)
/* Silence is told of after this: causewayd waits longer itself where it needs to. */
#define EVENT_UNANSWERED_NS (600 * 1000000ull)

/* Takes what workers posted and passes it on. */
void event_drain(struct server *s);
/* Looks at every peer for silence and at every session for its end. */
void event_sweep(struct server *s, uint64_t now_ns);

#endif
