/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a node in a mesh, out of what the mesh and the node know. */
#ifndef CONTROLPLANE_NODE_LOCALAPI_STATUS_H
#define CONTROLPLANE_NODE_LOCALAPI_STATUS_H

#include <jansson.h>
#include <stdbool.h>

struct mesh;

/* The node runs by node.hujson alone, without a coordinator: its status is status.h's. */
bool localapi_is_static(const struct mesh *m);
/* ipnstate.Status, a new object; NULL: no memory. */
json_t *localapi_status(const struct mesh *m, bool with_peers);
/* Prometheus text as of `tailscale metrics`, malloc'd, or NULL. */
char *localapi_user_metrics(const struct mesh *m, size_t *len);

#endif
