/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In which region a peer was last heard, so that an answer goes the way that the question came. A
 * bounded memory: strangers that send with ever new keys push each other out, eight to a row, the
 * one that was not heard for longest first. One thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_ROUTES_H
#define CONTROLPLANE_DERP_CLIENT_DERP_ROUTES_H

#include <stdint.h>

#include "controlplane/noise/wg_env.h"
#include "lib/base/key.h"

#define DERP_ROUTES_ROWS 1024
#define DERP_ROUTES_WAYS 8

struct derp_route {
	struct key key;
	uint64_t turn; /* the higher the later; 0: free */
	uint32_t generation;
	uint16_t region;
};

struct derp_routes {
	uint8_t hash_key[16];
	uint64_t turn;
	struct derp_route *at; /* rows of DERP_ROUTES_WAYS; NULL: nobody was heard yet */
};

void derp_routes_init(struct derp_routes *r, const struct wg_random *random);
void derp_routes_fini(struct derp_routes *r);
/* generation: of the region's connection, with whose end the route ends. Without memory: nothing.
 */
void derp_routes_heard(struct derp_routes *r, const struct key *key, uint16_t region,
		       uint32_t generation);
/* NULL: it was not heard, or that was forgotten. Valid until the next call. */
const struct derp_route *derp_routes_find(const struct derp_routes *r, const struct key *key);
/* If that is where it was last heard. */
void derp_routes_forget(struct derp_routes *r, const struct key *key, uint16_t region);

#endif
