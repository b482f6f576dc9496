/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets of the programs. All descriptors are close-on-exec. Functions
 * return a descriptor, or 0, or a negative errno. Any thread.
 */
#ifndef LIB_BASE_SOCK_H
#define LIB_BASE_SOCK_H

#include <sys/socket.h>
#include <sys/types.h>

/*
 * A non-blocking listening socket of SOCK_STREAM or SOCK_SEQPACKET at path, with
 * exactly this mode. The folder it stands in is made (0755) if it is missing. A
 * socket that a dead process left is removed; one that somebody serves is
 * -EADDRINUSE, as is anything that is no socket.
 */
int sock_unix_listen(const char *path, int type, mode_t mode);
/* A blocking, connected socket. */
int sock_unix_connect(const char *path, int type);
/* The next connection, non-blocking. */
int sock_accept(int listen_fd);
int sock_set_nonblock(int fd);
/* Who is at the other end of a Unix socket. */
int sock_peer_cred(int fd, struct ucred *cred);

#endif
