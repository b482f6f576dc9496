/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_tls.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define META_PREFIX "derpkey"
#define META_LEN    (sizeof(META_PREFIX) - 1 + KEY_HEX_LEN)
#define SHA256_LEN  32

static bool is_pinned(const struct derp_target *t)
{
	return strncmp(t->cert, DERP_TARGET_PIN, strlen(DERP_TARGET_PIN)) == 0;
}

static bool is_literal(const char *host)
{
	struct ip_addr a;

	return addr_parse(host, &a) == 0;
}

SSL *derp_tls_new(SSL_CTX *tls, const struct derp_target *t)
{
	const char *want = *t->cert ? t->cert : t->host;
	SSL *ssl = SSL_new(tls);
	bool ok = ssl;

	/* Addresses are not sent: RFC 6066, section 3. */
	if (ok && !is_literal(t->host))
		ok = SSL_set_tlsext_host_name(ssl, t->host) == 1;
	if (ok && (is_pinned(t) || t->is_insecure)) {
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	} else if (ok && is_literal(want)) {
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), want) == 1;
	} else if (ok) {
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
					       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ok = SSL_set1_host(ssl, want) == 1;
	}
	if (!ok) {
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

/* The common name as text; false: none, or longer than a meta certificate's. */
static bool common_name(const X509 *cert, char out[META_LEN + 1])
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	const ASN1_STRING *s =
		at < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
	int len = s ? ASN1_STRING_length(s) : -1;

	if (len < 0 || (size_t)len > META_LEN)
		return false;
	memcpy(out, ASN1_STRING_get0_data(s), (size_t)len);
	out[len] = 0;
	return strlen(out) == (size_t)len;
}

static bool is_meta(const X509 *cert)
{
	char name[META_LEN + 1];

	return common_name(cert, name) && strncmp(name, META_PREFIX, sizeof(META_PREFIX) - 1) == 0;
}

static int refuse(char why[DERP_TLS_WHY_MAX], const char *what)
{
	snprintf(why, DERP_TLS_WHY_MAX, "TLS: %s", what);
	return -EPROTO;
}

static int check_one(X509 *cert, const struct derp_target *t, char why[DERP_TLS_WHY_MAX])
{
	uint8_t hash[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];
	unsigned len = sizeof(hash);

	if (X509_digest(cert, EVP_sha256(), hash, &len) != 1 || len != sizeof(hash))
		return refuse(why, "the certificate cannot be hashed");
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
	if (strcmp(hex, t->cert + strlen(DERP_TARGET_PIN)) != 0) {
		snprintf(why, DERP_TLS_WHY_MAX,
			 "TLS: the certificate is not the pinned one, but %s%s", DERP_TARGET_PIN,
			 hex);
		return -EPROTO;
	}
	if (!is_literal(t->host) &&
	    X509_check_host(cert, t->host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
		return refuse(why, "the pinned certificate is not for the relay's name");
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return refuse(why, "the pinned certificate has expired");
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
		return refuse(why, "the pinned certificate is not valid yet: is the clock right?");
	return 0;
}

int derp_tls_check(const SSL *ssl, const struct derp_target *t, char why[DERP_TLS_WHY_MAX])
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	X509 *found = NULL;

	/* A pin is a promise, also where certificates are not looked at otherwise. */
	if (!is_pinned(t))
		return 0;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *cert = sk_X509_value(chain, i);

		if (is_meta(cert))
			continue;
		if (found)
			return refuse(why, "more certificates than the pinned one");
		found = cert;
	}
	/* What proved that it has the key is the first of the chain. */
	if (!found || found != sk_X509_value(chain, 0))
		return refuse(why, "the pinned certificate was not shown");
	return check_one(found, t, why);
}

bool derp_tls_server_key(const SSL *ssl, struct key *out)
{
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	char name[META_LEN + 1];

	if (SSL_version(ssl) < TLS1_3_VERSION)
		return false;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		const X509 *cert = sk_X509_value(chain, i);
		const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);

		/* The serial number is the version of the protocol, which is above 0. */
		if (common_name(cert, name) &&
		    strncmp(name, META_PREFIX, sizeof(META_PREFIX) - 1) == 0 &&
		    key_parse_hex(name + sizeof(META_PREFIX) - 1, out) == 0 && !key_is_zero(out) &&
		    ASN1_STRING_length(serial) == 1 && ASN1_STRING_get0_data(serial)[0])
			return true;
	}
	return false;
}
