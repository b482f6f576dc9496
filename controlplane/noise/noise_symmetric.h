/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symmetric state of Noise with BLAKE2s and ChaCha20-Poly1305: transcript hash
 * and chaining key (Noise Protocol Framework, section 5.2). WireGuard's handshake
 * and the control protocol's both stand on it. Whoever holds a state or a key wipes
 * it. Any thread.
 */
#ifndef CONTROLPLANE_NOISE_NOISE_SYMMETRIC_H
#define CONTROLPLANE_NOISE_NOISE_SYMMETRIC_H

#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_BYTES 32
#define NOISE_TAG_BYTES 16

struct noise_symmetric {
	uint8_t hash[NOISE_KEY_BYTES];
	uint8_t chain[NOISE_KEY_BYTES];
};

void noise_mix_hash(struct noise_symmetric *s, const void *data, size_t len);
/* key may be NULL: only the chain moves. */
void noise_mix_key(struct noise_symmetric *s, uint8_t *key, const void *input, size_t len);
/* 0, or -EKEYREJECTED: the shared secret is zero; s is then as it was. */
int noise_mix_dh(struct noise_symmetric *s, uint8_t *key, const uint8_t *private_key,
		 const uint8_t *public_key);
/* Nonce 0, the hash as additional data. out has room for len + NOISE_TAG_BYTES. */
void noise_seal_and_hash(struct noise_symmetric *s, uint8_t *out, const uint8_t *key,
			 const void *plain, size_t len);
/* 0, or -EBADMSG with s as it was. plain has room for sealed_len - NOISE_TAG_BYTES. */
int noise_open_and_hash(struct noise_symmetric *s, uint8_t *plain, const uint8_t *key,
			const uint8_t *sealed, size_t sealed_len);

#endif
