/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The multi-buffer engine as the other engines see it: one of each instruction set, from one
 * source (aead_mb.c). An engine that gives it a part of a batch sorts the jobs and
 * calls behind its sorting.
 */
#ifndef DATAPLANE_CRYPTO_AEAD_MB_SET_H
#define DATAPLANE_CRYPTO_AEAD_MB_SET_H

#include "dataplane/crypto/aead.h"

#define MB_BLOCK_BYTES 64

struct aead_mb {
	struct aead_engine engine;
	unsigned lanes;	 /* blocks of key stream side by side */
	unsigned hashes; /* messages hashed side by side */
	/* Jobs as pointers, the longest first. */
	void (*seal_sorted)(void *ctx, struct aead_job **sorted, unsigned n);
	void (*open_sorted)(void *ctx, struct aead_job **sorted, unsigned n);
};

extern const struct aead_mb aead_mb_avx2;
extern const struct aead_mb aead_mb_avx512;

/* The one with the widest vectors that this CPU runs, or NULL. */
const struct aead_mb *aead_mb_best(void);

void aead_mb_sort(struct aead_job **sorted, struct aead_job *jobs, unsigned n);

#endif
