/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of one size, packed without headers, in chunks that may lie on huge
 * pages: a hundred thousand sessions cost what their structs say, and few TLB
 * entries. Memory that is freed is used again for the same size, never given back.
 *
 * Any thread; a spin lock is held for some instructions. Under AddressSanitizer
 * objects come from malloc one by one, so that it sees what is used after its end.
 */
#ifndef DATAPLANE_TABLE_SLAB_H
#define DATAPLANE_TABLE_SLAB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct slab {
	size_t size; /* of an object; a multiple of 8; of 64, 128 where objects begin at such */
	atomic_flag lock;
	void *free;	     /* list through the objects' first words */
	uint8_t *next, *end; /* what is unused of the newest chunk */
	size_t chunk_bytes;  /* of the newest chunk */
	size_t used;	     /* objects handed out */
	size_t bytes;	     /* of all chunks */
};

#define SLAB_INIT(type)                                                                            \
	{                                                                                          \
		.size = sizeof(type), .lock = ATOMIC_FLAG_INIT                                     \
	}

/* All zero; NULL: no memory. */
void *slab_alloc(struct slab *s);
/* NULL: nothing. Secrets are the caller's to wipe. */
void slab_free(struct slab *s, void *object);

#endif
