/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that a file is read whole or not at all, and replaced whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fileio.h"

static char folder[] = "/tmp/causeway-fileio-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/f", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static unsigned files_in_folder(void)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

static void what_was_written_is_read(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *data = calloc(1, sizes[i] + 1);
		char *back;
		size_t len;

		for (size_t at = 0; at < sizes[i]; at++)
			data[at] = (char)(at * 7);
		assert_int_equal(file_write_atomic(path, data, sizes[i], 0640), 0);
		assert_int_equal(file_read_all(path, sizes[i], &back, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(back, data, len + 1);
		free(back);
		if (sizes[i] > 0)
			assert_int_equal(file_read_all(path, sizes[i] - 1, &back, &len), -EFBIG);
		free(data);
	}
	assert_int_equal(files_in_folder(), 1);
}

static void mode_is_as_asked(void **state)
{
	struct stat st;
	mode_t old = umask(077);

	assert_int_equal(file_write_atomic(path, "x", 1, 0644), 0);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void failure_leaves_all_as_it_was(void **state)
{
	char missing[80];
	char *back;
	size_t len;

	snprintf(missing, sizeof(missing), "%s/none/f", folder);
	assert_int_equal(file_write_atomic(missing, "x", 1, 0600), -ENOENT);
	assert_int_equal(file_read_all(missing, 10, &back, &len), -ENOENT);
	/* A folder cannot be replaced by a file: the rename fails, the temporary one goes. */
	assert_int_equal(mkdir(missing, 0700), -1);
	snprintf(missing, sizeof(missing), "%s/d", folder);
	assert_int_equal(mkdir(missing, 0700), 0);
	assert_int_equal(file_write_atomic(missing, "x", 1, 0600), -EISDIR);
	assert_int_equal(rmdir(missing), 0);
	assert_int_equal(files_in_folder(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(mode_is_as_asked),
		cmocka_unit_test(failure_leaves_all_as_it_was),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
