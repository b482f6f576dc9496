/* SPDX-License-Identifier: Apache-2.0 */
/* What a command of the host says, for tests of what stands in the kernel. */
#ifndef TESTS_UNIT_COMMAND_LINES_H
#define TESTS_UNIT_COMMAND_LINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Lines that a command prints. */
static inline int lines(const char *command)
{
	FILE *f = popen(command, "r");
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	pclose(f);
	return n;
}

#endif
