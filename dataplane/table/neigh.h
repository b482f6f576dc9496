/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Next hops of the interfaces that the dataplane sends on itself (xdp and dpdk
 * ports), read side. Any worker, under RCU.
 *
 * A next hop is a neighbour's address on one interface. Its number (1..65535, 0 =
 * none) stays good for as long as somebody holds it (routes through a gateway)
 * or the kernel has the neighbour; its MAC comes and goes in one word.
 */
#ifndef DATAPLANE_TABLE_NEIGH_H
#define DATAPLANE_TABLE_NEIGH_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/clock.h"

/* What packets to neighbours on an interface carry as theirs; one a family. Immutable. */
struct neigh_source {
	uint8_t mac[6];
	uint8_t addr[16]; /* network order; IPv4 in the first four bytes */
	uint8_t has_addr;
};

#define NEIGH_MAC_VALID (1ull << 48)

struct nexthop {
	uint8_t port;	/* index of the port */
	uint8_t netdev; /* index into the port's netdevs */
	uint8_t family;
	uint8_t ip[16];
	_Atomic uint64_t
		mac; /* six bytes as they lie in memory | NEIGH_MAC_VALID; 0 = unresolved */
	_Atomic(struct neigh_source *) source; /* NULL: not known, cannot be used */
	_Atomic uint64_t used_ns;   /* w, to a second: a neighbour in use is kept alive */
	_Atomic uint32_t hash_next; /* control thread: number of the next in the bucket */
	uint32_t refs;		    /* control thread */
	uint8_t is_known;	    /* control thread: the kernel has it */
	uint8_t in_use;		    /* control thread */
} __attribute__((aligned(64)));

struct neigh_build;

struct neigh_table {
	struct nexthop *hop; /* capacity + 1, [0] unused */
	_Atomic uint32_t *bucket;
	uint32_t bucket_mask;
	uint32_t capacity;
	struct neigh_build *build; /* control thread */
};

/* Number of the next hop, resolved or not; 0 = not known. */
uint16_t neigh_find(const struct neigh_table *t, uint8_t port, uint8_t netdev, int family,
		    const uint8_t *ip);

/* id from neigh_find, a FIB or a hint. Never NULL; [0] is never resolved. */
static inline struct nexthop *neigh_get(const struct neigh_table *t, uint16_t id)
{
	return &t->hop[id <= t->capacity ? id : 0];
}

/*
 * Fills both MACs of an Ethernet header and notes the use. False: unresolved,
 * the packet goes to the kernel. *src is the source, for outer headers.
 */
static inline bool neigh_resolve(struct nexthop *n, uint64_t now_ns, uint8_t dst_mac[6],
				 const struct neigh_source **src)
{
	uint64_t mac = atomic_load_explicit(&n->mac, memory_order_acquire);
	const struct neigh_source *s = atomic_load_explicit(&n->source, memory_order_acquire);

	if (!(mac & NEIGH_MAC_VALID) || !s)
		return false;
	memcpy(dst_mac, &mac, 6);
	*src = s;
	if (now_ns - atomic_load_explicit(&n->used_ns, memory_order_relaxed) > NS_PER_SEC)
		atomic_store_explicit(&n->used_ns, now_ns, memory_order_relaxed);
	return true;
}

/* A hint is good only for the address that it was found for. */
static inline bool neigh_is(const struct nexthop *n, int family, const uint8_t *ip)
{
	/* Lengths that the compiler knows: no call. */
	if (n->family != family)
		return false;
	return family == AF_INET ? memcmp(n->ip, ip, 4) == 0 : memcmp(n->ip, ip, 16) == 0;
}

#endif
