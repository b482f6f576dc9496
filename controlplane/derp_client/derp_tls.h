/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS to a relay: which names are sent and expected, the check of a pinned certificate, and the
 * relay's key out of its meta certificate (docs/protocol/derp.md, "Way in"). Any thread, one
 * connection at a time.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_TLS_H
#define CONTROLPLANE_DERP_CLIENT_DERP_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "controlplane/derp_client/derp_target.h"
#include "lib/base/key.h"

#define DERP_TLS_WHY_MAX 160

/* A client's SSL of this context for this relay; the caller's. NULL: no memory. */
SSL *derp_tls_new(SSL_CTX *tls, const struct derp_target *t);
/*
 * After the handshake, before a byte is written: the certificate is the pinned one, where one is
 * pinned. Else the handshake has checked it. 0, or -EPROTO with a sentence.
 */
int derp_tls_check(const SSL *ssl, const struct derp_target *t, char why[DERP_TLS_WHY_MAX]);
/*
 * The relay's key, where TLS 1.3 (under which nobody else sees it) and a meta certificate tell.
 * It is not authentic where the certificate is not looked at; ClientInfo is sealed to it.
 */
bool derp_tls_server_key(const SSL *ssl, struct key *out);

#endif
