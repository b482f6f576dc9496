/* SPDX-License-Identifier: Apache-2.0 */
/* Asks causeway-dp for a table, as an observer on its dpapi socket. Blocking, bounded. */
#ifndef CONTROLPLANE_CLI_DP_SHOW_H
#define CONTROLPLANE_CLI_DP_SHOW_H

#include <stddef.h>
#include <stdint.h>

/*
 * 0 with the JSON text in *text (malloc'd, zero-terminated); -ENOENT,
 * -ECONNREFUSED, -EACCES and the like: not connected; -EPIPE, -ETIMEDOUT: it went
 * or is silent; -EREMOTEIO: it refused, reason says why; -EBADMSG, -EFBIG.
 */
int dp_show(const char *socket_path, const char *what, uint32_t limit, char **text, char *reason,
	    size_t reason_len);

#endif
