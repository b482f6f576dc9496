/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node as JSON in the shape of `tailscale status --json`, and as Prometheus
 * text. Reads the picture, changes nothing.
 */
#ifndef CONTROLPLANE_NODE_STATUS_H
#define CONTROLPLANE_NODE_STATUS_H

#include <stdbool.h>

#include "controlplane/node/node.h"
#include "lib/base/json_out.h"

void status_json(const struct node *n, bool with_peers, struct json_out *j);
/* Text of *len bytes that the caller frees, or NULL. */
char *status_metrics(const struct node *n, size_t *len);

#endif
