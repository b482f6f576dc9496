/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/noise_symmetric.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "controlplane/noise/blake2s.h"

static_assert(crypto_scalarmult_BYTES == NOISE_KEY_BYTES, "X25519 result");
static_assert(crypto_aead_chacha20poly1305_IETF_KEYBYTES == NOISE_KEY_BYTES, "AEAD key");
static_assert(crypto_aead_chacha20poly1305_IETF_ABYTES == NOISE_TAG_BYTES, "AEAD tag");

/* Every AEAD key of a handshake seals one message, so the counter is always 0. */
static const uint8_t nonce_zero[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

void noise_mix_hash(struct noise_symmetric *s, const void *data, size_t len)
{
	blake2s_hash(s->hash,
		     (struct blake2s_piece[]){BLAKE2S_PIECE(s->hash, NOISE_KEY_BYTES),
					      BLAKE2S_PIECE(data, len)},
		     2);
}

void noise_mix_key(struct noise_symmetric *s, uint8_t *key, const void *input, size_t len)
{
	blake2s_kdf(s->chain, key, NULL, s->chain, input, len);
}

int noise_mix_dh(struct noise_symmetric *s, uint8_t *key, const uint8_t *private_key,
		 const uint8_t *public_key)
{
	uint8_t shared[NOISE_KEY_BYTES];
	int err = 0;

	/* libsodium says -1 for a result of all zeros */
	if (crypto_scalarmult(shared, private_key, public_key) != 0)
		err = -EKEYREJECTED;
	else
		noise_mix_key(s, key, shared, sizeof(shared));
	sodium_memzero(shared, sizeof(shared));
	return err;
}

void noise_seal_and_hash(struct noise_symmetric *s, uint8_t *out, const uint8_t *key,
			 const void *plain, size_t len)
{
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, s->hash, sizeof(s->hash),
						  NULL, nonce_zero, key);
	noise_mix_hash(s, out, len + NOISE_TAG_BYTES);
}

int noise_open_and_hash(struct noise_symmetric *s, uint8_t *plain, const uint8_t *key,
			const uint8_t *sealed, size_t sealed_len)
{
	if (crypto_aead_chacha20poly1305_ietf_decrypt(plain, NULL, NULL, sealed, sealed_len,
						      s->hash, sizeof(s->hash), nonce_zero,
						      key) != 0)
		return -EBADMSG;
	noise_mix_hash(s, sealed, sealed_len);
	return 0;
}
