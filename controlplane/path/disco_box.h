/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The box around disco messages between this node and one peer (docs/protocol/disco.md): X25519,
 * XSalsa20 and Poly1305. The shared key is computed once a pair of keys and kept here, so that a
 * message costs no curve. The owner of the struct wipes it with disco_box_fini(). One thread.
 */
#ifndef CONTROLPLANE_PATH_DISCO_BOX_H
#define CONTROLPLANE_PATH_DISCO_BOX_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/key.h"
#include "lib/wire/disco.h"

/* The longest message that is sealed here: a list of this many endpoints. */
#define DISCO_BOX_ENDPOINTS_MAX 40
#define DISCO_BOX_PLAIN_MAX	(2 + DISCO_BOX_ENDPOINTS_MAX * DISCO_ADDR_BYTES)
#define DISCO_BOX_BYTES_MAX	(DISCO_ENVELOPE_BYTES + DISCO_TAG_BYTES + DISCO_BOX_PLAIN_MAX)
/* The longest that is opened: what a UDP datagram holds is more than any message says. */
#define DISCO_BOX_OPEN_MAX 9216

struct disco_box {
	struct key own;	    /* public */
	struct key peer;    /* public */
	uint8_t shared[32]; /* secret */
};

/* 0, or -EINVAL for a peer's key with which there is no secret (low order). */
int disco_box_init(struct disco_box *b, const struct key *own_private, const struct key *own,
		   const struct key *peer);
void disco_box_fini(struct disco_box *b);

/*
 * Writes the sealed datagram at out (DISCO_BOX_BYTES_MAX) and returns its length. nonce: random,
 * never used before with these two keys. m must fit (DISCO_BOX_PLAIN_MAX).
 */
size_t disco_box_seal(const struct disco_box *b, const struct disco_msg *m,
		      const uint8_t nonce[DISCO_NONCE_BYTES], uint8_t *out);

/*
 * Opens a datagram that b->peer sent. plain holds len bytes (or DISCO_BOX_OPEN_MAX); *m refers to
 * it. 0; -ENOENT: of another sender; -EBADMSG: no disco, forged, or too short; -ENOTSUP: of an
 * unknown type; -EMSGSIZE: longer than DISCO_BOX_OPEN_MAX.
 */
int disco_box_open(const struct disco_box *b, const uint8_t *data, size_t len, uint8_t *plain,
		   struct disco_msg *m);

#endif
