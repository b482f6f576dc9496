/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/control/control_keys.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"
#include "lib/base/fileio.h"

#define FILE_MAX  16384
#define LOCK_TEXT "nlseed:"

static void clamp(struct key *k)
{
	k->bytes[0] &= 248;
	k->bytes[31] = (uint8_t)((k->bytes[31] & 127) | 64);
}

static void read_members(const json_t *root, struct control_secrets *out, struct json_in *in)
{
	struct key seed;

	if (!json_in_key(in, root, "MachineKey", KEY_TEXT_PRIVATE, &out->machine_private) ||
	    key_is_zero(&out->machine_private))
		json_in_fail(in, "MachineKey", "a private key");
	json_in_key(in, root, "NodeKey", KEY_TEXT_PRIVATE, &out->node_private);
	if (json_in_key(in, root, "LockSeed", LOCK_TEXT, &seed))
		memcpy(out->lock_seed, seed.bytes, sizeof(out->lock_seed));
	else
		json_in_fail(in, "LockSeed", "a seed");
	key_wipe(&seed);
}

int control_secrets_open(const char *path, const struct wg_random *random,
			 struct control_secrets *out, struct json_in *in)
{
	json_t *root;
	char *text;
	size_t len;
	int rc = file_read_all(path, FILE_MAX, &text, &len);

	in->error[0] = 0;
	memset(out, 0, sizeof(*out));
	if (rc == -ENOENT) {
		random->fill(random->ctx, out->machine_private.bytes, KEY_BYTES);
		random->fill(random->ctx, out->lock_seed, sizeof(out->lock_seed));
		clamp(&out->machine_private);
		rc = control_secrets_write(path, out);
	}
	if (rc == 0 && !key_is_zero(&out->machine_private))
		return 0;
	if (rc) {
		snprintf(in->error, sizeof(in->error), "%s", strerror(-rc));
		return rc;
	}
	root = json_in_parse(in, text, len);
	sodium_memzero(text, len);
	free(text);
	if (root)
		read_members(root, out, in);
	json_decref(root);
	return json_in_failed(in) ? -EBADMSG : 0;
}

int control_secrets_write(const char *path, const struct control_secrets *s)
{
	char machine[KEY_TEXT_MAX], node[KEY_TEXT_MAX], seed[KEY_TEXT_MAX], text[FILE_MAX];
	struct key k;
	int n, rc;

	memcpy(k.bytes, s->lock_seed, sizeof(k.bytes));
	n = snprintf(
		text, sizeof(text),
		"{\n\t\"MachineKey\": \"%s\",\n\t\"NodeKey\": \"%s\",\n\t\"LockSeed\": \"%s\"\n}\n",
		key_text_print(&s->machine_private, KEY_TEXT_PRIVATE, machine),
		key_text_print(&s->node_private, KEY_TEXT_PRIVATE, node),
		key_text_print(&k, LOCK_TEXT, seed));
	rc = file_write_atomic(path, text, (size_t)n, 0600);
	sodium_memzero(text, sizeof(text));
	sodium_memzero(machine, sizeof(machine));
	sodium_memzero(node, sizeof(node));
	sodium_memzero(seed, sizeof(seed));
	key_wipe(&k);
	return rc;
}

void control_secrets_keys(const struct control_secrets *s, struct control_keys *out)
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	memset(out, 0, sizeof(*out));
	crypto_sign_seed_keypair(out->lock_public, secret, s->lock_seed);
	sodium_memzero(secret, sizeof(secret));
	if (key_is_zero(&s->node_private))
		return;
	out->node_private = s->node_private;
	crypto_scalarmult_base(out->node_public.bytes, s->node_private.bytes);
}

void control_secrets_wipe(struct control_secrets *s)
{
	sodium_memzero(s, sizeof(*s));
}
