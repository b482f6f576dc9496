/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secrets of a node in a mesh, on disk: machine key (who this machine is, for
 * ever), node key (its WireGuard key, until it is rotated), Tailnet Lock's signing
 * seed. JSON, mode 0600, replaced as one step. Blocking; small.
 */
#ifndef CONTROLPLANE_CONTROL_CONTROL_KEYS_H
#define CONTROLPLANE_CONTROL_CONTROL_KEYS_H

#include "controlplane/control/control.h"

#define CONTROL_SEED_BYTES 32

struct control_secrets {
	struct key machine_private;
	struct key node_private; /* zeros: not registered */
	uint8_t lock_seed[CONTROL_SEED_BYTES];
};

/*
 * Reads the file; makes and writes new secrets where there is none. 0, or a
 * negative errno (-EBADMSG: it does not read; it is left alone) with a sentence in
 * in->error.
 */
int control_secrets_open(const char *path, const struct wg_random *random,
			 struct control_secrets *out, struct json_in *in);
/* 0, or a negative errno; the file is as it was then. */
int control_secrets_write(const char *path, const struct control_secrets *s);
/* The public halves, as the engine wants them. */
void control_secrets_keys(const struct control_secrets *s, struct control_keys *out);
void control_secrets_wipe(struct control_secrets *s);

#endif
