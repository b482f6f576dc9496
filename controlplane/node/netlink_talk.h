/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer on a node's netlink socket, for the files that make
 * requests (netlink.c, mesh_interfaces.c). The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_NETLINK_TALK_H
#define CONTROLPLANE_NODE_NETLINK_TALK_H

#include <libmnl/libmnl.h>

#include "controlplane/node/netlink.h"

#define NETLINK_LIST_TRIES 8 /* of a listing that is disturbed */

/* A request in nl's buffer, whose header is filled; the answer to an earlier one is dropped. */
struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, uint16_t flags);
/*
 * Sends it and gives the parts of the answer to cb (NULL: there are none to look at). 0, or the
 * kernel's negative errno; -EINTR: what was listed changed under way, ask again.
 */
int netlink_talk(struct netlink *nl, struct nlmsghdr *nlh, mnl_cb_t cb, void *arg);
/* A listing of RTM_GETLINK, _GETADDR or _GETROUTE, of one family. As above. */
int netlink_list(struct netlink *nl, uint16_t type, uint8_t family, mnl_cb_t cb, void *arg);

#endif
