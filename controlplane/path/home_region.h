/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which DERP region is this node's home: the fastest of the last five minutes, but a home is left
 * only for one that is clearly faster, or when it is dead
 * (docs/protocol/nat-traversal.md, "The home region"). One thread; the caller owns the memory.
 */
#ifndef CONTROLPLANE_PATH_HOME_REGION_H
#define CONTROLPLANE_PATH_HOME_REGION_H

#include <stddef.h>
#include <stdint.h>

#define HOME_REGIONS_MAX 64
#define HOME_REPORTS_MAX 32

struct home_latency {
	uint16_t region;     /* not 0 */
	uint64_t latency_ns; /* the smallest seen in this report; not 0 */
};

struct home_report {
	uint64_t begun_ns, ended_ns;
	size_t count; /* regions that answered */
	struct home_latency at[HOME_REGIONS_MAX];
};

struct home_region {
	uint16_t home; /* 0: none yet */
	size_t next;   /* the oldest report, overwritten next */
	struct home_report history[HOME_REPORTS_MAX];
};

/* What the DERP map and the connections say of a region. */
struct home_env {
	void *ctx;
	double (*score)(void *ctx, uint16_t region); /* factor on latencies; 1 if not set */
	uint64_t (*last_frame_ns)(void *ctx,
				  uint16_t region); /* time of the last frame; 0: never */
};

/* Takes a report in and returns the home from now on; 0: none. h begins zeroed. */
uint16_t home_region_choose(struct home_region *h, const struct home_report *report,
			    const struct home_env *env);

#endif
