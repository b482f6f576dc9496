/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every program with keys in memory does first. Called from main, before
 * there are threads.
 */
#ifndef LIB_BASE_HARDEN_H
#define LIB_BASE_HARDEN_H

/*
 * No core dumps, and no ptrace or /proc/PID/mem for other processes of the uid.
 * 0, or a negative errno.
 */
int harden_no_dumps(void);

#endif
