/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it: the four messages
 * of a handshake made and consumed, and the two transport keys
 * (docs/protocol/wireguard.md, "Cryptography"). Pure: ephemeral keys, indices and
 * timestamps are arguments. Any thread, as long as nobody else uses the structs.
 *
 * Every function computes on locals and writes to its arguments only after the
 * last check has passed: a refused message leaves no trace. What may be known of
 * a failure is in the error alone:
 *
 *   -EBADMSG       an AEAD tag does not fit: forged, damaged or for other keys
 *   -EKEYREJECTED  an X25519 result is all zero: the peer sent a low-order point
 *   -ESTALE        the timestamp is not newer than the last one accepted
 *
 * Initiator: wg_initiation_create -> wg_response_consume -> wg_handshake_keys
 * Responder: wg_initiation_open -> (the caller finds the peer by .remote_static)
 *            -> wg_initiation_finish -> wg_response_create -> wg_handshake_keys
 */
#ifndef CONTROLPLANE_NOISE_WG_HANDSHAKE_H
#define CONTROLPLANE_NOISE_WG_HANDSHAKE_H

#include "lib/wire/wg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* This node. */
struct wg_identity {
	uint8_t private_key[WG_KEY_BYTES]; /* clamped */
	uint8_t public_key[WG_KEY_BYTES];
	uint8_t mac1_key[WG_KEY_BYTES];	  /* of messages to us */
	uint8_t cookie_key[WG_KEY_BYTES]; /* of cookie replies from us */
};

/* What the handshake knows of a peer, for as long as the peer is configured. */
struct wg_remote {
	uint8_t public_key[WG_KEY_BYTES];
	uint8_t static_shared[WG_KEY_BYTES];	   /* DH(our static, its static) */
	uint8_t preshared_key[WG_KEY_BYTES];	   /* zeros: none */
	uint8_t mac1_key[WG_KEY_BYTES];		   /* of messages to it */
	uint8_t cookie_key[WG_KEY_BYTES];	   /* of cookie replies from it */
	uint8_t last_accepted[WG_TIMESTAMP_BYTES]; /* survives restarts: the caller keeps it */
	uint8_t last_sent[WG_TIMESTAMP_BYTES];
};

/* A handshake under way, or one whose keys are not yet derived. */
struct wg_handshake {
	uint8_t hash[WG_KEY_BYTES];
	uint8_t chain[WG_KEY_BYTES];
	uint8_t ephemeral_private[WG_KEY_BYTES]; /* initiator */
	uint8_t remote_ephemeral[WG_KEY_BYTES];	 /* responder */
	uint32_t local_index;
	uint32_t remote_index;
};

/* An initiation whose sender is decrypted but not yet looked up. Wiped by the caller. */
struct wg_initiation_in {
	uint8_t hash[WG_KEY_BYTES];
	uint8_t chain[WG_KEY_BYTES];
	uint8_t remote_static[WG_KEY_BYTES];
	uint8_t remote_ephemeral[WG_KEY_BYTES];
	uint8_t enc_timestamp[WG_TIMESTAMP_BYTES + WG_TAG_BYTES];
	uint32_t sender;
};

struct wg_keypair_keys {
	uint8_t send[WG_KEY_BYTES];
	uint8_t recv[WG_KEY_BYTES];
	uint8_t lane_secret[WG_KEY_BYTES]; /* docs/protocol/lanes.md */
};

/* Clamps private_key and derives the rest. 0, or -EKEYREJECTED. */
int wg_identity_init(struct wg_identity *id, const uint8_t private_key[WG_KEY_BYTES]);
/* preshared_key may be NULL. 0, or -EKEYREJECTED for a low-order public key. */
int wg_remote_init(struct wg_remote *remote, const struct wg_identity *id,
		   const uint8_t public_key[WG_KEY_BYTES],
		   const uint8_t preshared_key[WG_KEY_BYTES]);

/*
 * The timestamp of the next initiation: the wall clock with the low 24 bits of
 * the nanoseconds cleared (they would tell how busy we are), and always greater
 * than last_sent, which it replaces, whatever the clock does.
 */
void wg_tai64n_next(uint8_t last_sent[WG_TIMESTAMP_BYTES], uint64_t wall_ns);

/* The fields mac1 and mac2 of messages made here are zero: wg_cookie_macs() fills them. */
int wg_initiation_create(struct wg_handshake *hs, const struct wg_identity *id,
			 const struct wg_remote *remote,
			 const uint8_t ephemeral_private[WG_KEY_BYTES],
			 const uint8_t timestamp[WG_TIMESTAMP_BYTES], uint32_t local_index,
			 struct wg_msg_initiation *msg);
int wg_initiation_open(struct wg_initiation_in *in, const struct wg_identity *id,
		       const struct wg_msg_initiation *msg);
/* remote->public_key must be in->remote_static. Moves remote->last_accepted on success. */
int wg_initiation_finish(struct wg_handshake *hs, struct wg_remote *remote,
			 const struct wg_initiation_in *in);
/* hs comes from wg_initiation_finish(). */
int wg_response_create(struct wg_handshake *hs, const struct wg_remote *remote,
		       const uint8_t ephemeral_private[WG_KEY_BYTES], uint32_t local_index,
		       struct wg_msg_response *msg);
/* hs comes from wg_initiation_create(); the caller found it by msg->receiver. */
int wg_response_consume(struct wg_handshake *hs, const struct wg_identity *id,
			const struct wg_remote *remote, const struct wg_msg_response *msg);
/* Derives the transport keys and wipes hs. */
void wg_handshake_keys(struct wg_handshake *hs, bool is_initiator, struct wg_keypair_keys *keys);
/* The keys of a lane, 1 to 255, out of the secret of its session. keys may hold the secret. */
void wg_lane_keys(const uint8_t lane_secret[WG_KEY_BYTES], bool is_initiator, uint8_t lane,
		  struct wg_keypair_keys *keys);

#endif
