/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region's connection, and when there is one:
 *
 *           wanted                    a relay took us
 *     IDLE --------> PAUSED --> DIALLING -----------> OPEN
 *      ^               ^  all failed |                 | broke
 *      |               +-------------+-----------------+
 *      +---- not wanted any more (not the home, nothing sent or heard for a while)
 *
 * Events come from the loop, never from inside of a function here. Inside this folder only.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_REGION_H
#define CONTROLPLANE_DERP_CLIENT_DERP_REGION_H

#include "controlplane/derp_client/derp_conn.h"
#include "controlplane/derp_client/derp_regions.h"

#define DERP_REGION_PAUSE_MAX_MS 3000
/* A connection that lasted so long was no failure, however it ended. */
#define DERP_REGION_STABLE_MS 10000
/* What a relay that restarts may ask for at most. */
#define DERP_REGION_BACK_MAX_MS	   5000
#define DERP_REGION_TRY_FOR_MAX_MS 60000
#define DERP_REGION_RESTART_MS	   500 /* between tries meanwhile */

struct derp_region;

/* What all regions of a node have in common; borrowed by each. */
struct derp_region_env {
	struct derp_dial_env dial;
	struct derp_hello_keys keys;
	const struct wg_random *random;
	uint64_t idle_ms;
	struct derp_counters counters;
};

/* The receiver may close the region in any of them. */
struct derp_region_events {
	void (*on_packet)(void *arg, struct derp_region *g, const struct key *from,
			  const uint8_t *data, size_t len);
	void (*on_gone)(void *arg, struct derp_region *g, const struct key *peer,
			enum derp_gone_reason reason);
	/* Each change, and each new reason for which no relay takes us. */
	void (*on_state)(void *arg, struct derp_region *g, bool is_connected, const char *why);
	void (*on_health)(void *arg, struct derp_region *g, const char *text);
};

/* NULL: no relay in it can be dialled, or no memory. */
struct derp_region *derp_region_open(struct derp_region_env *env, const struct derp_map_region *m,
				     const struct derp_region_events *ev, void *arg);
/* Nothing is told any more; memory goes when the loop has closed its handles. */
void derp_region_close(struct derp_region *g);

uint16_t derp_region_id(const struct derp_region *g);
/* Are its relays those of m? */
bool derp_region_is(const struct derp_region *g, const struct derp_map_region *m);
void derp_region_set_home(struct derp_region *g, bool is_home);
/* As derp_sendq_add; opens a connection if there is none. */
int derp_region_send(struct derp_region *g, const struct key *to, const void *data, size_t len);
bool derp_region_is_connected(const struct derp_region *g);
/* Of the connection: another one has another. */
uint32_t derp_region_generation(const struct derp_region *g);
uint64_t derp_region_last_frame_ns(const struct derp_region *g);
/* The network is another: is the relay still there? */
void derp_region_probe(struct derp_region *g);
/* False: it is IDLE. */
bool derp_region_info(const struct derp_region *g, struct derp_region_info *out);

/* min(n^2 * 10 ms, DERP_REGION_PAUSE_MAX_MS), times 0.5 to 1.5 by random. */
uint64_t derp_region_pause_ms(unsigned fails, uint32_t random);

#endif
