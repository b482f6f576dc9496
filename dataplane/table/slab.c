/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/table/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_pause.h>

/* Chunks double from a few pages, for small gateways, to what one huge page holds. */
#define CHUNK_MIN (64u << 10)
#define CHUNK_MAX (2u << 20)

#if defined(__SANITIZE_ADDRESS__)
#define IS_SINGLE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SINGLE 1
#endif
#endif
#ifndef IS_SINGLE
#define IS_SINGLE 0
#endif

/* Not DPDK's, which is assembly that ThreadSanitizer cannot follow. */
static void lock(struct slab *s)
{
	while (atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire))
		rte_pause();
}

static void unlock(struct slab *s)
{
	atomic_flag_clear_explicit(&s->lock, memory_order_release);
}

static int add_chunk(struct slab *s)
{
	size_t bytes = s->chunk_bytes ? s->chunk_bytes * 2 : CHUNK_MIN;
	uint8_t *at;

	if (bytes > CHUNK_MAX)
		bytes = CHUNK_MAX;
	/* One more, to find an aligned place; pages that are not touched cost nothing. */
	at = mmap(NULL, bytes < CHUNK_MAX ? bytes : 2 * bytes, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -1;
	if (bytes == CHUNK_MAX) {
		uint8_t *aligned = at + (CHUNK_MAX - (uintptr_t)at % CHUNK_MAX) % CHUNK_MAX;
		size_t before = (size_t)(aligned - at);

		if (before)
			munmap(at, before);
		munmap(aligned + CHUNK_MAX, CHUNK_MAX - before);
		at = aligned;
		madvise(at, bytes, MADV_HUGEPAGE);
	}
	s->chunk_bytes = bytes;
	s->bytes += bytes;
	s->next = at;
	s->end = at + bytes;
	return 0;
}

/* Under the lock. */
static void *take(struct slab *s)
{
	void *object = s->free;

	if (object) {
		memcpy(&s->free, object, sizeof(s->free));
		return object;
	}
	if ((size_t)(s->end - s->next) < s->size && add_chunk(s))
		return NULL;
	object = s->next;
	s->next += s->size;
	return object;
}

void *slab_alloc(struct slab *s)
{
	void *object;

	if (IS_SINGLE) {
		object = s->size % 64 ? malloc(s->size)
				      : aligned_alloc(s->size % 128 ? 64 : 128, s->size);
		return object ? memset(object, 0, s->size) : NULL;
	}
	lock(s);
	object = take(s);
	s->used += object != NULL;
	unlock(s);
	if (object)
		memset(object, 0, s->size);
	return object;
}

void slab_free(struct slab *s, void *object)
{
	if (!object)
		return;
	if (IS_SINGLE) {
		free(object);
		return;
	}
	lock(s);
	memcpy(object, &s->free, sizeof(s->free));
	s->free = object;
	s->used--;
	unlock(s);
}
