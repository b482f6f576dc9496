/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that a listening socket takes the place of a dead one only, with the mode that was asked
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fileio.h"
#include "lib/base/sock.h"

static char folder[] = "/tmp/causeway-sock-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void mode_and_credentials(void **state)
{
	int listening = sock_unix_listen(path, SOCK_SEQPACKET, 0660);
	struct ucred cred;
	struct stat st;
	int client, server;

	assert_true(listening >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(sock_accept(listening), -EAGAIN);
	client = sock_unix_connect(path, SOCK_SEQPACKET);
	assert_true(client >= 0);
	server = sock_accept(listening);
	assert_true(server >= 0);
	assert_int_equal(sock_peer_cred(server, &cred), 0);
	assert_int_equal(cred.pid, getpid());
	assert_int_equal(cred.uid, getuid());
	assert_true((fcntl(server, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
	close(client);
	close(server);
	close(listening);
}

static void only_the_dead_are_replaced(void **state)
{
	int first, second;

	/* The test before left its socket file behind. */
	assert_int_equal(sock_unix_connect(path, SOCK_SEQPACKET), -ECONNREFUSED);
	first = sock_unix_listen(path, SOCK_STREAM, 0600);
	assert_true(first >= 0);
	assert_int_equal(sock_unix_listen(path, SOCK_STREAM, 0600), -EADDRINUSE);
	assert_int_equal(sock_unix_listen(path, SOCK_SEQPACKET, 0600), -EADDRINUSE);
	second = sock_unix_connect(path, SOCK_STREAM);
	assert_true(second >= 0);
	close(second);
	close(first);
	assert_int_equal(file_write_atomic(path, "mine", 4, 0600), 0);
	assert_int_equal(sock_unix_listen(path, SOCK_STREAM, 0600), -EADDRINUSE);
}

static void the_folder_is_made(void **state)
{
	char at[64];
	struct stat st;
	int fd;

	snprintf(at, sizeof(at), "%s/run", folder);
	assert_int_equal(stat(at, &st), -1);
	snprintf(at, sizeof(at), "%s/run/s.sock", folder);
	fd = sock_unix_listen(at, SOCK_STREAM, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(unlink(at), 0);
	snprintf(at, sizeof(at), "%s/run/deeper/still/s.sock", folder);
	assert_int_equal(sock_unix_listen(at, SOCK_STREAM, 0600), -ENOENT);
	snprintf(at, sizeof(at), "%s/run", folder);
	assert_int_equal(rmdir(at), 0);
}

static void paths_have_an_end(void **state)
{
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(sock_unix_connect(longer, SOCK_STREAM), -ENAMETOOLONG);
	assert_int_equal(sock_unix_listen(longer, SOCK_STREAM, 0600), -ENAMETOOLONG);
	assert_int_equal(sock_unix_connect("", SOCK_STREAM), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mode_and_credentials),
		cmocka_unit_test(only_the_dead_are_replaced),
		cmocka_unit_test(the_folder_is_made),
		cmocka_unit_test(paths_have_an_end),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
