/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture on disk, so that a gateway comes up without its coordinator: the
 * message that would make it, as JSON, mode 0600, replaced as one step. Blocking;
 * the loop's thread, not often.
 */
#ifndef CONTROLPLANE_NETMAP_NETMAP_CACHE_H
#define CONTROLPLANE_NETMAP_NETMAP_CACHE_H

#include "controlplane/netmap/netmap.h"

/* The picture as one message; the caller's. NULL: no memory. */
json_t *netmap_to_message(const struct netmap *m);
/* 0, or a negative errno; the file is as it was then. */
int netmap_cache_write(const char *path, const struct netmap *m);
/*
 * A picture whose own node has this key. 0; -ENOENT; -EKEYREJECTED: it is of
 * another key; -EBADMSG or another negative errno, with in->error filled.
 */
int netmap_cache_read(const char *path, const struct key *node_key, struct netmap **out,
		      struct json_in *in);

#endif
