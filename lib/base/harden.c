/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/harden.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int harden_no_dumps(void)
{
	const struct rlimit none = {0, 0};

	/* The limit alone does not stop a core_pattern that pipes to a program. */
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
