/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/nearest.h"

#include <string.h>

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein's distance, one row at a time. Both are at most NEAREST_NAME_MAX. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t row[NEAREST_NAME_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t above = row[j];

			row[j] = min3(row[j - 1] + 1, above + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

const char *nearest_name(const char *name, size_t name_len, const char *const *names)
{
	const char *best = NULL;
	size_t best_distance = 0;

	if (name_len > NEAREST_NAME_MAX)
		return NULL;
	for (; *names != NULL; names++) {
		size_t len = strlen(*names);
		size_t distance;

		if (len > NEAREST_NAME_MAX)
			continue;
		distance = edit_distance(name, name_len, *names, len);
		if (best == NULL || distance < best_distance) {
			best = *names;
			best_distance = distance;
		}
	}
	return best;
}
