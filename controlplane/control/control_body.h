/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies that a node sends to its coordinator, and what it reads of the answer
 * to a registration (docs/protocol/control.md, "Register" and "MapRequest"). Pure.
 */
#ifndef CONTROLPLANE_CONTROL_CONTROL_BODY_H
#define CONTROLPLANE_CONTROL_CONTROL_BODY_H

#include "controlplane/tailcfg/json_in.h"

#define CONTROL_VERSION	 142 /* capability version: what this node understands */
#define CONTROL_URL_MAX	 1024
#define CONTROL_TEXT_MAX 256

/* Why a node knows an endpoint of its own (tailcfg EndpointType). */
enum control_endpoint_type {
	CONTROL_ENDPOINT_UNKNOWN = 0,
	CONTROL_ENDPOINT_LOCAL = 1,
	CONTROL_ENDPOINT_STUN = 2,
	CONTROL_ENDPOINT_PORTMAPPED = 3,
	CONTROL_ENDPOINT_STUN_LOCAL_PORT = 4,
	CONTROL_ENDPOINT_EXPLICIT = 5,
};

struct control_endpoint {
	struct endpoint endpoint;
	enum control_endpoint_type type;
};

struct control_register {
	const struct key *node_key, *old_node_key; /* old: NULL or zeros = none */
	const uint8_t *lock_key;		   /* 32 bytes, Ed25519 public: Tailnet Lock */
	const char *auth_key;			   /* NULL: none */
	const char *followup;			   /* NULL: none; the URL that waits for its user */
	const json_t *hostinfo;
	bool is_ephemeral;
	bool is_logout; /* an Expiry in 1970 */
};

struct control_map {
	const struct key *node_key, *disco_key;
	const json_t *hostinfo;
	const struct control_endpoint *endpoints;
	uint32_t endpoint_count;
	bool is_stream; /* else: tell, and ask for nothing */
};

/* JSON text, malloc'd; NULL: no memory. */
char *control_register_body(const struct control_register *r);
char *control_map_body(const struct control_map *m);

struct control_registered {
	char error[CONTROL_TEXT_MAX];
	char auth_url[CONTROL_URL_MAX];
	char login_name[CONTROL_TEXT_MAX];
	int64_t user_id;
	bool is_key_expired;
	bool wants_signature; /* Tailnet Lock: sign this for a new key */
};

/* False with in->error filled: no such answer. */
bool control_registered_parse(const char *text, size_t len, struct control_registered *out,
			      struct json_in *in);

#endif
