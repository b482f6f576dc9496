/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/hello.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <string.h>

static int read_mesh_key(const json_t *v, const struct key *mesh_key, bool *is_mesh)
{
	struct key k;

	if (!json_is_string(v) || json_string_length(v) != KEY_HEX_LEN ||
	    key_parse_hex(json_string_value(v), &k))
		return -EBADMSG;
	*is_mesh = mesh_key && !key_is_zero(&k) && key_equal(&k, mesh_key);
	key_wipe(&k);
	return 0;
}

static int read_info(const char *text, size_t len, const struct key *mesh_key, struct hello *out)
{
	json_t *root = json_loadb(text, len, 0, NULL), *v;
	int rc = json_is_object(root) ? 0 : -EBADMSG;

	v = json_object_get(root, "meshKey");
	if (!rc && v)
		rc = read_mesh_key(v, mesh_key, &out->is_mesh);
	v = json_object_get(root, "version");
	if (v && !json_is_integer(v))
		rc = -EBADMSG;
	v = json_object_get(root, "CanAckPings");
	if (v && !json_is_boolean(v))
		rc = -EBADMSG;
	v = json_object_get(root, "IsProber");
	if (v && !json_is_boolean(v))
		rc = -EBADMSG;
	out->is_prober = json_is_true(v);
	v = json_object_get(root, "AppName");
	if (v && (!json_is_string(v) ||
		  (json_string_length(v) &&
		   !derp_app_name_ok(json_string_value(v), json_string_length(v)))))
		rc = -EBADMSG;
	json_decref(root);
	return rc;
}

int hello_open(const struct identity *id, const struct key *mesh_key, const uint8_t *body,
	       size_t len, struct hello *out)
{
	const uint8_t *nonce = body + DERP_KEY_BYTES, *box = nonce + DERP_NONCE_BYTES;
	uint8_t text[HELLO_CLIENT_INFO_MAX];
	struct hello h = {0};
	size_t box_len = len - DERP_KEY_BYTES - DERP_NONCE_BYTES;
	int rc;

	if (len < DERP_KEY_BYTES + DERP_NONCE_BYTES + DERP_TAG_BYTES || len > HELLO_CLIENT_INFO_MAX)
		return -EBADMSG;
	memcpy(h.key, body, DERP_KEY_BYTES);
	if (crypto_box_open_easy(text, box, box_len, nonce, h.key, id->private_key.bytes))
		return -EBADMSG;
	rc = read_info((char *)text, box_len - DERP_TAG_BYTES, mesh_key, &h);
	/* The mesh key may stand in it. */
	sodium_memzero(text, box_len);
	if (!rc)
		*out = h;
	return rc;
}

size_t hello_answer(const struct identity *id, const uint8_t client_key[DERP_KEY_BYTES],
		    uint8_t out[HELLO_SERVER_INFO_MAX])
{
	static const char info[] = "{\"version\":2}";
	size_t len = DERP_NONCE_BYTES + DERP_TAG_BYTES + sizeof(info) - 1;
	uint8_t *nonce = out + DERP_HEADER_BYTES;

	derp_header_put(out, DERP_SERVER_INFO, (uint32_t)len);
	randombytes_buf(nonce, DERP_NONCE_BYTES);
	if (crypto_box_easy(nonce + DERP_NONCE_BYTES, (const uint8_t *)info, sizeof(info) - 1,
			    nonce, client_key, id->private_key.bytes))
		return 0;
	return DERP_HEADER_BYTES + len;
}
