/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the kernel copies packets into. In huge pages where they are to be had:
 * a batch touches a page or two a packet, and every miss of the TLB costs twice under
 * virtualisation. Only what packets reach is ever made. Control thread.
 */
#ifndef DATAPLANE_PORT_ARENA_H
#define DATAPLANE_PORT_ARENA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define ARENA_ALIGN ((size_t)2 << 20)

/* bytes: a multiple of the page size. NULL: no memory. Given back by munmap(). */
static inline void *arena_map(size_t bytes)
{
	uint8_t *map = mmap(NULL, bytes + ARENA_ALIGN, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (map == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)map & (ARENA_ALIGN - 1);
	if (before)
		munmap(map, before);
	if (before < ARENA_ALIGN)
		munmap(map + before + bytes, ARENA_ALIGN - before);
	/* A kernel without them says no: small pages do. */
	madvise(map + before, bytes, MADV_HUGEPAGE);
	return map + before;
}

#endif
