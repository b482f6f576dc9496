/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses of relays that a DERP map gives by name, looked up by getaddrinfo beside the loop.
 * What was found once stays until something else is found, so that a mesh outlives its name
 * servers. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_RELAY_NAMES_H
#define CONTROLPLANE_NODE_RELAY_NAMES_H

#include <stdbool.h>
#include <uv.h>

#include "lib/base/addr.h"

struct relay_names;

/* on_found: nothing is being looked up any more. Never from inside of a function. 0, or -ENOMEM. */
int relay_names_open(uv_loop_t *loop, void (*on_found)(void *arg), void *arg,
		     struct relay_names **out);
/* on_found comes no more; memory goes with the last look-up. NULL is fine. */
void relay_names_close(struct relay_names *n);

/*
 * Between relay_names_begin() and relay_names_end() each name that matters is wanted once; the
 * others are forgotten. A name that was asked for in the last minute is not asked for again. A few
 * are looked up at a time, the rest after them. An address as name is its own answer.
 */
void relay_names_begin(struct relay_names *n);
void relay_names_want(struct relay_names *n, const char *host);
void relay_names_end(struct relay_names *n);

/* Is a wanted name being looked up of which nothing is known yet? */
bool relay_names_is_waiting(const struct relay_names *n);
/* False: not known, or it has no address of this family. */
bool relay_names_get(const struct relay_names *n, const char *host, uint8_t family,
		     struct ip_addr *out);

#endif
