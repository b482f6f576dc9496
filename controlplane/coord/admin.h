/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's side: HTTP/1.1 over a Unix socket, one request a connection.
 * Who may connect is the socket's mode; who may change things is root and the
 * coordinator's own uid. Lists are read from the picture, changes go to the store
 * and are answered when they are committed.
 *
 *   GET  /coord/v0/users, keys, nodes, routes, logins   200 JSON: a list
 *   GET  /coord/v0/derp, dns, policy                            200 JSON: version, set, text, told
 *   GET  /coord/v0/audit                                200 JSON: the last 1,000 lines
 *   POST /coord/v0/VERB with a JSON object              200 JSON; 400, 404, 409 text
 *   GET  /health, /metrics                              also over TCP, and nothing else there
 *
 *   admin.c        connections
 *   admin_list.c   lists
 *   admin_verb.c   changes
 */
#ifndef CONTROLPLANE_COORD_ADMIN_H
#define CONTROLPLANE_COORD_ADMIN_H

#include "controlplane/coord/coord.h"

#define ADMIN_PREFIX "/coord/v0/"

struct admin;
struct admin_conn;

/* 0 or a negative errno. */
int admin_open(uv_loop_t *loop, const char *socket_path, struct coord *c, struct admin **out);
/*
 * Only what a monitor reads, on a TCP port: who connects is not known, so it is cut
 * off when its request is not here within ten seconds. 0 or a negative errno.
 */
int admin_open_metrics(uv_loop_t *loop, const struct endpoint *at, struct coord *c,
		       struct admin **out);
/* Frees when the loop has closed its handles. */
void admin_close(struct admin *a);

/* ---- for admin_verb.c ---- */

/* Takes body (malloc'd JSON, may be NULL). */
void admin_answer(struct admin_conn *conn, char *body, size_t len);
/* 400, 404, 409 or 500 after the errno; text: what it is about. */
void admin_refuse(struct admin_conn *conn, int err, const char *text);
/* False: there is no such verb. Else it is answered now or later. */
bool admin_verb(struct coord *c, struct admin_conn *conn, const char *verb, const char *body,
		size_t len, uint32_t uid);

/* ---- admin_list.c ---- */

/* A list or document as JSON, malloc'd; NULL: no such thing, or no memory. */
char *admin_list(const struct coord *c, const char *name, size_t *len);

#endif
