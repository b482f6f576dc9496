/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between lib/base's addresses and dpapi's. Pure.
 */
#ifndef CONTROLPLANE_NODE_DP_PATH_H
#define CONTROLPLANE_NODE_DP_PATH_H

#include <string.h>

#include "lib/base/addr.h"
#include "lib/dpapi/dpapi.h"

static inline struct endpoint dp_path_endpoint(const struct dpapi_path *path)
{
	struct endpoint ep = {.port = path->remote.port};

	ep.addr.family = (uint8_t)path->remote.family;
	memcpy(ep.addr.bytes, path->remote.bytes, sizeof(ep.addr.bytes));
	return ep;
}

/* A direct path from this port of the dataplane; kind NONE if ep has no family. */
static inline struct dpapi_path dp_path_direct(const struct endpoint *ep, uint16_t local_port)
{
	struct dpapi_path path = {.local_port = local_port};

	if (!ep->addr.family)
		return path;
	path.kind = DPAPI_PATH_UDP;
	path.remote.family = ep->addr.family;
	path.remote.port = ep->port;
	memcpy(path.remote.bytes, ep->addr.bytes, sizeof(path.remote.bytes));
	return path;
}

static inline bool dp_path_equal(const struct dpapi_path *a, const struct dpapi_path *b)
{
	return a->kind == b->kind && a->lane == b->lane && a->local_port == b->local_port &&
	       a->vni == b->vni && a->remote.family == b->remote.family &&
	       a->remote.port == b->remote.port &&
	       memcmp(a->remote.bytes, b->remote.bytes, sizeof(a->remote.bytes)) == 0;
}

#endif
