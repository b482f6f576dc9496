/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE2s and what Noise builds from it (RFC 7693; RFC 2104 for HMAC;
 * docs/protocol/wireguard.md, "Cryptography"). The compression is OpenSSL's: each
 * thread fetches the algorithms once and reuses its two contexts, so that no
 * call after the first allocates. Inputs come as a list of pieces, because every
 * hash of the protocol is over a concatenation.
 */
#ifndef CONTROLPLANE_NOISE_BLAKE2S_H
#define CONTROLPLANE_NOISE_BLAKE2S_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE2S_HASH_BYTES  32
#define BLAKE2S_MAC_BYTES   16
#define BLAKE2S_BLOCK_BYTES 64

struct blake2s_piece {
	const void *data;
	size_t len;
};

#define BLAKE2S_PIECE(p, n) ((struct blake2s_piece){(p), (n)})

/*
 * Makes this thread's contexts; 0, or -ENOTSUP if the library lacks BLAKE2s.
 * Called by each thread at its start; the functions below call it if it was not,
 * and stop the process if it fails.
 */
int blake2s_init(void);
/* Frees this thread's contexts. */
void blake2s_fini(void);

/* out may be one of the pieces. */
void blake2s_hash(uint8_t out[BLAKE2S_HASH_BYTES], const struct blake2s_piece *pieces, size_t n);
/* Keyed BLAKE2s of 1..32 bytes with a key of 1..32 bytes. */
void blake2s_keyed(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
		   const void *data, size_t len);
void blake2s_hmac(uint8_t out[BLAKE2S_HASH_BYTES], const uint8_t key[BLAKE2S_HASH_BYTES],
		  const struct blake2s_piece *pieces, size_t n);
/*
 * KDF1, KDF2 and KDF3: t2 and t3 may be NULL (t3 must be if t2 is). t1 may be
 * chain itself.
 */
void blake2s_kdf(uint8_t *t1, uint8_t *t2, uint8_t *t3, const uint8_t chain[BLAKE2S_HASH_BYTES],
		 const void *input, size_t len);

#endif
