/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the form of a log line, that a value cannot begin a line of its own, and
 * that a call site is held to its rate and says how much was held back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

static char output[65536];
static int saved_stderr;
static FILE *capture;

static void capture_begin(void)
{
	capture = tmpfile();
	assert_non_null(capture);
	saved_stderr = dup(STDERR_FILENO);
	dup2(fileno(capture), STDERR_FILENO);
}

static void capture_end(void)
{
	ssize_t n = pread(fileno(capture), output, sizeof(output) - 1, 0);

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	fclose(capture);
	assert_true(n >= 0);
	output[n] = '\0';
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void form_of_a_line(void **state)
{
	static const char form[] =
		"^ts=20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}\\.[0-9]{3}Z level=warn prog=tester "
		"event=peer\\.test peer=a n=7\n$";
	regex_t re;

	log_init("tester", LOG_INFO);
	capture_begin();
	log_warn("peer.test", "peer=%s n=%d", "a", 7);
	log_debug("peer.hidden", "x=1");
	capture_end();
	assert_int_equal(regcomp(&re, form, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, output, 0, NULL, 0) != 0)
		fail_msg("line was: %s", output);
	regfree(&re);
}

static void control_characters_are_escaped(void **state)
{
	capture_begin();
	log_info("peer.name", "name=\"%s\"", "x\nlevel=error\r\tfake\x1b[0m\x7f");
	capture_end();
	assert_int_equal(lines_of(output), 1);
	assert_non_null(strstr(output, "name=\"x\\nlevel=error\\x0d\\tfake\\x1b[0m\\x7f\"\n"));
}

static void long_lines_end(void **state)
{
	char big[5000];

	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	capture_begin();
	log_info("peer.big", "v=%s", big);
	capture_end();
	assert_int_equal(lines_of(output), 1);
	assert_true(strlen(output) <= 1100 && strlen(output) > 500);
	assert_int_equal(output[strlen(output) - 1], '\n');
}

static void rate_is_limited(void **state)
{
	static struct log_site site;
	struct timespec pause = {.tv_nsec = 350 * 1000 * 1000};
	uint64_t begin_ns = clock_now_ns();

	capture_begin();
	for (int i = 0; i < 1000; i++)
		log_line(&site, LOG_INFO, "flood", "i=%d", i);
	capture_end();
	/* 20 at once and 10 a second, for as long as the loop took. */
	assert_in_range(lines_of(output), 20, 21 + (clock_now_ns() - begin_ns) / (NS_PER_SEC / 10));
	assert_null(strstr(output, "suppressed="));

	nanosleep(&pause, NULL);
	capture_begin();
	log_line(&site, LOG_INFO, "flood", "again=1");
	log_line(&site, LOG_INFO, "flood", "again=2");
	capture_end();
	assert_int_equal(lines_of(output), 2);
	assert_non_null(strstr(output, "again=1 suppressed=9"));
	assert_null(strstr(output, "again=2 suppressed="));
}

static void levels_have_names(void **state)
{
	enum log_level level;

	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_ERROR);
	assert_int_equal(log_level_parse("loud", &level), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form_of_a_line),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(long_lines_end),
		cmocka_unit_test(rate_is_limited),
		cmocka_unit_test(levels_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
