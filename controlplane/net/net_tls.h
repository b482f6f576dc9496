/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts of the control programs: version 1.2 or later, no renegotiation, no
 * compression. The caller frees them with SSL_CTX_free. Any thread.
 */
#ifndef CONTROLPLANE_NET_NET_TLS_H
#define CONTROLPLANE_NET_NET_TLS_H

#include <openssl/ssl.h>
#include <stddef.h>

#define NET_TLS_ERROR_MAX 256

/* ca_file: PEM; NULL: the system's. NULL with a sentence in err. */
SSL_CTX *net_tls_client(const char *ca_file, char err[NET_TLS_ERROR_MAX]);
/* PEM files: a chain, and its key. NULL with a sentence in err. */
SSL_CTX *net_tls_server(const char *cert_file, const char *key_file, char err[NET_TLS_ERROR_MAX]);
/* The oldest error of this thread as text; clears them all. */
void net_tls_error(char *out, size_t room);

#endif
