/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/deadline.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/bug.h"

int deadline_reserve(struct deadline_heap *h, uint32_t items)
{
	void *p;

	if (items < h->room)
		return 0;
	p = realloc(h->items, ((size_t)items + 1) * sizeof(*h->items));
	if (!p)
		return -ENOMEM;
	h->items = p;
	h->room = items + 1;
	return 0;
}

void deadline_fini(struct deadline_heap *h)
{
	free(h->items);
	*h = (struct deadline_heap){0};
}

static void put(struct deadline_heap *h, uint32_t place, struct deadline *d)
{
	h->items[place] = d;
	d->place = place;
}

static void sift_up(struct deadline_heap *h, uint32_t at)
{
	struct deadline *d = h->items[at];

	while (at > 1 && h->items[at / 2]->at_ns > d->at_ns) {
		put(h, at, h->items[at / 2]);
		at /= 2;
	}
	put(h, at, d);
}

static void sift_down(struct deadline_heap *h, uint32_t at)
{
	struct deadline *d = h->items[at];

	for (;;) {
		uint32_t child = 2 * at;

		if (child > h->count)
			break;
		if (child < h->count && h->items[child + 1]->at_ns < h->items[child]->at_ns)
			child++;
		if (h->items[child]->at_ns >= d->at_ns)
			break;
		put(h, at, h->items[child]);
		at = child;
	}
	put(h, at, d);
}

static void take_out(struct deadline_heap *h, struct deadline *d)
{
	uint32_t at = d->place;
	struct deadline *last = h->items[h->count--];

	d->place = 0;
	if (last == d)
		return;
	put(h, at, last);
	sift_up(h, at);
	sift_down(h, last->place);
}

void deadline_set(struct deadline_heap *h, struct deadline *d, uint64_t at_ns)
{
	d->at_ns = at_ns;
	if (at_ns == DEADLINE_NEVER) {
		if (d->place)
			take_out(h, d);
		return;
	}
	if (!d->place) {
		BUG_ON(h->count + 1 >= h->room);
		put(h, ++h->count, d);
	}
	sift_up(h, d->place);
	sift_down(h, d->place);
}

struct deadline *deadline_first(const struct deadline_heap *h)
{
	return h->count ? h->items[1] : NULL;
}
