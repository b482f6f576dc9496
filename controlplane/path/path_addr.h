/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as ways to a peer: which of two is better, and which are no way at all
 * (docs/protocol/nat-traversal.md, "Which of two is better"). Pure functions; any thread.
 */
#ifndef CONTROLPLANE_PATH_PATH_ADDR_H
#define CONTROLPLANE_PATH_PATH_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"

/* What is assumed of a way whose size nobody has probed: tunnel MTU 1280 and 80 around it. */
#define PATH_ADDR_WIRE_MTU 1360

struct path_addr {
	struct endpoint at;  /* family 0: none */
	uint32_t vni;	     /* 0: direct; else through a peer relay, which direct always beats */
	uint64_t latency_ns; /* there and back; under an hour */
	uint16_t wire_mtu;   /* the largest IP packet that was answered */
};

/*
 * May a packet be sent there because a peer says so? Not to loopback, multicast, broadcast,
 * unspecified or IPv6 link-local addresses, not into the mesh's own IPv6 range, not to port 0.
 */
bool path_addr_is_allowed(const struct endpoint *e);

/* The points of a against b: up to 99 for being faster, 50, 30 or 20 for being near, 10 for IPv6.
 */
unsigned path_addr_points(const struct path_addr *a, const struct path_addr *b);

/* Should a replace b? Small differences do not count, so that two alike do not take turns. */
bool path_addr_is_better(const struct path_addr *a, const struct path_addr *b);

#endif
