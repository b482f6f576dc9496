/* SPDX-License-Identifier: Apache-2.0 */
/* Names and sentences of the drop reasons. Any thread. */
#include "dataplane/drop.h"

#include "lib/base/bug.h"

static const struct {
	const char *name;
	int is_fault;
	const char *help;
} drops[] = {
#define X(name, fault, help) {#name, fault, help},
	DROP_REASONS(X)
#undef X
};

static_assert(ARRAY_SIZE(drops) == DROP_REASON_COUNT, "one row a reason");
static_assert(DROP_REASON_COUNT <= 256, "packet.drop is one byte");

const char *drop_name(enum drop_reason r)
{
	return drops[r].name;
}

const char *drop_help(enum drop_reason r)
{
	return drops[r].help;
}

int drop_is_fault(enum drop_reason r)
{
	return drops[r].is_fault;
}
