/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Next hops, write side: fed by netlink/mirror.c. Control thread only.
 */
#ifndef DATAPLANE_TABLE_NEIGH_BUILD_H
#define DATAPLANE_TABLE_NEIGH_BUILD_H

#include "dataplane/table/neigh.h"

/* Interfaces that next hops can be on: ports, and netdevs of a port. */
#define NEIGH_PORTS	       8u
#define NEIGH_NETDEVS	       16u
#define NEIGH_CAPACITY_DEFAULT 16384u
#define NEIGH_CAPACITY_MAX     65535u

struct neigh_table *neigh_table_new(uint32_t capacity);
/* No worker may use it any more. NULL: nothing. */
void neigh_table_free(struct neigh_table *t);

/*
 * The kernel has a neighbour: mac, or NULL for one that is not resolved (or has
 * failed). Its number, -EINVAL, -ENOSPC or -ENOMEM.
 */
int neigh_set(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip,
	      const uint8_t *mac);
/* The kernel has it no more: unresolved; freed after quiescence once nobody holds it. */
int neigh_del(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip);
/* neigh_del for all that the kernel is known to have. */
void neigh_forget(struct neigh_table *t);

/*
 * For a gateway of a route: the number of its next hop, made unresolved if it is
 * new, and kept until neigh_put. Or -EINVAL, -ENOSPC, -ENOMEM.
 */
int neigh_hold(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip);
void neigh_put(struct neigh_table *t, uint16_t id);

/*
 * MAC and address of an interface (addr NULL: it has none of the family), for
 * the next hops that are there and those to come. mac NULL: the interface is
 * gone or down, its next hops cannot be used. 0 or -ENOMEM.
 */
int neigh_source_set(struct neigh_table *t, uint8_t port, uint8_t netdev, int family,
		     const uint8_t *mac, const uint8_t *addr);

size_t neigh_count(const struct neigh_table *t);
/* Non-zero from fn stops and is returned; fn changes nothing. */
int neigh_walk(const struct neigh_table *t,
	       int (*fn)(uint16_t id, const struct nexthop *n, void *arg), void *arg);

#endif
