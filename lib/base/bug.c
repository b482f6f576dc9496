/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/bug.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void bug_stop(const char *file, int line, const char *text)
{
	char buf[512];
	int n = snprintf(buf, sizeof(buf), "BUG %s:%d: %s\n", file, line, text);

	/* write, not stdio: the process may be broken, and stdio takes a lock. */
	if (n > 0 &&
	    write(STDERR_FILENO, buf, (size_t)n < sizeof(buf) ? (size_t)n : sizeof(buf) - 1) < 0)
		abort();
	abort();
}
