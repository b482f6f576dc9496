/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that percentiles of times are within a bucket of the right ones, and the largest exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lab/histogram.h"

static struct histogram h;

static void test_percentiles(void **state)
{
	static const double shares[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1};

	for (uint64_t unit = 1; unit < (1ull << 40); unit *= 7) {
		h = (struct histogram){0};
		for (uint64_t i = 1; i <= 10000; i++)
			histogram_add(&h, i * unit, i);
		for (unsigned k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			double right = shares[k] * 10000 * (double)unit;
			double got = (double)histogram_percentile(&h, shares[k]);

			assert_true(got >= right * 0.999);
			assert_true(got <= right * 1.07);
		}
		assert_int_equal(h.max_ns, 10000 * unit);
		assert_int_equal(h.max_at_ns, 10000);
	}
}

static void test_ends(void **state)
{
	h = (struct histogram){0};
	assert_int_equal(histogram_percentile(&h, 0.5), 0);
	histogram_add(&h, 0, 1);
	assert_int_equal(histogram_percentile(&h, 1), 0);
	histogram_add(&h, UINT64_MAX, 2);
	assert_int_equal(histogram_percentile(&h, 0.5), 0);
	assert_true(histogram_percentile(&h, 1) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percentiles),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
