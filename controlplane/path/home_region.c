/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/home_region.h"

#include <stdbool.h>

#include "lib/base/clock.h"

#define HISTORY_NS	(305 * NS_PER_SEC)
#define ALIVE_NS	(8 * NS_PER_SEC)   /* frames are timed to 5 s */
#define KEPT_BLIND_NS	(120 * NS_PER_SEC) /* nothing answers at all */
#define CLOSE_ENOUGH_NS (10 * NS_PER_MS)

/* Of region in r, times its score; 0: it did not answer. */
static uint64_t scored(const struct home_report *r, uint16_t region, const struct home_env *env)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->at[i].region == region)
			return (uint64_t)((double)r->at[i].latency_ns *
					  env->score(env->ctx, region));
	}
	return 0;
}

static uint64_t best_of(const struct home_region *h, uint16_t region, uint64_t now_ns,
			const struct home_env *env)
{
	uint64_t best_ns = 0;

	for (size_t i = 0; i < HOME_REPORTS_MAX; i++) {
		const struct home_report *r = &h->history[i];
		uint64_t ns;

		if (!r->ended_ns || now_ns - r->ended_ns > HISTORY_NS)
			continue;
		ns = scored(r, region, env);
		if (ns && (!best_ns || ns < best_ns))
			best_ns = ns;
	}
	return best_ns;
}

static bool stays(const struct home_region *h, const struct home_report *r, uint64_t best_ns,
		  const struct home_env *env)
{
	uint64_t frame_ns = env->last_frame_ns(env->ctx, h->home);
	uint64_t home_ns = scored(r, h->home, env);

	if (!home_ns &&
	    !(frame_ns && (frame_ns > r->begun_ns || r->ended_ns - frame_ns <= ALIVE_NS)))
		return false;
	/* A home that only its frames prove alive has 0 here, and stays. */
	return home_ns < best_ns + CLOSE_ENOUGH_NS || best_ns > home_ns / 3 * 2;
}

uint16_t home_region_choose(struct home_region *h, const struct home_report *report,
			    const struct home_env *env)
{
	struct home_report *r = &h->history[h->next++ % HOME_REPORTS_MAX];
	uint64_t best_ns = 0, frame_ns;
	uint16_t best = 0;

	*r = *report;
	for (size_t i = 0; i < r->count; i++) {
		uint64_t ns = best_of(h, r->at[i].region, r->ended_ns, env);

		if (ns && (!best_ns || ns < best_ns)) {
			best_ns = ns;
			best = r->at[i].region;
		}
	}
	if (!best) {
		frame_ns = h->home ? env->last_frame_ns(env->ctx, h->home) : 0;
		if (!frame_ns || (frame_ns < r->ended_ns && r->ended_ns - frame_ns > KEPT_BLIND_NS))
			h->home = 0;
	} else if (!h->home || h->home == best || !stays(h, r, best_ns, env)) {
		h->home = best;
	}
	return h->home;
}
