/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this relay is: its DERP key (STATE/derp.key, made once), its TLS certificate, and
 * the meta certificate behind it in the chain that tells clients the key, so that they
 * need not wait for ServerKey (docs/protocol/derp.md). At start and at reload; the key
 * is wiped by identity_fini.
 */
#ifndef CONTROLPLANE_DERP_IDENTITY_H
#define CONTROLPLANE_DERP_IDENTITY_H

#include <openssl/ssl.h>

#include "lib/base/key.h"

#define IDENTITY_ERROR_MAX 256

struct identity {
	struct key private_key, public_key;
	char certificate_pin[65]; /* SHA-256 of the leaf, hexadecimal; empty without TLS */
};

/* Reads the key, or makes it. 0, or a negative errno with a sentence in err. */
int identity_load(struct identity *id, const char *state_dir, char err[IDENTITY_ERROR_MAX]);
/* Makes STATE/derp.crt and STATE/derp.key.pem for the host (a name or an address), once. */
int identity_self_sign(const char *state_dir, const char *host, char err[IDENTITY_ERROR_MAX]);
/*
 * A TLS context with the certificate of these PEM files and the meta certificate, and the
 * pin. The caller frees it. NULL with a sentence in err.
 */
SSL_CTX *identity_tls(struct identity *id, const char *cert_file, const char *key_file,
		      char err[IDENTITY_ERROR_MAX]);
void identity_fini(struct identity *id);

#endif
