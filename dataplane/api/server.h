/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dpapi socket: connections, the one controller among them, and messages
 * to and fro. All of it belongs to the control thread.
 *
 * An observer may SHOW; the controller may change things. A second controller
 * takes over: the first is closed. What it programmed stays: a restarted
 * causewayd finds its peers and sessions and carries on.
 */
#ifndef DATAPLANE_API_SERVER_H
#define DATAPLANE_API_SERVER_H

#include "dataplane/dataplane.h"

struct server;

/* Epoll user data of the control loop: fd kinds are told apart by this struct. */
struct loop_handler {
	void (*on_ready)(struct loop_handler *h, uint32_t epoll_events);
};

/*
 * Listens at path (mode 0600) and registers with epoll_fd, whose user data are
 * struct loop_handler pointers. NULL: *error is a negative errno.
 */
struct server *server_new(struct dataplane *dp, const char *path, int epoll_fd, int *error);
void server_free(struct server *s);

/* Sends a message to the controller, if there is one. hdr.type is set. */
void server_to_controller(struct server *s, void *msg, size_t len);
bool server_has_controller(const struct server *s);
struct dataplane *server_dataplane(struct server *s);

#endif
