/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a region's relay is, where UDP does not get through: the time from a request for
 * /derp/latency-check to its answer on a connection that is ready, so that neither look-ups nor
 * handshakes count. Relays are tried in the map's order until one takes us. The loop's thread only.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_LATENCY_H
#define CONTROLPLANE_DERP_CLIENT_DERP_LATENCY_H

#include "controlplane/derp_client/derp_dial.h"
#include "controlplane/derp_client/derp_map.h"
#include "lib/base/addr.h"

#define DERP_LATENCY_MS 5000 /* until it is given up */

struct derp_latency;

/*
 * latency_ns 0: no answer, and why; else `remote` is the relay's address (a proxy's, where there
 * is one) and why "". Called once.
 */
typedef void derp_latency_fn(void *arg, uint16_t region, uint64_t latency_ns,
			     const struct endpoint *remote, const char *why);

/*
 * env (what it points at is borrowed) and region are used during the call alone. Nothing is told
 * from inside. 0, or a negative errno with a sentence in why. *out is good until fn is called.
 */
int derp_latency_start(const struct derp_dial_env *env, const struct derp_map_region *region,
		       derp_latency_fn *fn, void *arg, struct derp_latency **out,
		       char why[DERP_DIAL_WHY_MAX]);
/* fn is not called any more. NULL is fine. */
void derp_latency_cancel(struct derp_latency *l);

#endif
