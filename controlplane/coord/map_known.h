/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes a watcher was told of, and how: a bit a node, and a number for those that
 * are not shown as most are (with routes, for one). Few are, so these are a sorted list.
 */
#ifndef CONTROLPLANE_COORD_MAP_KNOWN_H
#define CONTROLPLANE_COORD_MAP_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: nothing is known. */
struct map_known {
	uint64_t *bits;
	size_t words;
	struct map_known_variant *variants; /* by id */
	size_t variant_count;
};

bool map_known_has(const struct map_known *k, int64_t id);
void map_known_set(struct map_known *k, int64_t id, bool is_known);
/* variant 0: as most are. Whether it was another. */
bool map_known_set_variant(struct map_known *k, int64_t id, uint64_t variant);
/* Nothing is known any more; memory stays. */
void map_known_clear(struct map_known *k);
void map_known_fini(struct map_known *k);

#endif
