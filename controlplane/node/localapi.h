/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over the Unix socket of causewayd, in the manner of Tailscale's LocalAPI.
 * Who may connect is the socket's mode; who may change things is root and the
 * daemon's own uid. One request of a connection is worked on at a time.
 *
 *   GET  /localapi/v0/status?peers=false    200 JSON
 *   GET  /localapi/v0/metrics               200 Prometheus text (also /metrics)
 *   POST /localapi/v0/reload                204; 400 "file:line:column: reason"
 *   POST /localapi/v0/down, up              204
 */
#ifndef CONTROLPLANE_NODE_LOCALAPI_H
#define CONTROLPLANE_NODE_LOCALAPI_H

#include "controlplane/node/node.h"

#define LOCALAPI_PREFIX "/localapi/v0/"

struct localapi;

int localapi_open(uv_loop_t *loop, const char *socket_path, struct node *n, struct localapi **out);
/* Frees when the loop has closed its handles. */
void localapi_close(struct localapi *api);

#endif
