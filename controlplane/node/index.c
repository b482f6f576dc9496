/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/index.h"

#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include "lib/base/bug.h"

/* Beyond this share of used places random tries take too long to find a free one. */
#define FULL_EIGHTHS 7
#define TRIES	     256

int index_table_init(struct index_table *t, uint32_t slot_count)
{
	*t = (struct index_table){0};
	if (slot_count == 0 || (slot_count & (slot_count - 1)))
		return -EINVAL;
	t->slots = calloc(slot_count, sizeof(*t->slots));
	if (!t->slots)
		return -ENOMEM;
	t->mask = slot_count - 1;
	return 0;
}

void index_table_fini(struct index_table *t)
{
	free(t->slots);
	*t = (struct index_table){0};
}

static uint32_t to_worker(uint32_t index, uint32_t workers, uint32_t number)
{
	/* At the very end of the range there is no room for it: 0, and another one is tried. */
	if (workers < 2)
		return index;
	index -= index % workers;
	return index > UINT32_MAX - workers ? 0 : index + number % workers;
}

uint32_t index_table_alloc(struct index_table *t, uint32_t peer_id, uint8_t lane)
{
	BUG_ON(peer_id == 0);
	if (!t->slots || t->used >= (uint64_t)(t->mask + 1ull) * FULL_EIGHTHS / 8)
		return 0;
	for (int i = 0; i < TRIES; i++) {
		uint32_t index = to_worker(randombytes_random(), t->workers, peer_id + lane);

		if (index && index_table_claim(t, index, peer_id) == 0)
			return index;
	}
	return 0;
}

int index_table_claim(struct index_table *t, uint32_t index, uint32_t peer_id)
{
	struct index_slot *s;

	if (!t->slots)
		return -ENODEV;
	s = &t->slots[index & t->mask];
	if (s->peer_id)
		return -EEXIST;
	*s = (struct index_slot){.index = index, .peer_id = peer_id};
	t->used++;
	return 0;
}

void index_table_free(struct index_table *t, uint32_t index)
{
	struct index_slot *s;

	if (!index_table_owner(t, index))
		return;
	s = &t->slots[index & t->mask];
	*s = (struct index_slot){0};
	t->used--;
}

uint32_t index_table_owner(const struct index_table *t, uint32_t index)
{
	const struct index_slot *s;

	if (!t->slots)
		return 0;
	s = &t->slots[index & t->mask];
	return s->index == index ? s->peer_id : 0;
}
