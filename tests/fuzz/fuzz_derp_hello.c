/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ClientInfo of anybody: the box is opened with a fixed key, or the input is what was in a
 * box that opened.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/derp/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t secret[KEY_BYTES] = {[0] = 8, [31] = 64};
	struct identity id = {0};
	struct hello h;
	uint8_t body[HELLO_CLIENT_INFO_MAX];
	uint8_t *exact;
	size_t overhead = DERP_KEY_BYTES + DERP_NONCE_BYTES + DERP_TAG_BYTES;

	memcpy(id.private_key.bytes, secret, KEY_BYTES);
	crypto_scalarmult_base(id.public_key.bytes, secret);
	/* As it comes, in memory that ends where it ends. */
	exact = malloc(len ? len : 1);
	memcpy(exact, data, len);
	hello_open(&id, NULL, exact, len, &h);
	free(exact);
	if (len > sizeof(body) - overhead)
		return 0;
	memcpy(body, id.public_key.bytes, DERP_KEY_BYTES);
	memset(body + DERP_KEY_BYTES, 1, DERP_NONCE_BYTES);
	if (crypto_box_easy(body + DERP_KEY_BYTES + DERP_NONCE_BYTES, data, len,
			    body + DERP_KEY_BYTES, id.public_key.bytes, secret))
		return 0;
	hello_open(&id, &id.public_key, body, overhead + len, &h);
	return 0;
}
