/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lab/histogram.h"

static unsigned bucket_of(uint64_t ns)
{
	unsigned octave;

	if (ns < HISTOGRAM_SUB)
		return (unsigned)ns;
	octave = 63u - (unsigned)__builtin_clzll(ns);
	return (octave - 3) * HISTOGRAM_SUB + (unsigned)(ns >> (octave - 4)) % HISTOGRAM_SUB;
}

static uint64_t bucket_end(unsigned b)
{
	unsigned octave = b / HISTOGRAM_SUB + 3;

	if (b < HISTOGRAM_SUB)
		return b;
	return ((uint64_t)(HISTOGRAM_SUB + b % HISTOGRAM_SUB + 1) << (octave - 4)) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns, uint64_t at_ns)
{
	h->count++;
	h->bucket[bucket_of(ns)]++;
	if (ns > h->max_ns) {
		h->max_ns = ns;
		h->max_at_ns = at_ns;
	}
}

uint64_t histogram_percentile(const struct histogram *h, double share)
{
	uint64_t sum = 0;

	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		sum += h->bucket[b];
		if (h->count && (double)sum >= share * (double)h->count) {
			uint64_t end = bucket_end(b);

			return end < h->max_ns ? end : h->max_ns;
		}
	}
	return h->max_ns;
}

void histogram_print(const struct histogram *h, FILE *out)
{
	fprintf(out,
		"{\"count\":%lu,\"p50\":%lu,\"p90\":%lu,\"p99\":%lu,\"p999\":%lu,\"p9999\":%lu,"
		"\"max\":%lu,\"max_at_ns\":%lu}",
		h->count, histogram_percentile(h, 0.5), histogram_percentile(h, 0.9),
		histogram_percentile(h, 0.99), histogram_percentile(h, 0.999),
		histogram_percentile(h, 0.9999), h->max_ns, h->max_at_ns);
}
