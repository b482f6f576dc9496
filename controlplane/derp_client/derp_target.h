/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay of the DERP map as it is dialled: its own copy, so that a connection outlives the map
 * that it was made for. Pure; any thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_TARGET_H
#define CONTROLPLANE_DERP_CLIENT_DERP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/derp_client/derp_map.h"

#define DERP_TARGET_NAME_MAX 64
#define DERP_TARGET_HOST_MAX 256
#define DERP_TARGET_TEXT_MAX (DERP_TARGET_HOST_MAX + 8) /* "[host]:port" */
#define DERP_TARGET_PIN	     "sha256-raw:"
#define DERP_PLAIN_PORT	     3340 /* of a relay without TLS, if the map names none */

struct derp_target {
	char name[DERP_TARGET_NAME_MAX]; /* of the node in the map */
	char host[DERP_TARGET_HOST_MAX]; /* a name or an address */
	char cert[DERP_TARGET_HOST_MAX]; /* "" = host, or a name, or DERP_TARGET_PIN and 64 digits
					  */
	struct derp_map_addr ipv4, ipv6;
	uint16_t port;
	bool is_insecure;
	bool is_plain; /* no TLS */
};

/* 0, or -EINVAL: names nobody can have, which in a request would say something else. */
int derp_target_init(struct derp_target *t, const struct derp_map_node *node, bool is_plain);
bool derp_target_equal(const struct derp_target *a, const struct derp_target *b);
/* "host:port", "[v6]:port"; without the port if is_short and it is the usual one. Returns out. */
const char *derp_target_print(const struct derp_target *t, bool is_short,
			      char out[DERP_TARGET_TEXT_MAX]);

#endif
