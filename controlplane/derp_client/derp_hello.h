/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two boxes of a DERP handshake, as the client sees them: ClientInfo out, which proves who we
 * are, ServerInfo in. Pure; any thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_HELLO_H
#define CONTROLPLANE_DERP_CLIENT_DERP_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "controlplane/noise/wg_env.h"
#include "lib/base/key.h"

#define DERP_HELLO_MAX	   256 /* a whole ClientInfo frame */
#define DERP_HELLO_WHY_MAX 160

struct derp_hello_keys {
	struct key private_key, public_key; /* of the node */
};

/* What the relay grants; 0: no limit. */
struct derp_server_info {
	uint64_t bytes_per_s, burst_bytes;
};

/* Writes the frame and returns its bytes; 0: `server` is no key. */
size_t derp_hello_put(const struct derp_hello_keys *keys, const struct key *server,
		      const struct wg_random *random, uint8_t out[DERP_HELLO_MAX]);
/* Body of a ServerInfo. 0, or -EBADMSG with a sentence. */
int derp_hello_get(const struct derp_hello_keys *keys, const struct key *server,
		   const uint8_t *body, size_t len, struct derp_server_info *out,
		   char why[DERP_HELLO_WHY_MAX]);

#endif
