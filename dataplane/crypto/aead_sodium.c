/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The portable engine: libsodium, one message after the other. Runs on every
 * CPU; the other engines are checked against it. No state.
 */
#include <sodium.h>

#include "dataplane/crypto/aead_engines.h"

/* A context must be non-NULL; this engine keeps nothing in it. */
static char no_state;

static bool sodium_is_supported(void)
{
	return true;
}

static void *sodium_ctx_new(void)
{
	/* Chooses libsodium's own implementations; harmless when repeated. */
	if (sodium_init() < 0)
		return NULL;
	return &no_state;
}

static void sodium_ctx_free(void *ctx)
{
}

static void nonce_put(uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES], uint64_t counter)
{
	for (int i = 0; i < 4; i++)
		nonce[i] = 0;
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

static void sodium_seal(void *ctx, struct aead_job *jobs, unsigned n)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		nonce_put(nonce, j->counter);
		crypto_aead_chacha20poly1305_ietf_encrypt(j->dst, NULL, j->src, j->len, NULL, 0,
							  NULL, nonce, j->key);
	}
}

static void sodium_open(void *ctx, struct aead_job *jobs, unsigned n)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	for (unsigned i = 0; i < n; i++) {
		struct aead_job *j = &jobs[i];

		nonce_put(nonce, j->counter);
		j->ok = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
				j->dst, NULL, j->src, j->len, j->src + j->len, NULL, 0, nonce,
				j->key) == 0;
		/* libsodium zeroes as well, but only promises not to decrypt. */
		if (!j->ok && j->len)
			memset(j->dst, 0, j->len);
	}
}

const struct aead_engine aead_sodium = {
	.name = "sodium",
	.is_supported = sodium_is_supported,
	.ctx_new = sodium_ctx_new,
	.ctx_free = sodium_ctx_free,
	.seal = sodium_seal,
	.open = sodium_open,
};
