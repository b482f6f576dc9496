/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files in and out. Blocking: at start, at reload, and for small state
 * files, never on a worker.
 */
#ifndef LIB_BASE_FILEIO_H
#define LIB_BASE_FILEIO_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads a file of at most max bytes. *data is malloc'd, with a zero byte behind
 * its *len bytes that is not counted. 0, or a negative errno (-EFBIG: longer).
 */
int file_read_all(const char *path, size_t max, char **data, size_t *len);

/*
 * Replaces path as one step: a temporary file beside it, fsync, rename, fsync of
 * the folder. After an error, path is as it was. 0, or a negative errno.
 */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);

#endif
