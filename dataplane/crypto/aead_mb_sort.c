/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a multi-buffer engine takes jobs: the longest first. */
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"

void aead_mb_sort(struct aead_job **sorted, struct aead_job *jobs, unsigned n)
{
	BUG_ON(n > AEAD_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;

		for (; at && sorted[at - 1]->len < jobs[i].len; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &jobs[i];
	}
}
