/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in a status document, as users name them. Objects are borrowed from it. */
#ifndef CONTROLPLANE_CLI_MESH_PEER_H
#define CONTROLPLANE_CLI_MESH_PEER_H

#include <jansson.h>

#include "controlplane/cli/cli.h"

/* The daemon's status, the caller's; NULL: *code says how it failed, and it was told. */
json_t *mesh_status(const struct cli *cli, const char *query, int *code);
/* A member that is a text; "" if it is none. */
const char *mesh_text(const json_t *object, const char *key);
/* The node itself or a peer with this address, name (with or without suffix) or id. NULL: none. */
json_t *mesh_find(const json_t *status, const char *who);
/* Its first address: "" = none. */
const char *mesh_address(const json_t *node);
/* DNSName without suffix and dots: in buf. */
const char *mesh_short_name(const json_t *node, const char *suffix, char *buf, size_t len);
/*
 * Not running or starting: why, as `status` says it; NULL: it is. AuthURL is a part of it.
 */
const char *mesh_not_running(const json_t *status, char *buf, size_t len);
/* JSON as scripts get it: two spaces, as stock prints it. */
int mesh_print_json(const struct cli *cli, const json_t *value);

#endif
