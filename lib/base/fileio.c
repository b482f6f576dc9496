/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_READ 4096

/* Reads until the end or until cap bytes are there; bytes read or a negative errno. */
static ssize_t read_up_to(int fd, char *buf, size_t cap)
{
	size_t len = 0;

	while (len < cap) {
		ssize_t n = read(fd, buf + len, cap - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

static int read_growing(int fd, size_t max, char **data, size_t *len)
{
	size_t cap = FIRST_READ;
	size_t have = 0;
	char *buf = NULL;

	/* The size that stat gives is no help for pipes and /proc, so grow. */
	for (;;) {
		char *bigger = realloc(buf, cap + 1);
		ssize_t n;

		if (bigger == NULL) {
			free(buf);
			return -ENOMEM;
		}
		buf = bigger;
		n = read_up_to(fd, buf + have, cap - have);
		if (n < 0 || have + (size_t)n > max) {
			free(buf);
			return n < 0 ? (int)n : -EFBIG;
		}
		have += (size_t)n;
		if (have < cap)
			break;
		cap *= 2;
	}
	buf[have] = '\0';
	*data = buf;
	*len = have;
	return 0;
}

int file_read_all(const char *path, size_t max, char **data, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = read_growing(fd, max, data, len);
	close(fd);
	return err;
}

static int write_and_sync(int fd, const char *data, size_t len, mode_t mode)
{
	/* mkostemp makes 0600; fchmod also undoes what the umask would take. */
	if (fchmod(fd, mode) < 0)
		return -errno;
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int len = slash == NULL ? 1 : (slash == path ? 1 : (int)(slash - path));
	int err = 0;
	int fd;

	snprintf(folder, sizeof(folder), "%.*s", len, slash == NULL ? "." : path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems cannot sync a folder; the rename stands all the same. */
	if (fsync(fd) < 0 && errno != EINVAL)
		err = -errno;
	close(fd);
	return err;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
	char temp[PATH_MAX];
	int err;
	int fd;

	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_and_sync(fd, data, len, mode);
	if (close(fd) < 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(temp, path) < 0)
		err = -errno;
	if (err < 0) {
		unlink(temp);
		return err;
	}
	return sync_folder_of(path);
}
