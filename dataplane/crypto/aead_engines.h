/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this folder know of each other: the rows of aead_engines[]
 * and the checks that run before one is chosen. Stages include aead.h only.
 */
#ifndef DATAPLANE_CRYPTO_AEAD_ENGINES_H
#define DATAPLANE_CRYPTO_AEAD_ENGINES_H

#include <intel-ipsec-mb.h>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/aead_mb_set.h"

extern const struct aead_engine aead_ipsecmb;
extern const struct aead_engine aead_mixed;
extern const struct aead_engine aead_ref;
extern const struct aead_engine aead_sodium;

/* Whether a tag was right is no secret, though secrets decide it; test_aead_secrets says so. */
#ifndef AEAD_PUBLIC
#define AEAD_PUBLIC(x) (x)
#endif

/*
 * A context of ipsec-mb held to one instruction set (init_mb_mgr_sse, ..), so
 * that a test on a large machine covers the small ones. NULL: out of memory, or
 * the library refuses.
 */
void *aead_ipsecmb_ctx_for(void (*init)(IMB_MGR *mgr));

/*
 * A context of mixed with the multi-buffer engine of one instruction set and a context of
 * ipsec-mb, which becomes its own; NULL in either place, or no memory: NULL.
 */
void *aead_mixed_ctx_for(const struct aead_mb *set, void *ipsecmb);

/*
 * "64=ipsecmb,1500=mb": gives size classes of mixed to one of its engines, whatever is
 * measured. Control thread, before a context is made. 0, or -EINVAL with nothing changed
 * and a sentence in why.
 */
int aead_mixed_force(const char *text, char *why, size_t room);

/*
 * The two engines seal the same messages (lengths 0 to 300, 1420, 9000; mixed
 * keys; in place and apart) to the same bytes, and each opens the other's and
 * refuses forgeries. 0, -ENOMEM, or the 1-based number of the failing batch.
 */
int aead_kat_cross(const struct aead_engine *a, const struct aead_engine *b);

#endif
