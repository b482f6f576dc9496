/* SPDX-License-Identifier: Apache-2.0 */
/* The order in which a multi-buffer engine takes jobs: the longest first. */
#include "dataplane/crypto/aead_mb_set.h"
#include "lib/base/bug.h"

void aead_mb_sort(struct aead_job **sorted, struct aead_job *jobs, unsigned n)
{
	uint32_t least = UINT32_MAX;

	BUG_ON(n > AEAD_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i;

		/* Jobs of like length, as bulk traffic has them, go through in one pass. */
		if (jobs[i].len > least)
			for (; at && sorted[at - 1]->len < jobs[i].len; at--)
				sorted[at] = sorted[at - 1];
		else
			least = jobs[i].len;
		sorted[at] = &jobs[i];
	}
}
