/* SPDX-License-Identifier: Apache-2.0 */
/* See control_counter.h. */
#include "dataplane/api/control_counter.h"

#include <errno.h>
#include <string.h>

static struct dpapi_counter counters[CONTROL_COUNTERS_MAX];
static unsigned count;

int control_counter_set(const struct dpapi_counter *m)
{
	struct dpapi_counter c = *m;
	unsigned i;

	c.name[sizeof(c.name) - 1] = 0;
	c.help[sizeof(c.help) - 1] = 0;
	if (!c.name[0])
		return -EINVAL;
	for (i = 0; i < count && strcmp(counters[i].name, c.name) != 0; i++)
		;
	if (i == CONTROL_COUNTERS_MAX)
		return -ENOSPC;
	counters[i] = c;
	if (i == count)
		count++;
	return 0;
}

unsigned control_counter_count(void)
{
	return count;
}

const struct dpapi_counter *control_counter_get(unsigned i)
{
	return &counters[i];
}
