/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel stays the router of record: its addresses, routes, neighbours and
 * links are mirrored by netlink into the tables that workers read.
 *
 *   local  what is no business of the mesh: own addresses and routes elsewhere
 *          than into our TUN; on LAN interfaces of ours to the neighbour itself
 *   outer  where outer packets leave, on WAN interfaces of ours
 *   neigh  neighbours of those interfaces
 *
 * Changes are applied as they come. What a change cannot tell (which route takes
 * over when one goes) is read again as a whole at the next tick, and so is
 * everything after an overrun. Neighbours in use are kept alive: the kernel does
 * not see the packets that we send. Control thread.
 */
#ifndef DATAPLANE_NETLINK_MIRROR_H
#define DATAPLANE_NETLINK_MIRROR_H

#include "dataplane/dataplane.h"

struct mirror;

/* Reads everything once, then follows. NULL: *error. */
struct mirror *mirror_new(struct dataplane *dp, int epoll_fd, int *error);
void mirror_free(struct mirror *m);
/* From the control loop's timer. */
void mirror_tick(struct mirror *m, uint64_t now_ns);
/* Somebody has removed a TUN device of ours: without it nothing goes in or out. */
bool mirror_is_tun_gone(const struct mirror *m);

#endif
