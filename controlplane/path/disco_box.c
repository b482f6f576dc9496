/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/disco_box.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "lib/base/bug.h"

int disco_box_init(struct disco_box *b, const struct key *own_private, const struct key *own,
		   const struct key *peer)
{
	b->own = *own;
	b->peer = *peer;
	if (key_is_low_order(peer) ||
	    crypto_box_beforenm(b->shared, peer->bytes, own_private->bytes)) {
		disco_box_fini(b);
		return -EINVAL;
	}
	return 0;
}

void disco_box_fini(struct disco_box *b)
{
	sodium_memzero(b, sizeof(*b));
}

size_t disco_box_seal(const struct disco_box *b, const struct disco_msg *m,
		      const uint8_t nonce[DISCO_NONCE_BYTES], uint8_t *out)
{
	uint8_t plain[DISCO_BOX_PLAIN_MAX];
	size_t len = disco_plain_bytes(m);
	struct disco_envelope *e = (struct disco_envelope *)out;

	BUG_ON(len > sizeof(plain));
	disco_encode(plain, m);
	memcpy(e->magic, disco_magic, sizeof(e->magic));
	memcpy(e->sender, b->own.bytes, sizeof(e->sender));
	memcpy(e->nonce, nonce, sizeof(e->nonce));
	BUG_ON(crypto_box_easy_afternm(out + DISCO_ENVELOPE_BYTES, plain, len, nonce, b->shared));
	return DISCO_ENVELOPE_BYTES + DISCO_TAG_BYTES + len;
}

int disco_box_open(const struct disco_box *b, const uint8_t *data, size_t len, uint8_t *plain,
		   struct disco_msg *m)
{
	const struct disco_envelope *e = (const struct disco_envelope *)data;

	if (len < DISCO_ENVELOPE_BYTES + DISCO_TAG_BYTES || !disco_looks_like(data, len))
		return -EBADMSG;
	if (len > DISCO_BOX_OPEN_MAX)
		return -EMSGSIZE;
	if (memcmp(e->sender, b->peer.bytes, KEY_BYTES) != 0)
		return -ENOENT;
	len -= DISCO_ENVELOPE_BYTES;
	if (crypto_box_open_easy_afternm(plain, data + DISCO_ENVELOPE_BYTES, len, e->nonce,
					 b->shared))
		return -EBADMSG;
	return disco_decode(plain, len - DISCO_TAG_BYTES, m);
}
