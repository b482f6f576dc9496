/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/map_known.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

struct map_known_variant {
	int64_t id;
	uint64_t variant;
};

bool map_known_has(const struct map_known *k, int64_t id)
{
	size_t word = (size_t)id / 64;

	return word < k->words && (k->bits[word] >> (id % 64) & 1);
}

void map_known_set(struct map_known *k, int64_t id, bool is_known)
{
	size_t word = (size_t)id / 64;

	if (word >= k->words) {
		size_t words = word + 8;
		uint64_t *known = realloc(k->bits, words * sizeof(*known));

		BUG_ON(!known);
		memset(known + k->words, 0, (words - k->words) * sizeof(*known));
		k->bits = known;
		k->words = words;
	}
	if (is_known)
		k->bits[word] |= 1ull << (id % 64);
	else
		k->bits[word] &= ~(1ull << (id % 64));
}

/* Its place among the variants, where it is or would be. */
static size_t variant_place(const struct map_known *k, int64_t id)
{
	size_t low = 0, high = k->variant_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (k->variants[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Whether it was another. */
bool map_known_set_variant(struct map_known *k, int64_t id, uint64_t variant)
{
	size_t at = variant_place(k, id);
	bool is_there = at < k->variant_count && k->variants[at].id == id;
	struct map_known_variant *v;

	if (is_there ? k->variants[at].variant == variant : !variant)
		return false;
	if (is_there && variant) {
		k->variants[at].variant = variant;
		return true;
	}
	if (is_there) {
		k->variant_count--;
		memmove(&k->variants[at], &k->variants[at + 1],
			(k->variant_count - at) * sizeof(*v));
		return true;
	}
	v = realloc(k->variants, (k->variant_count + 1) * sizeof(*v));
	BUG_ON(!v);
	memmove(&v[at + 1], &v[at], (k->variant_count - at) * sizeof(*v));
	v[at] = (struct map_known_variant){id, variant};
	k->variants = v;
	k->variant_count++;
	return true;
}

void map_known_clear(struct map_known *k)
{
	if (k->words)
		memset(k->bits, 0, k->words * sizeof(*k->bits));
	k->variant_count = 0;
}

void map_known_fini(struct map_known *k)
{
	free(k->bits);
	free(k->variants);
}
