/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/control/control_body.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"

#define LOCK_KEY_TEXT "nlpub:"
/* A time that has passed for certain: the key shall be forgotten. */
#define LOGOUT_NS (123ll * 1000000000)

static json_t *key_json(const struct key *k, const char *prefix)
{
	static const struct key none;
	char text[KEY_TEXT_MAX];

	return json_string(key_text_print(k ? k : &none, prefix, text));
}

static char *dump(json_t *root)
{
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

	json_decref(root);
	return text;
}

static json_t *lock_key_json(const uint8_t *key)
{
	struct key k;

	memcpy(k.bytes, key, sizeof(k.bytes));
	return key_json(&k, LOCK_KEY_TEXT);
}

char *control_register_body(const struct control_register *r)
{
	char time[TIME_TEXT_MAX];
	json_t *root = json_pack(
		"{s:i, s:o, s:o, s:o, s:s, s:s, s:O, s:n}", "Version", CONTROL_VERSION, "NodeKey",
		key_json(r->node_key, KEY_TEXT_NODE), "OldNodeKey",
		key_json(r->old_node_key, KEY_TEXT_NODE), "NLKey", lock_key_json(r->lock_key),
		"Expiry", time_text_print(r->is_logout ? LOGOUT_NS : 0, time), "Followup",
		r->followup ? r->followup : "", "Hostinfo", r->hostinfo, "NodeKeySignature");

	if (root && r->auth_key)
		json_object_set_new(root, "Auth", json_pack("{s:s}", "AuthKey", r->auth_key));
	if (root && r->is_ephemeral)
		json_object_set_new(root, "Ephemeral", json_true());
	return dump(root);
}

static void add_endpoints(json_t *root, const struct control_map *m)
{
	json_t *endpoints = json_array(), *types = json_array();
	char text[ENDPOINT_STR_MAX];

	for (uint32_t i = 0; i < m->endpoint_count; i++) {
		json_array_append_new(endpoints,
				      json_string(endpoint_print(&m->endpoints[i].endpoint, text)));
		json_array_append_new(types, json_integer(m->endpoints[i].type));
	}
	json_object_set_new(root, "Endpoints", endpoints);
	json_object_set_new(root, "EndpointTypes", types);
}

char *control_map_body(const struct control_map *m)
{
	json_t *root = json_pack("{s:i, s:s, s:b, s:o, s:o, s:O}", "Version", CONTROL_VERSION,
				 "Compress", "zstd", "KeepAlive", 1, "NodeKey",
				 key_json(m->node_key, KEY_TEXT_NODE), "DiscoKey",
				 key_json(m->disco_key, KEY_TEXT_DISCO), "Hostinfo", m->hostinfo);

	if (!root)
		return NULL;
	json_object_set_new(root, m->is_stream ? "Stream" : "OmitPeers", json_true());
	if (m->endpoint_count)
		add_endpoints(root, m);
	return dump(root);
}

/* A text that does not fit is an error: half a URL leads nowhere. */
static void take(struct json_in *in, const json_t *object, const char *key, char *out, size_t room)
{
	const char *text;

	if (!json_in_string(in, object, key, &text))
		return;
	if ((size_t)snprintf(out, room, "%s", text) >= room)
		json_in_fail(in, key, "a shorter text");
}

/* Shown to people: cut at the end of its room, no line breaks. */
static void take_sentence(struct json_in *in, const json_t *object, const char *key, char *out,
			  size_t room)
{
	const char *text;

	if (!json_in_string(in, object, key, &text))
		return;
	snprintf(out, room, "%.*s", (int)(room - 1), text);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
}

bool control_registered_parse(const char *text, size_t len, struct control_registered *out,
			      struct json_in *in)
{
	json_t *root = json_in_parse(in, text, len);
	const char *signature = "";

	memset(out, 0, sizeof(*out));
	if (!root)
		return false;
	if (!json_is_object(root))
		json_in_fail(in, "answer", "an object");
	take_sentence(in, root, "Error", out->error, sizeof(out->error));
	take(in, root, "AuthURL", out->auth_url, sizeof(out->auth_url));
	take_sentence(in, json_in_object(in, root, "Login"), "LoginName", out->login_name,
		      sizeof(out->login_name));
	json_in_i64(in, json_in_object(in, root, "User"), "ID", INT64_MIN, INT64_MAX,
		    &out->user_id);
	json_in_bool(in, root, "NodeKeyExpired", &out->is_key_expired);
	json_in_string(in, root, "NodeKeySignature", &signature);
	out->wants_signature = signature[0] != 0;
	json_decref(root);
	return !json_in_failed(in);
}
