/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of a peer, write side: for peer.c, which keeps them. Control thread only.
 */
#ifndef DATAPLANE_TABLE_LANE_BUILD_H
#define DATAPLANE_TABLE_LANE_BUILD_H

#include "dataplane/table/lane.h"
#include "dataplane/table/session_build.h"

struct peer_lanes *lane_new(void);
/* For retire; its sessions have been removed. */
void lane_free(void *lanes);
/* 0, or -ENOSPC. */
int lane_add(struct peer_lanes *l, struct session *s);
/* Takes the session out of the list and out of use; freeing it is the caller's. */
void lane_remove(struct peer_lanes *l, unsigned i);
/* Where in the list; -1: not there. */
int lane_find(const struct peer_lanes *l, const struct session *s);
/* 0, -EINVAL (not a session of that lane), -ENOMEM. */
int lane_set(struct peer_lanes *l, struct session *s, const struct dpapi_lane_set *msg,
	     uint64_t now_ns);

#endif
