/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_handshake.h"

#include "controlplane/noise/blake2s.h"
#include "controlplane/noise/noise_symmetric.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <sodium.h>

static_assert(NOISE_KEY_BYTES == WG_KEY_BYTES && NOISE_TAG_BYTES == WG_TAG_BYTES, "sizes");

/* HASH(construction), and HASH(that || "WireGuard v1 zx2c4 Jason@zx2c4.com"). */
static const uint8_t initial_chain[WG_KEY_BYTES] = {0x60, 0xe2, 0x6d, 0xae, 0xf3, 0x27, 0xef, 0xc0,
						    0x2e, 0xc3, 0x35, 0xe2, 0xa0, 0x25, 0xd2, 0xd0,
						    0x16, 0xeb, 0x42, 0x06, 0xf8, 0x72, 0x77, 0xf5,
						    0x2d, 0x38, 0xd1, 0x98, 0x8b, 0x78, 0xcd, 0x36};
static const uint8_t initial_hash[WG_KEY_BYTES] = {0x22, 0x11, 0xb3, 0x61, 0x08, 0x1a, 0xc5, 0x66,
						   0x69, 0x12, 0x43, 0xdb, 0x45, 0x8a, 0xd5, 0x32,
						   0x2d, 0x9c, 0x6c, 0x66, 0x22, 0x93, 0xe8, 0xb7,
						   0x0e, 0xe1, 0x9c, 0x65, 0xba, 0x07, 0x9e, 0xf3};

static void symmetric_init(struct noise_symmetric *s, const uint8_t *responder_public)
{
	memcpy(s->chain, initial_chain, sizeof(s->chain));
	memcpy(s->hash, initial_hash, sizeof(s->hash));
	noise_mix_hash(s, responder_public, WG_KEY_BYTES);
}

static void mix_ephemeral(struct noise_symmetric *s, const uint8_t *public_key)
{
	noise_mix_hash(s, public_key, WG_KEY_BYTES);
	noise_mix_key(s, NULL, public_key, WG_KEY_BYTES);
}

/* (C, t, k) = KDF3(C, psk); H = HASH(H || t) */
static void mix_psk(struct noise_symmetric *s, uint8_t *key, const uint8_t *psk)
{
	uint8_t t[WG_KEY_BYTES];

	blake2s_kdf(s->chain, t, key, s->chain, psk, WG_KEY_BYTES);
	noise_mix_hash(s, t, sizeof(t));
	sodium_memzero(t, sizeof(t));
}

/* HASH(label || public key): the keys of mac1 and of the cookie. */
static void label_key(uint8_t *key, const char label[8], const uint8_t *public_key)
{
	blake2s_hash(key,
		     (struct blake2s_piece[]){BLAKE2S_PIECE(label, 8),
					      BLAKE2S_PIECE(public_key, WG_KEY_BYTES)},
		     2);
}

int wg_identity_init(struct wg_identity *id, const uint8_t private_key[WG_KEY_BYTES])
{
	memcpy(id->private_key, private_key, WG_KEY_BYTES);
	id->private_key[0] &= 248;
	id->private_key[31] = (uint8_t)((id->private_key[31] & 127) | 64);
	if (crypto_scalarmult_base(id->public_key, id->private_key) != 0) {
		sodium_memzero(id, sizeof(*id));
		return -EKEYREJECTED;
	}
	label_key(id->mac1_key, "mac1----", id->public_key);
	label_key(id->cookie_key, "cookie--", id->public_key);
	return 0;
}

int wg_remote_init(struct wg_remote *remote, const struct wg_identity *id,
		   const uint8_t public_key[WG_KEY_BYTES],
		   const uint8_t preshared_key[WG_KEY_BYTES])
{
	memset(remote, 0, sizeof(*remote));
	if (crypto_scalarmult(remote->static_shared, id->private_key, public_key) != 0) {
		sodium_memzero(remote, sizeof(*remote));
		return -EKEYREJECTED;
	}
	memcpy(remote->public_key, public_key, WG_KEY_BYTES);
	if (preshared_key)
		memcpy(remote->preshared_key, preshared_key, WG_KEY_BYTES);
	label_key(remote->mac1_key, "mac1----", public_key);
	label_key(remote->cookie_key, "cookie--", public_key);
	return 0;
}

static void be_put(uint8_t *out, uint64_t x, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, x >>= 8)
		out[i] = (uint8_t)x;
}

static uint64_t be_get(const uint8_t *in, int bytes)
{
	uint64_t x = 0;

	for (int i = 0; i < bytes; i++)
		x = x << 8 | in[i];
	return x;
}

void wg_tai64n_next(uint8_t last_sent[WG_TIMESTAMP_BYTES], uint64_t wall_ns)
{
	const uint64_t step_ns = 1ull << 24;
	uint64_t seconds = 0x400000000000000aull + wall_ns / NS_PER_SEC;
	uint64_t nanos = wall_ns % NS_PER_SEC & ~(step_ns - 1);
	uint8_t now[WG_TIMESTAMP_BYTES];

	be_put(now, seconds, 8);
	be_put(now + 8, nanos, 4);
	if (memcmp(now, last_sent, sizeof(now)) <= 0) {
		seconds = be_get(last_sent, 8);
		nanos = (be_get(last_sent + 8, 4) & ~(step_ns - 1)) + step_ns;
		if (nanos >= NS_PER_SEC) {
			seconds++;
			nanos = 0;
		}
		be_put(now, seconds, 8);
		be_put(now + 8, nanos, 4);
	}
	memcpy(last_sent, now, sizeof(now));
}

int wg_initiation_create(struct wg_handshake *hs, const struct wg_identity *id,
			 const struct wg_remote *remote,
			 const uint8_t ephemeral_private[WG_KEY_BYTES],
			 const uint8_t timestamp[WG_TIMESTAMP_BYTES], uint32_t local_index,
			 struct wg_msg_initiation *msg)
{
	struct wg_msg_initiation m = {0};
	struct noise_symmetric s;
	uint8_t key[WG_KEY_BYTES];
	int err;

	le32_put(&m.type, WG_MSG_INITIATION);
	le32_put(&m.sender, local_index);
	symmetric_init(&s, remote->public_key);
	err = -EKEYREJECTED;
	if (crypto_scalarmult_base(m.ephemeral, ephemeral_private) != 0)
		goto wipe;
	mix_ephemeral(&s, m.ephemeral);

	err = noise_mix_dh(&s, key, ephemeral_private, remote->public_key);
	if (err)
		goto wipe;
	noise_seal_and_hash(&s, m.enc_static, key, id->public_key, WG_KEY_BYTES);

	noise_mix_key(&s, key, remote->static_shared, WG_KEY_BYTES);
	noise_seal_and_hash(&s, m.enc_timestamp, key, timestamp, WG_TIMESTAMP_BYTES);

	memset(hs, 0, sizeof(*hs));
	memcpy(hs->hash, s.hash, WG_KEY_BYTES);
	memcpy(hs->chain, s.chain, WG_KEY_BYTES);
	memcpy(hs->ephemeral_private, ephemeral_private, WG_KEY_BYTES);
	hs->local_index = local_index;
	*msg = m;
wipe:
	sodium_memzero(&s, sizeof(s));
	sodium_memzero(key, sizeof(key));
	return err;
}

int wg_initiation_open(struct wg_initiation_in *in, const struct wg_identity *id,
		       const struct wg_msg_initiation *msg)
{
	struct noise_symmetric s;
	uint8_t key[WG_KEY_BYTES];
	uint8_t remote_static[WG_KEY_BYTES];
	int err;

	symmetric_init(&s, id->public_key);
	mix_ephemeral(&s, msg->ephemeral);
	err = noise_mix_dh(&s, key, id->private_key, msg->ephemeral);
	if (err)
		goto wipe;
	err = noise_open_and_hash(&s, remote_static, key, msg->enc_static, sizeof(msg->enc_static));
	if (err)
		goto wipe;

	memcpy(in->hash, s.hash, WG_KEY_BYTES);
	memcpy(in->chain, s.chain, WG_KEY_BYTES);
	memcpy(in->remote_static, remote_static, WG_KEY_BYTES);
	memcpy(in->remote_ephemeral, msg->ephemeral, WG_KEY_BYTES);
	memcpy(in->enc_timestamp, msg->enc_timestamp, sizeof(in->enc_timestamp));
	in->sender = le32_get(&msg->sender);
wipe:
	sodium_memzero(&s, sizeof(s));
	sodium_memzero(key, sizeof(key));
	return err;
}

int wg_initiation_finish(struct wg_handshake *hs, struct wg_remote *remote,
			 const struct wg_initiation_in *in)
{
	struct noise_symmetric s;
	uint8_t key[WG_KEY_BYTES];
	uint8_t timestamp[WG_TIMESTAMP_BYTES];
	int err;

	BUG_ON(memcmp(in->remote_static, remote->public_key, WG_KEY_BYTES) != 0);
	memcpy(s.hash, in->hash, WG_KEY_BYTES);
	memcpy(s.chain, in->chain, WG_KEY_BYTES);
	noise_mix_key(&s, key, remote->static_shared, WG_KEY_BYTES);
	err = noise_open_and_hash(&s, timestamp, key, in->enc_timestamp, sizeof(in->enc_timestamp));
	if (err)
		goto wipe;
	err = -ESTALE;
	if (memcmp(timestamp, remote->last_accepted, sizeof(timestamp)) <= 0)
		goto wipe;

	err = 0;
	memset(hs, 0, sizeof(*hs));
	memcpy(hs->hash, s.hash, WG_KEY_BYTES);
	memcpy(hs->chain, s.chain, WG_KEY_BYTES);
	memcpy(hs->remote_ephemeral, in->remote_ephemeral, WG_KEY_BYTES);
	hs->remote_index = in->sender;
	memcpy(remote->last_accepted, timestamp, sizeof(timestamp));
wipe:
	sodium_memzero(&s, sizeof(s));
	sodium_memzero(key, sizeof(key));
	return err;
}

int wg_response_create(struct wg_handshake *hs, const struct wg_remote *remote,
		       const uint8_t ephemeral_private[WG_KEY_BYTES], uint32_t local_index,
		       struct wg_msg_response *msg)
{
	struct wg_msg_response m = {0};
	struct noise_symmetric s;
	uint8_t key[WG_KEY_BYTES];
	int err;

	memcpy(s.hash, hs->hash, WG_KEY_BYTES);
	memcpy(s.chain, hs->chain, WG_KEY_BYTES);
	le32_put(&m.type, WG_MSG_RESPONSE);
	le32_put(&m.sender, local_index);
	le32_put(&m.receiver, hs->remote_index);
	err = -EKEYREJECTED;
	if (crypto_scalarmult_base(m.ephemeral, ephemeral_private) != 0)
		goto wipe;
	mix_ephemeral(&s, m.ephemeral);
	err = noise_mix_dh(&s, NULL, ephemeral_private, hs->remote_ephemeral);
	if (!err)
		err = noise_mix_dh(&s, NULL, ephemeral_private, remote->public_key);
	if (err)
		goto wipe;
	mix_psk(&s, key, remote->preshared_key);
	noise_seal_and_hash(&s, m.enc_empty, key, NULL, 0);

	memcpy(hs->hash, s.hash, WG_KEY_BYTES);
	memcpy(hs->chain, s.chain, WG_KEY_BYTES);
	hs->local_index = local_index;
	*msg = m;
wipe:
	sodium_memzero(&s, sizeof(s));
	sodium_memzero(key, sizeof(key));
	return err;
}

int wg_response_consume(struct wg_handshake *hs, const struct wg_identity *id,
			const struct wg_remote *remote, const struct wg_msg_response *msg)
{
	struct noise_symmetric s;
	uint8_t key[WG_KEY_BYTES];
	int err;

	memcpy(s.hash, hs->hash, WG_KEY_BYTES);
	memcpy(s.chain, hs->chain, WG_KEY_BYTES);
	mix_ephemeral(&s, msg->ephemeral);
	err = noise_mix_dh(&s, NULL, hs->ephemeral_private, msg->ephemeral);
	if (!err)
		err = noise_mix_dh(&s, NULL, id->private_key, msg->ephemeral);
	if (err)
		goto wipe;
	mix_psk(&s, key, remote->preshared_key);
	err = noise_open_and_hash(&s, NULL, key, msg->enc_empty, sizeof(msg->enc_empty));
	if (err)
		goto wipe;

	memcpy(hs->hash, s.hash, WG_KEY_BYTES);
	memcpy(hs->chain, s.chain, WG_KEY_BYTES);
	hs->remote_index = le32_get(&msg->sender);
wipe:
	sodium_memzero(&s, sizeof(s));
	sodium_memzero(key, sizeof(key));
	return err;
}

void wg_handshake_keys(struct wg_handshake *hs, bool is_initiator, struct wg_keypair_keys *keys)
{
	uint8_t *first = is_initiator ? keys->send : keys->recv; /* initiator to responder */
	uint8_t *second = is_initiator ? keys->recv : keys->send;

	blake2s_kdf(first, second, keys->lane_secret, hs->chain, NULL, 0);
	sodium_memzero(hs, sizeof(*hs));
}

void wg_lane_keys(const uint8_t lane_secret[WG_KEY_BYTES], bool is_initiator, uint8_t lane,
		  struct wg_keypair_keys *keys)
{
	uint8_t label[] = "causeway lane?";
	uint8_t first[WG_KEY_BYTES], second[WG_KEY_BYTES];

	label[sizeof(label) - 2] = lane;
	blake2s_kdf(first, second, NULL, lane_secret, label, sizeof(label) - 1);
	*keys = (struct wg_keypair_keys){0};
	memcpy(is_initiator ? keys->send : keys->recv, first, sizeof(first));
	memcpy(is_initiator ? keys->recv : keys->send, second, sizeof(second));
	sodium_memzero(first, sizeof(first));
	sodium_memzero(second, sizeof(second));
}
