/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secured stream of the control protocol: Noise_IK_25519_ChaChaPoly_BLAKE2s and
 * its records (docs/protocol/ts2021.md). Engines without I/O, both roles. The
 * machine key is the initiator's static key, the coordinator's key the responder's.
 *
 *   initiation  version u16 | 01 | length u16 = 96 | ephemeral 32 | sealed key 48 | tag 16
 *   response    02 | length u16 = 48 | ephemeral 32 | tag 16
 *   error       03 | length u16 | text, in the clear
 *   record      04 | length u16 | ciphertext and tag
 *
 * Integers are big-endian. The caller owns the memory and wipes with _fini; one
 * thread at a time.
 */
#ifndef CONTROLPLANE_NOISE_NOISE_IK_H
#define CONTROLPLANE_NOISE_NOISE_IK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/noise/noise_symmetric.h"
#include "controlplane/noise/wg_env.h"

#define NOISE_IK_INITIATION_BYTES 101
#define NOISE_IK_RESPONSE_BYTES	  51
#define NOISE_IK_HEADER_BYTES	  3
#define NOISE_IK_RECORD_MAX	  4096 /* header and tag included */
#define NOISE_IK_PLAIN_MAX	  (NOISE_IK_RECORD_MAX - NOISE_IK_HEADER_BYTES - NOISE_TAG_BYTES)
#define NOISE_IK_ERROR_MAX	  256

enum noise_ik_type {
	NOISE_IK_INITIATION = 1,
	NOISE_IK_RESPONSE = 2,
	NOISE_IK_ERROR = 3,
	NOISE_IK_RECORD = 4,
};

/* One direction: a key and a counter. */
struct noise_ik_cipher {
	uint8_t key[NOISE_KEY_BYTES];
	uint64_t counter;
	bool is_dead; /* a record did not open */
};

/* A stream both ways, once the handshake is over. */
struct noise_ik_stream {
	struct noise_ik_cipher tx, rx;
	uint8_t hash[NOISE_KEY_BYTES]; /* of the whole handshake: the same at both ends */
};

struct noise_ik_client {
	struct noise_symmetric s;
	uint8_t ephemeral[NOISE_KEY_BYTES];
	uint8_t machine[NOISE_KEY_BYTES];
};

/* ---- client ---- */

/* Keys are X25519, 32 bytes. 0, or -EKEYREJECTED: the coordinator's key cannot be one. */
int noise_ik_initiate(struct noise_ik_client *c, uint16_t version, const uint8_t *machine_private,
		      const uint8_t *server_public, const struct wg_random *random,
		      uint8_t out[NOISE_IK_INITIATION_BYTES]);
/* 0; -EBADMSG: not an answer to this initiation. c is wiped in any case. */
int noise_ik_finish(struct noise_ik_client *c, const uint8_t response[NOISE_IK_RESPONSE_BYTES],
		    struct noise_ik_stream *out);
void noise_ik_client_fini(struct noise_ik_client *c);

/* ---- server ---- */

/*
 * len bytes of an initiation. 0 with the client's version and machine key, which is
 * now proven, and the response to send; -EPROTO with a text to send as an error
 * message (a literal); -EBADMSG: it does not open, close without a word.
 */
int noise_ik_respond(const uint8_t *server_private, const uint8_t *initiation, size_t len,
		     const struct wg_random *random, uint16_t *version,
		     uint8_t machine_public[NOISE_KEY_BYTES],
		     uint8_t response[NOISE_IK_RESPONSE_BYTES], struct noise_ik_stream *out,
		     const char **error);
/* An error message: header and text, at most NOISE_IK_ERROR_MAX bytes; its length. */
size_t noise_ik_error(const char *text, uint8_t out[NOISE_IK_ERROR_MAX]);

/* ---- both ---- */

void noise_ik_stream_fini(struct noise_ik_stream *s);
/*
 * One record of 0 to NOISE_IK_PLAIN_MAX bytes. out: len + NOISE_IK_HEADER_BYTES +
 * NOISE_TAG_BYTES, not overlapping. Its length, or -EOVERFLOW: the counter is used up.
 */
int noise_ik_seal(struct noise_ik_cipher *c, const void *plain, size_t len, uint8_t *out);
/*
 * The next record at data: how many bytes it has in all, 0 = it is not whole yet;
 * -EPROTO: another type, or longer than a record may be; -EBADMSG: it does not
 * open. *plain points into data, where it was opened in place. After an error the
 * stream is done for.
 */
int noise_ik_open(struct noise_ik_cipher *c, uint8_t *data, size_t len, uint8_t **plain,
		  size_t *plain_len);

#endif
