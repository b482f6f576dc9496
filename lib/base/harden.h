/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every program with keys in memory does first. Called from main, before
 * there are threads.
 */
#ifndef LIB_BASE_HARDEN_H
#define LIB_BASE_HARDEN_H

#include <stddef.h>

/*
 * No core dumps, and no ptrace or /proc/PID/mem for other processes of the uid.
 * 0, or a negative errno.
 */
int harden_no_dumps(void);

/*
 * Keeps a secret out of swap and dumps. It may fail for want of RLIMIT_MEMLOCK
 * (-ENOMEM, -EPERM): the caller decides whether to go on.
 */
int harden_lock_secret(void *secret, size_t len);

#endif
