/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system's resolvers: the nameserver lines of resolv.conf(5). The file is small
 * and local; it is read again when it changed. One thread.
 */
#ifndef CONTROLPLANE_DNS_RESOLV_CONF_H
#define CONTROLPLANE_DNS_RESOLV_CONF_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/base/addr.h"

#define RESOLV_CONF_MAX 3 /* as the C library has it (MAXNS) */

struct resolv_conf {
	const char *path;
	struct timespec changed;
	ino_t inode;
	struct endpoint at[RESOLV_CONF_MAX];
	uint32_t count;
};

/* text: the file's, and a zero byte. Lines that do not read, and ourselves, are left out. */
void resolv_conf_parse(struct resolv_conf *r, const char *text);
/* Looks whether path changed. A file that is not there names nobody. */
void resolv_conf_refresh(struct resolv_conf *r);

#endif
