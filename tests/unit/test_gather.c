/* SPDX-License-Identifier: Apache-2.0 */
/* Shows when a worker lets packets gather: many in small batches, and at no other time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/gather.h"

static struct gather g;
static uint64_t now_ns;

/* `windows` milliseconds of rounds with so many packets, so many rounds a millisecond. */
static void traffic(unsigned windows, unsigned rounds, unsigned packets)
{
	for (unsigned i = 0; i < windows * rounds; i++) {
		now_ns += GATHER_WINDOW_NS / rounds;
		gather_note(&g, now_ns, packets);
	}
}

static int begin(void **state)
{
	g = (struct gather){0};
	now_ns = 5 * GATHER_WINDOW_NS;
	return 0;
}

static void many_small_batches_turn_it_on(void **state)
{
	traffic(4, 60, 1);
	assert_true(g.is_on);
}

static void few_packets_do_not(void **state)
{
	traffic(20, 10, 1);
	assert_false(g.is_on);
}

static void full_batches_do_not(void **state)
{
	traffic(20, 20, 47);
	assert_false(g.is_on);
}

static void what_gathers_stays_on(void **state)
{
	traffic(4, 60, 1);
	traffic(8, 3, 25);
	assert_true(g.is_on);
	traffic(4, 10, 60);
	assert_false(g.is_on);
}

static void a_pause_ends_it(void **state)
{
	traffic(4, 60, 1);
	assert_true(g.is_on);
	now_ns += 50 * GATHER_WINDOW_NS;
	gather_note(&g, now_ns, 1);
	assert_false(g.is_on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(many_small_batches_turn_it_on, begin),
		cmocka_unit_test_setup(few_packets_do_not, begin),
		cmocka_unit_test_setup(full_batches_do_not, begin),
		cmocka_unit_test_setup(what_gathers_stays_on, begin),
		cmocka_unit_test_setup(a_pause_ends_it, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
