/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This machine's interfaces as the mesh sees them: which of their addresses may be told to others
 * (docs/protocol/nat-traversal.md, "Own endpoints"), and whether anything has changed that makes
 * the known ways doubtful. The loop's thread only.
 *
 *   kernel's news -- 100 ms of quiet, at most 1 s --> all read again -- differs --> on_change
 */
#ifndef CONTROLPLANE_NODE_MESH_INTERFACES_H
#define CONTROLPLANE_NODE_MESH_INTERFACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "lib/base/addr.h"

#define MESH_INTERFACES_MAX 64

/* An address of an interface that is up. */
struct mesh_interfaces_addr {
	uint32_t ifindex;
	struct ip_addr addr;
	uint8_t prefix_len;
	bool is_loopback; /* the interface is */
};

/* Where packets to the internet leave; ifindex 0: nowhere. */
struct mesh_interfaces_way {
	uint32_t ifindex;
	struct ip_addr gateway; /* family 0: on the link */
	struct ip_addr source;	/* the kernel's choice */
};

struct mesh_interfaces_state {
	size_t count;
	struct ip_addr at[MESH_INTERFACES_MAX]; /* to be told, in ascending order */
	bool has_v4, has_v6; /* an address with which more than the link can be reached */
	struct mesh_interfaces_way default_v4, default_v6;
};

/*
 * Of all addresses the ones that may be told; fills at, count, has_v4 and has_v6. Not those of
 * loopback and of the mesh's own ranges, at most two of an IPv6 subnet, link-local ones of IPv4 and
 * unique local ones of IPv6 only where there is nothing else. Pure.
 */
void mesh_interfaces_choose(const struct mesh_interfaces_addr *all, size_t count,
			    struct mesh_interfaces_state *out);

struct mesh_interfaces_events {
	/* Is this interface a TUN of ours? NULL: none is. */
	bool (*is_own)(void *arg, uint32_t ifindex, const char *name);
	/* Both are valid during the call; mesh_interfaces_state() is now already. */
	void (*on_change)(void *arg, const struct mesh_interfaces_state *old,
			  const struct mesh_interfaces_state *now);
};

struct mesh_interfaces;

/*
 * Reads the state and listens from then on. mark: of the outer sockets, 0 = none; the default ways
 * are those of packets with it. 0, or a negative errno.
 */
int mesh_interfaces_open(uv_loop_t *loop, uint32_t mark, const struct mesh_interfaces_events *ev,
			 void *arg, struct mesh_interfaces **out);
/* No events any more; memory goes when the loop has closed its handles. NULL is fine. */
void mesh_interfaces_close(struct mesh_interfaces *m);
/* Valid until the next on_change has returned. */
const struct mesh_interfaces_state *mesh_interfaces_state(const struct mesh_interfaces *m);
/* Reads again, as if the kernel had told of something: is_own may answer otherwise now. */
void mesh_interfaces_look(struct mesh_interfaces *m);

#endif
