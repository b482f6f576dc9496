/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows when a worker of the relay rests: when single frames take over half of its time, until
 * there is time to spare or frames come many at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "controlplane/derp/pause.h"

#define US 1000ull

/* So many turns of 100 us, of which busy_us are work; the last word. */
static bool turns(struct pause *p, unsigned n, uint64_t busy_us, uint64_t reads, uint64_t frames)
{
	bool wants = p->is_on;

	for (unsigned i = 0; i < n; i++)
		wants = pause_wanted(p, (100 - busy_us) * US, busy_us * US, reads, frames);
	return wants;
}

static void busy_with_single_frames(void **state)
{
	struct pause p = {0};

	assert_false(turns(&p, 500, 45, 5, 5));
	/* Not at once: a short burst is no load. */
	assert_false(turns(&p, 49, 60, 5, 5));
	assert_true(turns(&p, 1, 60, 5, 5));
	/* The rest makes it less busy; it stays. */
	assert_true(turns(&p, 500, 30, 5, 10));
	assert_false(turns(&p, 500, 15, 5, 10));
}

static void many_at_a_time(void **state)
{
	struct pause p = {0};

	assert_false(turns(&p, 500, 90, 5, 20));
	assert_true(turns(&p, 500, 90, 5, 19));
	assert_true(turns(&p, 500, 90, 5, 40));
	assert_false(turns(&p, 50, 90, 5, 41));
}

static void without_clients(void **state)
{
	struct pause p = {0};

	assert_false(turns(&p, 500, 0, 0, 0));
	/* Work of another kind, handshakes say. */
	assert_false(turns(&p, 500, 100, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_with_single_frames),
		cmocka_unit_test(many_at_a_time),
		cmocka_unit_test(without_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
