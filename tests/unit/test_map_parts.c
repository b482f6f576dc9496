/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the parts of the map streams do what the plainest code would: what a
 * watcher was told of against two arrays, events joined from any place against a walk
 * over all of them, presence against a table of times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/map_events.h"
#include "controlplane/coord/map_known.h"
#include "controlplane/coord/map_shared.h"
#include "controlplane/coord/presence.h"

#define IDS    300
#define ROUNDS 20000

static uint32_t seed = 7;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

static void known_is_what_was_set(void **state)
{
	static bool bits[IDS];
	static uint64_t variants[IDS];
	struct map_known k = {0};

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t id = 1 + dice(IDS - 1), what = dice(1000);
		uint64_t variant = dice(4);

		if (what == 0) {
			map_known_clear(&k);
			memset(bits, 0, sizeof(bits));
			memset(variants, 0, sizeof(variants));
		} else if (what < 500) {
			map_known_set(&k, id, what & 1);
			bits[id] = what & 1;
		} else {
			assert_int_equal(map_known_set_variant(&k, id, variant),
					 variants[id] != variant);
			variants[id] = variant;
		}
		id = dice(IDS);
		assert_int_equal(map_known_has(&k, id), bits[id]);
		assert_false(map_known_has(&k, IDS + (int64_t)dice(1000)));
	}
	/* What stands there is changed by nothing else. */
	for (uint32_t id = 1; id < IDS; id++) {
		assert_false(map_known_set_variant(&k, id, variants[id]));
		assert_int_equal(map_known_has(&k, id), bits[id]);
	}
	map_known_fini(&k);
}

static void events_are_joined_from_any_place(void **state)
{
	static struct map_item all[ROUNDS];
	struct map_events e = {0};
	uint64_t count = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		for (uint32_t n = dice(20); n; n--) {
			all[count] = (struct map_item){.id = dice(30), .what = 1u << dice(8)};
			map_events_add(&e, all[count].id, (unsigned)all[count].what);
			count++;
		}
		assert_int_equal(map_events_end(&e), count);
		if (e.count) {
			uint64_t place = e.first + dice((uint32_t)e.count), want[30] = {0};
			size_t n, seen = 0;
			struct map_item *items = map_events_joined(&e, place, &n);

			assert_non_null(items);
			for (uint64_t k = place; k < count; k++)
				want[all[k].id] |= all[k].what;
			for (size_t k = 0; k < n; k++) {
				assert_true(!k || items[k - 1].id < items[k].id);
				assert_int_equal(items[k].what, want[items[k].id]);
				assert_int_equal(items[k].variant, 0);
			}
			for (unsigned k = 0; k < 30; k++)
				seen += want[k] != 0;
			assert_int_equal(seen, n);
			free(items);
		}
		if (!dice(5))
			map_events_forget(&e, e.first + dice((uint32_t)e.count + 1));
	}
	map_events_fini(&e);
}

static void who_is_overdue(void **state)
{
	static uint64_t times[IDS];
	struct presence p = {0};

	(void)state;
	for (unsigned i = 0; i < ROUNDS / 20; i++) {
		uint32_t id = dice(IDS), now = 1 + dice(1000), next = 0;
		struct presence_node *n = presence_of(&p, id);

		assert_non_null(n);
		times[id] = dice(3) ? 1 + dice(1000) : 0;
		n->offline_at_ms = times[id];
		n->is_online = true;
		if (!dice(4)) {
			presence_forget(&p, id);
			times[id] = 0;
			assert_false(presence_is_online(&p, id));
		}
		for (int64_t at = 0; (at = presence_overdue(&p, at, now)) >= 0; at++) {
			for (; next < at; next++)
				assert_true(!times[next] || times[next] > now);
			assert_in_range(times[at], 1, now);
			next = (uint32_t)at + 1;
		}
		for (; next < IDS; next++)
			assert_true(!times[next] || times[next] > now);
	}
	presence_forget(&p, 1 << 20);
	assert_false(presence_is_online(&p, 1 << 20));
	presence_fini(&p);
}

static struct map_item *list_of(int64_t id, uint64_t variant)
{
	struct map_item *items = calloc(2, sizeof(*items));

	assert_non_null(items);
	items[0] = (struct map_item){.id = 1, .what = 1};
	items[1] = (struct map_item){.id = id, .what = 2, .variant = variant};
	return items;
}

/* Each member counts, and so does the form; with the memory full the rest is not shared. */
static void only_equal_lists_share(void **state)
{
	struct map_shared s = {0};
	struct ts2021_bytes *bytes = ts2021_bytes_new("x", 1), *found;
	struct map_item *asked = list_of(7, 3), *other = list_of(7, 4);

	(void)state;
	assert_null(map_shared_find(&s, true, asked, 2));
	map_shared_keep(&s, true, list_of(7, 3), 2, bytes);
	found = map_shared_find(&s, true, asked, 2);
	assert_ptr_equal(found, bytes);
	ts2021_bytes_put(found);
	assert_null(map_shared_find(&s, false, asked, 2));
	assert_null(map_shared_find(&s, true, asked, 1));
	assert_null(map_shared_find(&s, true, other, 2));
	for (int64_t id = 100; id < 100 + MAP_SHARED_MAX; id++)
		map_shared_keep(&s, true, list_of(id, 0), 2, bytes);
	assert_int_equal(s.count, MAP_SHARED_MAX);
	map_shared_clear(&s);
	assert_null(map_shared_find(&s, true, asked, 2));
	assert_int_equal(bytes->refs, 1);
	ts2021_bytes_put(bytes);
	free(asked);
	free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_is_what_was_set),
		cmocka_unit_test(events_are_joined_from_any_place),
		cmocka_unit_test(who_is_overdue),
		cmocka_unit_test(only_equal_lists_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
