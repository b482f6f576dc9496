/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times in nanoseconds, counted in buckets a sixteenth of an octave wide: percentiles are
 * right within 6 %, and the largest value and when it was are kept as they are. One thread.
 */
#ifndef TESTS_LAB_HISTOGRAM_H
#define TESTS_LAB_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_SUB	  16u
#define HISTOGRAM_BUCKETS (64u * HISTOGRAM_SUB)

struct histogram {
	uint64_t count;
	uint64_t max_ns, max_at_ns;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns, uint64_t at_ns);
/* The upper end of the bucket below which `share` (0..1) of all are; 0 without any. */
uint64_t histogram_percentile(const struct histogram *h, double share);
/* One JSON object: count, p50, p90, p99, p999, p9999, max in ns, max_at_ns. */
void histogram_print(const struct histogram *h, FILE *out);

#endif
