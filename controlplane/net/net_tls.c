/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/net/net_tls.h"

#include <openssl/err.h>
#include <stdio.h>

void net_tls_error(char *out, size_t room)
{
	unsigned long code = ERR_get_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	snprintf(out, room, "%s", reason ? reason : "unknown TLS error");
	ERR_clear_error();
}

static SSL_CTX *context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* A quiet connection keeps no buffers. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

static SSL_CTX *refuse(SSL_CTX *ctx, const char *what, const char *file,
		       char err[NET_TLS_ERROR_MAX])
{
	char reason[96];

	net_tls_error(reason, sizeof(reason));
	snprintf(err, NET_TLS_ERROR_MAX, "%s %.120s: %s", what, file, reason);
	SSL_CTX_free(ctx);
	return NULL;
}

SSL_CTX *net_tls_client(const char *ca_file, char err[NET_TLS_ERROR_MAX])
{
	SSL_CTX *ctx = context(TLS_client_method());
	int ok;

	if (!ctx)
		return refuse(NULL, "TLS", "client", err);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	ok = ca_file ? SSL_CTX_load_verify_file(ctx, ca_file)
		     : SSL_CTX_set_default_verify_paths(ctx);
	return ok == 1 ? ctx
		       : refuse(ctx, "certificates of", ca_file ? ca_file : "the system", err);
}

SSL_CTX *net_tls_server(const char *cert_file, const char *key_file, char err[NET_TLS_ERROR_MAX])
{
	SSL_CTX *ctx = context(TLS_server_method());

	if (!ctx)
		return refuse(NULL, "TLS", "server", err);
	if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
		return refuse(ctx, "certificate", cert_file, err);
	if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1)
		return refuse(ctx, "key", key_file, err);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refuse(ctx, "this key is not the certificate's:", key_file, err);
	/* Sessions would be state of ours; a resumption by ticket is none. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}
