/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the last timestamps survive a restart, and that a write cut short at
 * any byte leaves the timestamp before it, and all others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "controlplane/node/timestamps.h"
#include "lib/base/fileio.h"

static char dir[] = "/tmp/causeway-stamps-XXXXXX";
static char path[64];

static void key_of(uint32_t n, uint8_t key[WG_KEY_BYTES])
{
	memset(key, 0, WG_KEY_BYTES);
	memcpy(key, &n, sizeof(n));
}

static struct timestamps *open_it(void)
{
	struct timestamps *ts;

	assert_int_equal(timestamps_open(dir, &ts), 0);
	return ts;
}

static void put(struct timestamps *ts, uint32_t n, uint8_t value)
{
	uint8_t key[WG_KEY_BYTES], tai[WG_TIMESTAMP_BYTES];

	key_of(n, key);
	memset(tai, value, sizeof(tai));
	assert_int_equal(timestamps_put(ts, key, tai), 0);
}

/* -1: not known */
static int get(struct timestamps *ts, uint32_t n)
{
	uint8_t key[WG_KEY_BYTES], tai[WG_TIMESTAMP_BYTES];

	key_of(n, key);
	return timestamps_get(ts, key, tai) ? tai[0] : -1;
}

static void test_survives(void **state)
{
	struct timestamps *ts = open_it();

	(void)state;
	assert_int_equal(get(ts, 1), -1);
	for (uint32_t n = 1; n <= 500; n++)
		for (uint8_t v = 1; v <= n % 5 + 1; v++)
			put(ts, n, v);
	assert_true(timestamps_take_dirty(ts));
	assert_false(timestamps_take_dirty(ts));
	timestamps_close(ts);
	ts = open_it();
	for (uint32_t n = 1; n <= 500; n++)
		assert_int_equal(get(ts, n), n % 5 + 1);
	assert_int_equal(get(ts, 501), -1);
	timestamps_close(ts);
}

/* before: the file with 1=10, 2=20; after: 1=11 as well. Every mixture of the two. */
static void test_torn_write(void **state)
{
	char *before, *after;
	size_t before_len, after_len;
	struct timestamps *ts;

	(void)state;
	unlink(path);
	ts = open_it();
	put(ts, 1, 9);
	put(ts, 1, 10);
	put(ts, 2, 20);
	assert_int_equal(file_read_all(path, 65536, &before, &before_len), 0);
	put(ts, 1, 11);
	timestamps_close(ts);
	assert_int_equal(file_read_all(path, 65536, &after, &after_len), 0);
	assert_int_equal(before_len, after_len);
	for (size_t cut = 0; cut <= after_len; cut++) {
		int one;

		memcpy(before, after, cut);
		assert_int_equal(file_write_atomic(path, before, before_len, 0600), 0);
		ts = open_it();
		one = get(ts, 1);
		assert_true(one == 10 || one == 11);
		assert_int_equal(get(ts, 2), 20);
		timestamps_close(ts);
	}
	free(before);
	free(after);
}

/* A first write of a key cut short: the file ends inside of the record. */
static void test_short_file(void **state)
{
	struct timestamps *ts;
	char *text;
	size_t len;

	(void)state;
	unlink(path);
	ts = open_it();
	put(ts, 1, 1);
	put(ts, 2, 2);
	timestamps_close(ts);
	assert_int_equal(file_read_all(path, 65536, &text, &len), 0);
	for (size_t cut = 129; cut < 192; cut++) {
		assert_int_equal(file_write_atomic(path, text, cut, 0600), 0);
		ts = open_it();
		assert_int_equal(get(ts, 1), 1);
		assert_int_equal(get(ts, 2), -1);
		put(ts, 2, 3);
		timestamps_close(ts);
		ts = open_it();
		assert_int_equal(get(ts, 1), 1);
		assert_int_equal(get(ts, 2), 3);
		timestamps_close(ts);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_survives),
		cmocka_unit_test(test_torn_write),
		cmocka_unit_test(test_short_file),
	};
	char cmd[64];
	int rc;

	if (sodium_init() < 0 || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/" TIMESTAMPS_FILE, dir);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) || rc;
}
