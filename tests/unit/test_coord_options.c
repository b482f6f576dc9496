/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that causeway-coord takes the same options from its command line and from a
 * file, that the command line wins, and that a mistake is told with its place.
 * Usage: test_coord_options configs/coord.hujson
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/coord/options.h"
#include "lib/base/bug.h"

static const char *example;
static char path[] = "/tmp/coord-options.XXXXXX";
static char said[4096];

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* What it says goes to `said`. words: up to a NULL. */
static int parse(struct options *o, const char *const *words)
{
	char *argv[16] = {(char *)"causeway-coord"};
	int argc = 1, rc, old = dup(2);
	FILE *out = tmpfile();
	size_t n;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	assert_non_null(out);
	dup2(fileno(out), 2);
	optind = 0; /* glibc: from the start */
	rc = options_parse(argc, argv, o);
	dup2(old, 2);
	close(old);
	rewind(out);
	n = fread(said, 1, sizeof(said) - 1, out);
	said[n] = 0;
	fclose(out);
	return rc;
}

#define PARSE(o, ...) parse(o, (const char *const[]){__VA_ARGS__, NULL})
#define FULL	      "serve", "--listen", "127.0.0.1:8080", "--url", "http://10.0.0.1"

static void the_command_line_is_enough(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, FULL, "--key-days", "0", "--metrics", "[::1]:9"), 0);
	assert_string_equal(o.listen, "127.0.0.1:8080");
	assert_string_equal(o.metrics, "[::1]:9");
	assert_string_equal(o.domain, "mesh.internal");
	assert_int_equal(o.key_days, 0);
	assert_null(o.dns);
	options_fini(&o);
}

static void the_file_says_the_same_and_the_command_line_wins(void **state)
{
	struct options o;

	(void)state;
	write_file("{\"listen\": \"[::]:1\", \"url\": \"https://a.example\", // why\n"
		   " \"domain\": \"b.example\", \"key_days\": 7, \"log_level\": \"warn\",\n"
		   " \"dns\": {\"domains\": [\"corp.example\"]},}");
	assert_int_equal(PARSE(&o, "serve", "--config", path, "--key-days", "9"), 0);
	assert_string_equal(o.listen, "[::]:1");
	assert_string_equal(o.url, "https://a.example");
	assert_int_equal(o.key_days, 9);
	assert_int_equal(o.log_level, LOG_WARN);
	assert_string_equal(o.dns,
			    "{\"Routes\":{\"b.example\":[]},"
			    "\"Domains\":[\"b.example\",\"corp.example\"],\"Proxied\":true}");
	options_fini(&o);
	assert_int_equal(PARSE(&o, "serve", "--config", path, "--listen", "127.0.0.1:2"), 0);
	assert_string_equal(o.listen, "127.0.0.1:2");
	options_fini(&o);
}

static void the_example_is_right(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, "serve", "--check", "--config", example), 0);
	assert_true(o.is_check);
	options_fini(&o);
}

static void mistakes_have_a_place(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"{\"listne\": \"[::]:1\"}",
		 ":1:2: unknown key \"listne\"; the nearest known one is \"listen\""},
		{"{\"url\":\n  \"ftp://a\"}", ":2:3: \"ftp://a\" is not http://HOST"},
		{"{\"url\": \"http://a/\"}", ":1:9: \"http://a/\" may not end with a slash"},
		{"{\"listen\": 8080}", ":1:12: expected a string"},
		{"{\"listen\": \":8080\"}", ":1:12: \":8080\" is not ADDR:PORT"},
		{"{\"key_days\": \"7\"}", ":1:14: expected"},
		{"{\"key_days\": -1}", ":1:14: "},
		{"{\"domain\": \"a..b\"}", ":1:12: \"a..b\" is not a domain"},
		{"{\"log_level\": \"loud\"}", ":1:15: \"loud\" is not debug"},
		{"{\"dns\": {\"domain\": []}}", ":1:10: unknown key \"domain\""},
		{"{\"state\": \"\"}", ":1:11: \"\" is empty"},
		{"{", ":1:2: "},
	};
	char want[256];
	struct options o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		write_file(cases[i].text);
		assert_int_equal(PARSE(&o, FULL, "--config", path), 3);
		snprintf(want, sizeof(want), "%s%s", path, cases[i].says);
		if (strncmp(said, want, strlen(want)) != 0)
			fail_msg("%s: %s", cases[i].text, said);
		options_fini(&o);
	}
	assert_int_equal(PARSE(&o, FULL, "--config", "/nowhere"), 3);
	assert_non_null(strstr(said, "/nowhere:0:0: cannot read"));
}

static void wrong_words_are_named(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, FULL, "--domain", "a b"), 3);
	assert_string_equal(said, "causeway-coord: --domain a b: is not a domain\n");
	assert_int_equal(PARSE(&o, FULL, "--tls-cert", "a"), 3);
	assert_non_null(strstr(said, "go together"));
	assert_int_equal(PARSE(&o, "serve", "--url", "http://a"), 3);
	assert_non_null(strstr(said, "--listen"));
	assert_int_equal(PARSE(&o, "serve", "--listen", "[::]:1"), 3);
	assert_non_null(strstr(said, "--url is needed"));
	assert_int_equal(PARSE(&o, FULL, "surplus"), 3);
	assert_non_null(strstr(said, "usage:"));
	assert_int_equal(PARSE(&o, FULL, "--key-days", "7x"), 3);
	assert_non_null(strstr(said, "--key-days 7x"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_command_line_is_enough),
		cmocka_unit_test(the_file_says_the_same_and_the_command_line_wins),
		cmocka_unit_test(the_example_is_right),
		cmocka_unit_test(mistakes_have_a_place),
		cmocka_unit_test(wrong_words_are_named),
	};
	int rc;

	if (argc != 2 || mkstemp(path) < 0)
		return 1;
	example = argv[1];
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return rc;
}
