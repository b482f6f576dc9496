/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/table/fib_store.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/bug.h"

#define STORE_FIRST_SIZE 256

int fib_store_init(struct fib_store *s)
{
	*s = (struct fib_store){.size = STORE_FIRST_SIZE};
	s->place = calloc(s->size, sizeof(*s->place));
	if (!s->place)
		return -ENOMEM;
	if (getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) != sizeof(s->seed))
		s->seed = (uintptr_t)s->place; /* early boot: a weak seed only costs speed */
	return 0;
}

void fib_store_fini(struct fib_store *s)
{
	free(s->place);
	free(s->id_count);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static size_t store_home(const struct fib_store *s, const struct fib_prefix *key)
{
	uint64_t a[2], h;

	memcpy(a, key->addr, 16);
	h = mix(a[0] ^ s->seed, 0x9e3779b97f4a7c15ull ^ ((uint64_t)key->len << 8 | key->family));
	h = mix(h ^ a[1], 0xd1b54a32d192ed03ull);
	return h & (s->size - 1);
}

static bool same_prefix(const struct fib_prefix *a, const struct fib_prefix *b)
{
	return a->len == b->len && a->family == b->family && memcmp(a->addr, b->addr, 16) == 0;
}

struct fib_prefix *fib_store_find(const struct fib_store *s, const struct fib_prefix *key)
{
	for (size_t i = store_home(s, key); s->place[i].family; i = (i + 1) & (s->size - 1)) {
		if (same_prefix(&s->place[i], key))
			return &s->place[i];
	}
	return NULL;
}

void fib_prefix_mask(uint8_t addr[16], unsigned len)
{
	if (len % 8)
		addr[len / 8] &= (uint8_t)(0xff00 >> (len % 8));
	len = (len + 7) / 8;
	memset(addr + len, 0, 16 - len);
}

const struct fib_prefix *fib_store_cover(const struct fib_store *s, const struct fib_prefix *key)
{
	const uint32_t *len_count = key->family == AF_INET ? s->len_count4 : s->len_count6;
	struct fib_prefix k = *key;

	while (k.len-- > 0) {
		const struct fib_prefix *found;

		if (len_count[k.len] == 0)
			continue;
		fib_prefix_mask(k.addr, k.len);
		found = fib_store_find(s, &k);
		if (found)
			return found;
	}
	return NULL;
}

static void store_put(struct fib_store *s, const struct fib_prefix *p)
{
	size_t i = store_home(s, p);

	while (s->place[i].family)
		i = (i + 1) & (s->size - 1);
	s->place[i] = *p;
}

static int store_grow(struct fib_store *s)
{
	struct fib_prefix *old = s->place;
	size_t old_size = s->size;

	s->place = calloc(old_size * 2, sizeof(*s->place));
	if (!s->place) {
		s->place = old;
		return -ENOMEM;
	}
	s->size = old_size * 2;
	for (size_t i = 0; i < old_size; i++) {
		if (old[i].family)
			store_put(s, &old[i]);
	}
	free(old);
	return 0;
}

int fib_store_reserve(struct fib_store *s, uint32_t id)
{
	if (id >= s->id_size) {
		uint32_t size = s->id_size ? s->id_size : 256;
		uint32_t *id_count;

		while (size <= id)
			size *= 2;
		id_count = realloc(s->id_count, size * sizeof(*id_count));
		if (!id_count)
			return -ENOMEM;
		memset(id_count + s->id_size, 0, (size - s->id_size) * sizeof(*id_count));
		s->id_count = id_count;
		s->id_size = size;
	}
	if (s->count + 1 > s->size / 4 * 3)
		return store_grow(s);
	return 0;
}

static void store_count(struct fib_store *s, const struct fib_prefix *p, int step)
{
	uint32_t *len_count = p->family == AF_INET ? s->len_count4 : s->len_count6;

	len_count[p->len] += (uint32_t)step;
	s->id_count[p->id] += (uint32_t)step;
	s->count += (size_t)step;
	if (p->family == AF_INET)
		s->count4 += (size_t)step;
}

void fib_store_add(struct fib_store *s, const struct fib_prefix *p)
{
	BUG_ON(p->id >= s->id_size);
	store_put(s, p);
	store_count(s, p, 1);
}

void fib_store_set_id(struct fib_store *s, struct fib_prefix *p, uint32_t id)
{
	s->id_count[p->id]--;
	s->id_count[id]++;
	p->id = id;
}

/* Closes the gap at `gap`: the next one that may lie there moves, and so on. */
static void store_close_gap(struct fib_store *s, size_t gap)
{
	size_t mask = s->size - 1;

	for (size_t i = (gap + 1) & mask; s->place[i].family; i = (i + 1) & mask) {
		size_t way_from_home = (i - store_home(s, &s->place[i])) & mask;

		if (way_from_home < ((i - gap) & mask))
			continue;
		s->place[gap] = s->place[i];
		gap = i;
	}
	s->place[gap].family = 0;
}

void fib_store_del(struct fib_store *s, struct fib_prefix *p)
{
	store_count(s, p, -1);
	store_close_gap(s, (size_t)(p - s->place));
}

uint32_t fib_store_count_id(const struct fib_store *s, uint32_t id)
{
	return id < s->id_size ? s->id_count[id] : 0;
}
