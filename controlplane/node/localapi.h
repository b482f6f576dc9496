/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP over the Unix socket of causewayd: Tailscale's LocalAPI, as far as its command
 * line asks for it, and what ours asks for beside it (docs/protocol/localapi.md has
 * the endpoints). Everybody on the host may connect and read; who may change things
 * is root, the daemon's own user and who Prefs.OperatorUser names.
 *
 *   localapi.c        the socket, connections, requests
 *   localapi_conn.h   answers
 *   localapi_route.c  the table of endpoints and who may ask
 *   localapi_*.c      endpoints by subject
 */
#ifndef CONTROLPLANE_NODE_LOCALAPI_H
#define CONTROLPLANE_NODE_LOCALAPI_H

#include "controlplane/node/node.h"

#define LOCALAPI_PREFIX "/localapi/v0/"

struct localapi;
struct mesh;

/* Both outlive it. Before the sandbox: ICMP sockets are opened here. */
int localapi_open(uv_loop_t *loop, const char *socket_path, struct node *n, struct mesh *mesh,
		  struct localapi **out);
/* Frees when the loop has closed its handles. Before mesh_close. */
void localapi_close(struct localapi *api);

#endif
