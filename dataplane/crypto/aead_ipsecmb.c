/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine on intel-ipsec-mb, through its burst of whole jobs.
 *
 * The library vectorises inside one message; ChaCha20-Poly1305 jobs complete
 * within the submit call and in order. Of its interfaces the unchecked burst is
 * the fastest (measured on an AVX-512 machine, batch of 16, ticks a message at
 * 64 and 1420 bytes: unchecked burst 232 and 893, checked burst 250 and 896,
 * init/update/finalize 428 and 1079). What the checked one would check are the
 * fields set below, which no input reaches.
 *
 * Its SSE code (CPUs without AVX), sealing apart, reads up to 15 bytes behind the
 * text, which may lie on a page that is not ours; there the text is copied to
 * dst first and sealed in place, where the room for the tag lies behind it.
 *
 * A context holds a manager (about 200 KB of the library's) and what jobs point
 * to: nonces, and the tags computed when opening. It belongs to one worker.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "dataplane/crypto/aead_engines.h"
#include "lib/base/bug.h"

#define NONCE_BYTES 12

struct ipsecmb_ctx {
	IMB_MGR *mgr;
	bool reads_behind; /* see above */
	uint8_t nonces[AEAD_BATCH_MAX][NONCE_BYTES];
	uint8_t tags[AEAD_BATCH_MAX][AEAD_TAG_BYTES];
};

static_assert(AEAD_BATCH_MAX <= IMB_MAX_BURST_SIZE, "a batch is one burst");

static bool ipsecmb_is_supported(void)
{
	return (imb_get_feature_flags() & IMB_CPUFLAGS_NO_AESNI) == IMB_CPUFLAGS_NO_AESNI;
}

static void init_best(IMB_MGR *mgr)
{
	init_mb_mgr_auto(mgr, NULL);
}

void *aead_ipsecmb_ctx_for(void (*init)(IMB_MGR *mgr))
{
	struct ipsecmb_ctx *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->mgr = alloc_mb_mgr(0);
	if (!c->mgr)
		goto no_mgr;
	init(c->mgr);
	/* Flags that the CPU lacks, or the library's own self test. */
	if (imb_get_errno(c->mgr))
		goto not_usable;
	c->reads_behind = c->mgr->used_arch <= IMB_ARCH_SSE;
	return c;
not_usable:
	free_mb_mgr(c->mgr);
no_mgr:
	free(c);
	return NULL;
}

static void *ipsecmb_ctx_new(void)
{
	return aead_ipsecmb_ctx_for(init_best);
}

static void ipsecmb_ctx_free(void *ctx)
{
	struct ipsecmb_ctx *c = ctx;

	if (!c)
		return;
	free_mb_mgr(c->mgr);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

static void nonce_put(uint8_t nonce[NONCE_BYTES], uint64_t counter)
{
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static void job_fill(IMB_JOB *b, const struct aead_job *j, const uint8_t *nonce, uint8_t *tag)
{
	b->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	b->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	b->enc_keys = j->key;
	b->dec_keys = j->key;
	b->key_len_in_bytes = AEAD_KEY_BYTES;
	b->src = j->src;
	b->dst = j->dst;
	b->cipher_start_src_offset_in_bytes = 0;
	b->msg_len_to_cipher_in_bytes = j->len;
	b->hash_start_src_offset_in_bytes = 0;
	b->msg_len_to_hash_in_bytes = j->len;
	b->iv = nonce;
	b->iv_len_in_bytes = NONCE_BYTES;
	b->auth_tag_output = tag;
	b->auth_tag_output_len_in_bytes = AEAD_TAG_BYTES;
	/* Not NULL though empty: some of the library's versions look at the pointer. */
	b->u.CHACHA20_POLY1305.aad = nonce;
	b->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
}

static void run(struct ipsecmb_ctx *c, struct aead_job *jobs, unsigned n, bool is_seal)
{
	IMB_JOB *burst[AEAD_BATCH_MAX];

	BUG_ON(n > AEAD_BATCH_MAX);
	if (!n)
		return;
	/* The queue is empty between calls, so there is always room. */
	BUG_ON(IMB_GET_NEXT_BURST(c->mgr, n, burst) != n);
	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		nonce_put(c->nonces[i], j->counter);
		job_fill(burst[i], j, c->nonces[i], is_seal ? j->dst + j->len : c->tags[i]);
		burst[i]->cipher_direction = is_seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
		burst[i]->chain_order = is_seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	}
	/* A message left undone would go out as plaintext: stop instead. */
	BUG_ON(IMB_SUBMIT_BURST_NOCHECK(c->mgr, n, burst) != n);
}

static void ipsecmb_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct ipsecmb_ctx *c = ctx;
	struct aead_job moved[AEAD_BATCH_MAX];

	if (!c->reads_behind) {
		run(c, jobs, n, true);
		return;
	}
	BUG_ON(n > AEAD_BATCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		moved[i] = jobs[i];
		if (jobs[i].src != jobs[i].dst && jobs[i].len)
			memcpy(jobs[i].dst, jobs[i].src, jobs[i].len);
		moved[i].src = jobs[i].dst;
	}
	run(c, moved, n, true);
}

static void ipsecmb_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	struct ipsecmb_ctx *c = ctx;

	run(c, jobs, n, false);
	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		j->ok = crypto_verify_16(c->tags[i], j->src + j->len) == 0;
		if (!j->ok && j->len)
			memset(j->dst, 0, j->len);
	}
}

const struct aead_engine aead_ipsecmb = {
	.name = "ipsecmb",
	.is_supported = ipsecmb_is_supported,
	.ctx_new = ipsecmb_ctx_new,
	.ctx_free = ipsecmb_ctx_free,
	.seal = ipsecmb_seal,
	.open = ipsecmb_open,
};
