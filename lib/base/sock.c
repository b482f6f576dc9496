/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_BACKLOG 64

static int unix_address(const char *path, struct sockaddr_un *sun)
{
	size_t len = strlen(path);

	if (len == 0)
		return -EINVAL;
	if (len >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, len);
	return 0;
}

int sock_unix_connect(const char *path, int type)
{
	struct sockaddr_un sun;
	int err = unix_address(path, &sun);
	int fd;

	if (err < 0)
		return err;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Only a socket that refuses connections is nobody's. */
static bool is_stale(const char *path, int type)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = sock_unix_connect(path, type);
	if (fd >= 0)
		close(fd);
	return fd == -ECONNREFUSED;
}

/* /run is empty after a boot: the programs' own folder in it is made by whoever is first. */
static void make_parent(const char *path)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return;
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	/* What went wrong bind says: the folder is there, or it is not. */
	(void)mkdir(dir, 0755);
}

static int bind_path(int fd, const char *path, int type, mode_t mode)
{
	struct sockaddr_un sun;
	int err = unix_address(path, &sun);

	if (err < 0)
		return err;
	make_parent(path);
	/*
	 * Linux makes the file with the mode of the unbound socket less the umask:
	 * so at no time is it open wider than asked for. chmod then gives what the
	 * umask took.
	 */
	if (fchmod(fd, mode) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EADDRINUSE)
			return -errno;
		if (!is_stale(path, type))
			return -EADDRINUSE;
		if (unlink(path) < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
			return -errno;
	}
	return chmod(path, mode) < 0 ? -errno : 0;
}

int sock_unix_listen(const char *path, int type, mode_t mode)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = bind_path(fd, path, type, mode);
	if (err == 0 && listen(fd, LISTEN_BACKLOG) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int sock_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int sock_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int sock_peer_cred(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) < 0 ? -errno : 0;
}
