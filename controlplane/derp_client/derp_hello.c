/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_hello.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/json_in.h"
#include "lib/wire/derp_frame.h"

#define LIMIT_MAX INT64_MAX

size_t derp_hello_put(const struct derp_hello_keys *keys, const struct key *server,
		      const struct wg_random *random, uint8_t out[DERP_HELLO_MAX])
{
	static const char info[] = "{\"version\":2,\"CanAckPings\":true}";
	uint8_t *key = out + DERP_HEADER_BYTES, *nonce = key + DERP_KEY_BYTES;
	size_t len = DERP_KEY_BYTES + DERP_NONCE_BYTES + DERP_TAG_BYTES + sizeof(info) - 1;

	derp_header_put(out, DERP_CLIENT_INFO, (uint32_t)len);
	memcpy(key, keys->public_key.bytes, DERP_KEY_BYTES);
	random->fill(random->ctx, nonce, DERP_NONCE_BYTES);
	if (crypto_box_easy(nonce + DERP_NONCE_BYTES, (const uint8_t *)info, sizeof(info) - 1,
			    nonce, server->bytes, keys->private_key.bytes))
		return 0;
	return DERP_HEADER_BYTES + len;
}

static int refuse(char why[DERP_HELLO_WHY_MAX], const char *what)
{
	snprintf(why, DERP_HELLO_WHY_MAX, "ServerInfo: %s", what);
	return -EBADMSG;
}

int derp_hello_get(const struct derp_hello_keys *keys, const struct key *server,
		   const uint8_t *body, size_t len, struct derp_server_info *out,
		   char why[DERP_HELLO_WHY_MAX])
{
	int64_t bytes_per_s = 0, burst_bytes = 0;
	struct json_in in = {0};
	size_t box_len;
	uint8_t *text;
	json_t *root;
	int rc;

	if (len < DERP_NONCE_BYTES + DERP_TAG_BYTES)
		return refuse(why, "too short");
	box_len = len - DERP_NONCE_BYTES;
	text = malloc(box_len);
	if (!text)
		return refuse(why, "no memory");
	rc = crypto_box_open_easy(text, body + DERP_NONCE_BYTES, box_len, body, server->bytes,
				  keys->private_key.bytes);
	root = rc ? NULL : json_in_parse(&in, (char *)text, box_len - DERP_TAG_BYTES);
	free(text);
	if (rc)
		return refuse(why, "the relay did not prove that it has its key");
	if (root && !json_is_object(root))
		json_in_fail(&in, "it", "an object");
	json_in_i64(&in, root, "TokenBucketBytesPerSecond", 0, LIMIT_MAX, &bytes_per_s);
	json_in_i64(&in, root, "TokenBucketBytesBurst", 0, LIMIT_MAX, &burst_bytes);
	json_decref(root);
	if (json_in_failed(&in)) {
		snprintf(why, DERP_HELLO_WHY_MAX, "ServerInfo: %.140s", in.error);
		return -EBADMSG;
	}
	*out = (struct derp_server_info){.bytes_per_s = (uint64_t)bytes_per_s,
					 .burst_bytes = (uint64_t)burst_bytes};
	return 0;
}
