/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/blake2s.h"

#include "lib/base/bug.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>

struct contexts {
	EVP_MD *md;
	EVP_MD_CTX *md_ctx;
	EVP_MAC_CTX *mac_ctx;
};

static _Thread_local struct contexts tls;

int blake2s_init(void)
{
	EVP_MAC *mac;

	if (tls.mac_ctx)
		return 0;
	tls.md = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
	tls.md_ctx = EVP_MD_CTX_new();
	tls.mac_ctx = mac ? EVP_MAC_CTX_new(mac) : NULL; /* holds its own reference */
	EVP_MAC_free(mac);
	if (!tls.md || !tls.md_ctx || !tls.mac_ctx) {
		blake2s_fini();
		return -ENOTSUP;
	}
	return 0;
}

void blake2s_fini(void)
{
	EVP_MAC_CTX_free(tls.mac_ctx);
	EVP_MD_CTX_free(tls.md_ctx);
	EVP_MD_free(tls.md);
	tls = (struct contexts){0};
}

void blake2s_hash(uint8_t out[BLAKE2S_HASH_BYTES], const struct blake2s_piece *pieces, size_t n)
{
	BUG_ON(blake2s_init() != 0);
	BUG_ON(EVP_DigestInit_ex2(tls.md_ctx, tls.md, NULL) != 1);
	for (size_t i = 0; i < n; i++)
		BUG_ON(EVP_DigestUpdate(tls.md_ctx, pieces[i].data, pieces[i].len) != 1);
	BUG_ON(EVP_DigestFinal_ex(tls.md_ctx, out, NULL) != 1);
}

void blake2s_keyed(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
		   const void *data, size_t len)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &out_len),
		OSSL_PARAM_construct_end(),
	};
	size_t written = 0;

	BUG_ON(blake2s_init() != 0);
	BUG_ON(EVP_MAC_init(tls.mac_ctx, key, key_len, params) != 1);
	BUG_ON(EVP_MAC_update(tls.mac_ctx, data, len) != 1);
	BUG_ON(EVP_MAC_final(tls.mac_ctx, out, &written, out_len) != 1 || written != out_len);
}

void blake2s_hmac(uint8_t out[BLAKE2S_HASH_BYTES], const uint8_t key[BLAKE2S_HASH_BYTES],
		  const struct blake2s_piece *pieces, size_t n)
{
	uint8_t pad[BLAKE2S_BLOCK_BYTES];
	uint8_t inner[BLAKE2S_HASH_BYTES];

	memset(pad, 0x36, sizeof(pad));
	for (size_t i = 0; i < BLAKE2S_HASH_BYTES; i++)
		pad[i] ^= key[i];
	BUG_ON(blake2s_init() != 0);
	BUG_ON(EVP_DigestInit_ex2(tls.md_ctx, tls.md, NULL) != 1);
	BUG_ON(EVP_DigestUpdate(tls.md_ctx, pad, sizeof(pad)) != 1);
	for (size_t i = 0; i < n; i++)
		BUG_ON(EVP_DigestUpdate(tls.md_ctx, pieces[i].data, pieces[i].len) != 1);
	BUG_ON(EVP_DigestFinal_ex(tls.md_ctx, inner, NULL) != 1);

	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	blake2s_hash(out,
		     (struct blake2s_piece[]){BLAKE2S_PIECE(pad, sizeof(pad)),
					      BLAKE2S_PIECE(inner, sizeof(inner))},
		     2);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
}

/* out = HMAC(secret, previous || number), the expansion step; previous may be NULL. */
static void expand(uint8_t *out, const uint8_t *secret, const uint8_t *previous, uint8_t number)
{
	blake2s_hmac(
		out, secret,
		(struct blake2s_piece[]){BLAKE2S_PIECE(previous, previous ? BLAKE2S_HASH_BYTES : 0),
					 BLAKE2S_PIECE(&number, 1)},
		2);
}

void blake2s_kdf(uint8_t *t1, uint8_t *t2, uint8_t *t3, const uint8_t chain[BLAKE2S_HASH_BYTES],
		 const void *input, size_t len)
{
	uint8_t secret[BLAKE2S_HASH_BYTES];

	BUG_ON(t3 && !t2);
	blake2s_hmac(secret, chain, &BLAKE2S_PIECE(input, len), 1);
	expand(t1, secret, NULL, 1);
	if (t2)
		expand(t2, secret, t1, 2);
	if (t3)
		expand(t3, secret, t2, 3);
	sodium_memzero(secret, sizeof(secret));
}
