/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two boxes of a DERP handshake, as the server sees them: ClientInfo in, ServerInfo
 * out. Pure; any thread.
 */
#ifndef CONTROLPLANE_DERP_HELLO_H
#define CONTROLPLANE_DERP_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/derp/identity.h"
#include "lib/wire/derp_frame.h"

/* Of a ClientInfo; the protocol allows more, no client sends it. */
#define HELLO_CLIENT_INFO_MAX 8192
#define HELLO_SERVER_INFO_MAX 128 /* a whole frame */

struct hello {
	uint8_t key[DERP_KEY_BYTES];
	bool is_mesh; /* it knows the mesh key */
	bool is_prober;
};

/* mesh_key NULL: there is none. 0, or -EBADMSG (the connection ends). */
int hello_open(const struct identity *id, const struct key *mesh_key, const uint8_t *body,
	       size_t len, struct hello *out);
/* Writes a ServerInfo frame for this client and returns its bytes, 0 for a bad key. */
size_t hello_answer(const struct identity *id, const uint8_t client_key[DERP_KEY_BYTES],
		    uint8_t out[HELLO_SERVER_INFO_MAX]);

#endif
