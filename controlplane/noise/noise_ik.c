/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/noise_ik.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/noise/blake2s.h"
#include "lib/base/bug.h"
#include "lib/wire/be.h"

#define PROTOCOL "Noise_IK_25519_ChaChaPoly_BLAKE2s"
#define PROLOGUE "Tailscale Control Protocol v%u"

/* Where things stand in the initiation and the response. */
#define INIT_TYPE      2
#define INIT_LENGTH    3
#define INIT_EPHEMERAL 5
#define INIT_STATIC    37
#define INIT_TAG       85
#define INIT_BODY      (NOISE_IK_INITIATION_BYTES - INIT_EPHEMERAL)
#define RESP_LENGTH    1
#define RESP_EPHEMERAL 3
#define RESP_TAG       35
#define RESP_BODY      (NOISE_IK_RESPONSE_BYTES - RESP_EPHEMERAL)

/* Both sides begin with what they know: the version, the coordinator's key. */
static void begin(struct noise_symmetric *s, uint16_t version, const uint8_t *server_public)
{
	char prologue[64];
	int n = snprintf(prologue, sizeof(prologue), PROLOGUE, version);

	blake2s_hash(s->hash, &BLAKE2S_PIECE(PROTOCOL, strlen(PROTOCOL)), 1);
	memcpy(s->chain, s->hash, sizeof(s->chain));
	noise_mix_hash(s, prologue, (size_t)n);
	noise_mix_hash(s, server_public, NOISE_KEY_BYTES);
}

static void new_ephemeral(const struct wg_random *random, uint8_t *private_key, uint8_t *public_key)
{
	random->fill(random->ctx, private_key, NOISE_KEY_BYTES);
	crypto_scalarmult_base(public_key, private_key);
}

/* first: the key of the client's direction. */
static void split(struct noise_symmetric *s, bool is_client, struct noise_ik_stream *out)
{
	uint8_t up[NOISE_KEY_BYTES], down[NOISE_KEY_BYTES];

	blake2s_kdf(up, down, NULL, s->chain, NULL, 0);
	*out = (struct noise_ik_stream){0};
	memcpy(out->tx.key, is_client ? up : down, NOISE_KEY_BYTES);
	memcpy(out->rx.key, is_client ? down : up, NOISE_KEY_BYTES);
	memcpy(out->hash, s->hash, sizeof(out->hash));
	sodium_memzero(up, sizeof(up));
	sodium_memzero(down, sizeof(down));
}

int noise_ik_initiate(struct noise_ik_client *c, uint16_t version, const uint8_t *machine_private,
		      const uint8_t *server_public, const struct wg_random *random,
		      uint8_t out[NOISE_IK_INITIATION_BYTES])
{
	uint8_t machine_public[NOISE_KEY_BYTES], key[NOISE_KEY_BYTES];
	int rc;

	be16_put((wire_be16 *)(out), version);
	out[INIT_TYPE] = NOISE_IK_INITIATION;
	be16_put((wire_be16 *)(out + INIT_LENGTH), INIT_BODY);
	memcpy(c->machine, machine_private, sizeof(c->machine));
	crypto_scalarmult_base(machine_public, machine_private);
	begin(&c->s, version, server_public);
	new_ephemeral(random, c->ephemeral, out + INIT_EPHEMERAL);
	noise_mix_hash(&c->s, out + INIT_EPHEMERAL, NOISE_KEY_BYTES);
	rc = noise_mix_dh(&c->s, key, c->ephemeral, server_public);
	if (!rc) {
		noise_seal_and_hash(&c->s, out + INIT_STATIC, key, machine_public, NOISE_KEY_BYTES);
		rc = noise_mix_dh(&c->s, key, c->machine, server_public);
	}
	if (!rc)
		noise_seal_and_hash(&c->s, out + INIT_TAG, key, NULL, 0);
	else
		noise_ik_client_fini(c);
	sodium_memzero(key, sizeof(key));
	return rc;
}

int noise_ik_finish(struct noise_ik_client *c, const uint8_t response[NOISE_IK_RESPONSE_BYTES],
		    struct noise_ik_stream *out)
{
	const uint8_t *e = response + RESP_EPHEMERAL;
	uint8_t key[NOISE_KEY_BYTES];
	int rc = -EBADMSG;

	if (response[0] == NOISE_IK_RESPONSE &&
	    be16_get((const wire_be16 *)(response + RESP_LENGTH)) == RESP_BODY) {
		noise_mix_hash(&c->s, e, NOISE_KEY_BYTES);
		if (noise_mix_dh(&c->s, key, c->ephemeral, e) == 0 &&
		    noise_mix_dh(&c->s, key, c->machine, e) == 0)
			rc = noise_open_and_hash(&c->s, NULL, key, response + RESP_TAG,
						 NOISE_TAG_BYTES);
	}
	if (!rc)
		split(&c->s, true, out);
	sodium_memzero(key, sizeof(key));
	noise_ik_client_fini(c);
	return rc;
}

void noise_ik_client_fini(struct noise_ik_client *c)
{
	sodium_memzero(c, sizeof(*c));
}

static const char *initiation_problem(const uint8_t *m, size_t len)
{
	if (len != NOISE_IK_INITIATION_BYTES)
		return "wrong handshake initiation size";
	if (m[INIT_TYPE] != NOISE_IK_INITIATION)
		return "unexpected handshake message type";
	if (be16_get((const wire_be16 *)(m + INIT_LENGTH)) != INIT_BODY)
		return "wrong handshake initiation length";
	return NULL;
}

/* What the initiation proves; e and s tokens of the client. */
static int read_initiation(struct noise_symmetric *s, const uint8_t *server_private,
			   const uint8_t *m, uint8_t *machine_public)
{
	uint8_t key[NOISE_KEY_BYTES];
	int rc;

	noise_mix_hash(s, m + INIT_EPHEMERAL, NOISE_KEY_BYTES);
	rc = noise_mix_dh(s, key, server_private, m + INIT_EPHEMERAL);
	if (!rc)
		rc = noise_open_and_hash(s, machine_public, key, m + INIT_STATIC,
					 NOISE_KEY_BYTES + NOISE_TAG_BYTES);
	if (!rc)
		rc = noise_mix_dh(s, key, server_private, machine_public);
	if (!rc)
		rc = noise_open_and_hash(s, NULL, key, m + INIT_TAG, NOISE_TAG_BYTES);
	sodium_memzero(key, sizeof(key));
	return rc ? -EBADMSG : 0;
}

static int write_response(struct noise_symmetric *s, const uint8_t *client_ephemeral,
			  const uint8_t *machine_public, const struct wg_random *random,
			  uint8_t *out)
{
	uint8_t ephemeral[NOISE_KEY_BYTES], key[NOISE_KEY_BYTES];
	int rc;

	out[0] = NOISE_IK_RESPONSE;
	be16_put((wire_be16 *)(out + RESP_LENGTH), RESP_BODY);
	new_ephemeral(random, ephemeral, out + RESP_EPHEMERAL);
	noise_mix_hash(s, out + RESP_EPHEMERAL, NOISE_KEY_BYTES);
	rc = noise_mix_dh(s, key, ephemeral, client_ephemeral);
	if (!rc)
		rc = noise_mix_dh(s, key, ephemeral, machine_public);
	if (!rc)
		noise_seal_and_hash(s, out + RESP_TAG, key, NULL, 0);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	sodium_memzero(key, sizeof(key));
	return rc ? -EBADMSG : 0;
}

int noise_ik_respond(const uint8_t *server_private, const uint8_t *initiation, size_t len,
		     const struct wg_random *random, uint16_t *version,
		     uint8_t machine_public[NOISE_KEY_BYTES],
		     uint8_t response[NOISE_IK_RESPONSE_BYTES], struct noise_ik_stream *out,
		     const char **error)
{
	uint8_t server_public[NOISE_KEY_BYTES], machine[NOISE_KEY_BYTES];
	struct noise_symmetric s;
	int rc;

	*error = initiation_problem(initiation, len);
	if (*error)
		return -EPROTO;
	*version = be16_get((const wire_be16 *)(initiation));
	crypto_scalarmult_base(server_public, server_private);
	begin(&s, *version, server_public);
	rc = read_initiation(&s, server_private, initiation, machine);
	if (!rc)
		rc = write_response(&s, initiation + INIT_EPHEMERAL, machine, random, response);
	if (!rc) {
		memcpy(machine_public, machine, sizeof(machine));
		split(&s, false, out);
	}
	sodium_memzero(&s, sizeof(s));
	return rc;
}

size_t noise_ik_error(const char *text, uint8_t out[NOISE_IK_ERROR_MAX])
{
	size_t len = strlen(text);

	if (len > NOISE_IK_ERROR_MAX - NOISE_IK_HEADER_BYTES)
		len = NOISE_IK_ERROR_MAX - NOISE_IK_HEADER_BYTES;
	out[0] = NOISE_IK_ERROR;
	be16_put((wire_be16 *)(out + 1), (uint16_t)len);
	memcpy(out + NOISE_IK_HEADER_BYTES, text, len);
	return NOISE_IK_HEADER_BYTES + len;
}

void noise_ik_stream_fini(struct noise_ik_stream *s)
{
	sodium_memzero(s, sizeof(*s));
}

/* Four zero bytes and the counter, big-endian (WireGuard's is little-endian). */
static void nonce_of(uint64_t counter, uint8_t out[crypto_aead_chacha20poly1305_IETF_NPUBBYTES])
{
	memset(out, 0, 4);
	be64_put((wire_be64 *)(out + 4), counter);
}

int noise_ik_seal(struct noise_ik_cipher *c, const void *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

	BUG_ON(len > NOISE_IK_PLAIN_MAX);
	if (c->counter >= UINT64_MAX - 1)
		return -EOVERFLOW;
	nonce_of(c->counter++, nonce);
	out[0] = NOISE_IK_RECORD;
	be16_put((wire_be16 *)(out + 1), (uint16_t)(len + NOISE_TAG_BYTES));
	crypto_aead_chacha20poly1305_ietf_encrypt(out + NOISE_IK_HEADER_BYTES, NULL, plain, len,
						  NULL, 0, NULL, nonce, c->key);
	return (int)(NOISE_IK_HEADER_BYTES + len + NOISE_TAG_BYTES);
}

int noise_ik_open(struct noise_ik_cipher *c, uint8_t *data, size_t len, uint8_t **plain,
		  size_t *plain_len)
{
	uint8_t nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];
	size_t sealed;

	if (c->is_dead)
		return -EBADMSG;
	if (len >= 1 && data[0] != NOISE_IK_RECORD) {
		c->is_dead = true;
		return -EPROTO;
	}
	if (len < NOISE_IK_HEADER_BYTES)
		return 0;
	sealed = be16_get((const wire_be16 *)(data + 1));
	if (sealed < NOISE_TAG_BYTES || sealed > NOISE_IK_RECORD_MAX - NOISE_IK_HEADER_BYTES) {
		c->is_dead = true;
		return -EPROTO;
	}
	if (len < NOISE_IK_HEADER_BYTES + sealed)
		return 0;
	*plain = data + NOISE_IK_HEADER_BYTES;
	*plain_len = sealed - NOISE_TAG_BYTES;
	nonce_of(c->counter, nonce);
	if (c->counter >= UINT64_MAX - 1 ||
	    crypto_aead_chacha20poly1305_ietf_decrypt(*plain, NULL, NULL, *plain, sealed, NULL, 0,
						      nonce, c->key) != 0) {
		c->is_dead = true;
		return -EBADMSG;
	}
	c->counter++;
	return (int)(NOISE_IK_HEADER_BYTES + sealed);
}
