/* SPDX-License-Identifier: Apache-2.0 */
/* `status` of a node in a mesh, in the columns of `tailscale status`. */
#ifndef CONTROLPLANE_CLI_STATUS_MESH_H
#define CONTROLPLANE_CLI_STATUS_MESH_H

#include <jansson.h>
#include <stdbool.h>

struct status_options {
	bool self, peers, active_alone, header;
};

/* A row a node, on stdout. -ENOMEM. */
int status_mesh_print(const json_t *status, const struct status_options *o);

#endif
