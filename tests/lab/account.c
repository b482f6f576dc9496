/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lab/account.h"

#include "lib/base/clock.h"

#include <stdlib.h>

void account_init(struct account *a)
{
	memset(a, 0, sizeof(*a));
}

void account_fini(struct account *a)
{
	free(a->seen);
	a->seen = NULL;
	a->words = 0;
}

static bool is_seen(const struct account *a, uint64_t seq)
{
	return seq / 64 < a->words && (a->seen[seq / 64] >> (seq % 64) & 1);
}

static bool make_room(struct account *a, uint64_t seq)
{
	uint64_t words = a->words ? a->words : 4096;
	uint64_t *seen;

	while (words <= seq / 64)
		words *= 2;
	if (words == a->words)
		return true;
	seen = realloc(a->seen, words * sizeof(*seen));
	if (!seen)
		return false;
	memset(seen + a->words, 0, (words - a->words) * sizeof(*seen));
	a->seen = seen;
	a->words = words;
	return true;
}

void account_take(struct account *a, uint32_t flow, uint64_t seq, uint64_t now_ns)
{
	if (flow >= ACCOUNT_FLOWS || seq >= ACCOUNT_SEQ_MAX || !make_room(a, seq)) {
		a->foreign++;
		return;
	}
	if (!a->packets) {
		a->first_ns = now_ns;
	} else if (now_ns - a->last_ns > a->gap_ns) {
		a->gap_ns = now_ns - a->last_ns;
		a->gap_start_ns = a->last_ns;
	}
	a->last_ns = now_ns;
	a->packets++;
	if (is_seen(a, seq)) {
		a->duplicates++;
		return;
	}
	a->seen[seq / 64] |= 1ull << (seq % 64);
	a->unique++;
	if (seq + 1 < a->flow_highest[flow])
		a->reordered++;
	else
		a->flow_highest[flow] = seq + 1;
	if (seq + 1 > a->highest)
		a->highest = seq + 1;
}

void account_done(struct account *a, uint64_t sent)
{
	a->told = sent;
	a->sender_done = true;
}

void account_print(const struct account *a, FILE *out)
{
	uint64_t expected = a->sender_done && a->told > a->highest ? a->told : a->highest;
	uint64_t runs = 0;

	fprintf(out,
		"{\"packets\":%lu,\"unique\":%lu,\"duplicates\":%lu,\"reordered\":%lu,"
		"\"foreign\":%lu,\"highest\":%lu,\"told\":%ld,\"lost\":%lu,"
		"\"longest_gap_ms\":%.3f,\"longest_gap_start_ns\":%lu,"
		"\"first_ns\":%lu,\"last_ns\":%lu,\"missing\":[",
		a->packets, a->unique, a->duplicates, a->reordered, a->foreign, a->highest,
		a->sender_done ? (long)a->told : -1l, expected - a->unique,
		(double)a->gap_ns / (double)NS_PER_MS, a->gap_start_ns, a->first_ns, a->last_ns);
	for (uint64_t s = 0; s < expected && runs < ACCOUNT_RUNS; s++) {
		uint64_t first = s;

		if (is_seen(a, s))
			continue;
		while (s < expected && !is_seen(a, s))
			s++;
		fprintf(out, "%s[%lu,%lu]", runs++ ? "," : "", first, s - first);
	}
	fprintf(out, "]}");
}
