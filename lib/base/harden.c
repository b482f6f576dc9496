/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/harden.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

int harden_lock_secret(void *secret, size_t len)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)secret & ~(page - 1);
	size_t span = (size_t)((uintptr_t)secret + len - first);

	if (mlock((void *)first, span) < 0)
		return -errno;
	/* Old kernels do not know the advice; the lock is what counts. */
	madvise((void *)first, span, MADV_DONTDUMP);
	return 0;
}
