/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_AT_FIRST 1024

/* Keyed, so that nobody can choose public keys that meet in one bucket. */
static size_t hash(const struct directory *d, const uint8_t *key)
{
	uint64_t h = d->secret, w;

	for (unsigned i = 0; i < DERP_KEY_BYTES; i += 8) {
		memcpy(&w, key + i, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return (size_t)(h ^ h >> 32);
}

int directory_init(struct directory *d, uint64_t secret)
{
	*d = (struct directory){.mask = BUCKETS_AT_FIRST - 1, .secret = secret};
	d->buckets = calloc(BUCKETS_AT_FIRST, sizeof(*d->buckets));
	return d->buckets ? 0 : -ENOMEM;
}

void directory_fini(struct directory *d)
{
	for (size_t i = 0; d->buckets && i <= d->mask; i++)
		while (d->buckets[i]) {
			struct entry *e = d->buckets[i];

			d->buckets[i] = e->next;
			directory_free_entry(d, e);
		}
	free(d->buckets);
	d->buckets = NULL;
}

void directory_free_entry(struct directory *d, struct entry *e)
{
	d->epoch++;
	free(e->where);
	free(e);
}

struct entry *directory_find(const struct directory *d, const uint8_t key[DERP_KEY_BYTES])
{
	struct entry *e = d->buckets[hash(d, key) & d->mask];

	while (e && memcmp(e->key, key, DERP_KEY_BYTES) != 0)
		e = e->next;
	return e;
}

/* Without memory the chains get longer. */
static void grow(struct directory *d)
{
	size_t mask = d->mask * 2 + 1;
	struct entry **buckets = calloc(mask + 1, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i <= d->mask; i++)
		while (d->buckets[i]) {
			struct entry *e = d->buckets[i];
			size_t at = hash(d, e->key) & mask;

			d->buckets[i] = e->next;
			e->next = buckets[at];
			buckets[at] = e;
		}
	free(d->buckets);
	d->buckets = buckets;
	d->mask = mask;
}

static void choose(struct entry *e)
{
	e->active = 0;
	for (uint32_t i = 1; i < e->count; i++)
		if (e->where[i].turn > e->where[e->active].turn)
			e->active = i;
}

struct entry *directory_join(struct directory *d, const uint8_t key[DERP_KEY_BYTES],
			     const struct where *w)
{
	struct entry *e = directory_find(d, key);
	struct where *more = realloc(e ? e->where : NULL, ((e ? e->count : 0) + 1) * sizeof(*more));

	if (!more)
		return NULL;
	if (!e) {
		struct entry **at;

		e = calloc(1, sizeof(*e));
		if (!e) {
			free(more);
			return NULL;
		}
		if (d->count++ > d->mask)
			grow(d);
		memcpy(e->key, key, DERP_KEY_BYTES);
		at = &d->buckets[hash(d, key) & d->mask];
		e->next = *at;
		*at = e;
	}
	e->where = more;
	e->where[e->count++] = *w;
	choose(e);
	return e;
}

struct entry *directory_leave(struct directory *d, const uint8_t key[DERP_KEY_BYTES], uint64_t id)
{
	struct entry **at = &d->buckets[hash(d, key) & d->mask], *e;

	while (*at && memcmp((*at)->key, key, DERP_KEY_BYTES) != 0)
		at = &(*at)->next;
	e = *at;
	if (!e)
		return NULL;
	for (uint32_t i = 0; i < e->count; i++)
		if (e->where[i].id == id) {
			e->where[i] = e->where[--e->count];
			break;
		}
	if (e->count) {
		choose(e);
		return NULL;
	}
	*at = e->next;
	d->count--;
	return e;
}

void directory_activate(struct directory *d, const uint8_t key[DERP_KEY_BYTES], uint64_t id,
			uint64_t turn)
{
	struct entry *e = directory_find(d, key);

	if (!e)
		return;
	for (uint32_t i = 0; i < e->count; i++)
		if (e->where[i].id == id)
			e->where[i].turn = turn;
	choose(e);
}
