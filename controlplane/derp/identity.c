/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/identity.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/net/net_tls.h"
#include "lib/base/addr.h"
#include "lib/base/fileio.h"
#include "lib/base/hujson.h"
#include "lib/wire/derp_frame.h"

#define DAY_SECONDS	 (24L * 3600)
#define META_DAYS	 30
#define SELF_SIGNED_DAYS 3650
#define KEY_PREFIX	 "privkey:"

static int fail(char err[IDENTITY_ERROR_MAX], int rc, const char *what, const char *path)
{
	snprintf(err, IDENTITY_ERROR_MAX, "%s %.150s: %s", what, path,
		 rc == -EINVAL ? "not as it should be" : strerror(-rc));
	return rc;
}

static int read_key(const char *path, struct key *out)
{
	struct hujson_error where;
	struct hujson *doc;
	const struct hujson_value *v;
	const char *text;
	int rc = access(path, F_OK) == 0 ? 0 : -errno;

	if (rc)
		return rc;
	rc = hujson_parse_file(path, &doc, &where);
	if (rc)
		return rc;
	v = hujson_get(doc->root, "PrivateKey");
	rc = v ? hujson_string(v, &text, &where) : -EINVAL;
	if (!rc && strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) == 0)
		rc = key_parse_hex(text + strlen(KEY_PREFIX), out);
	else
		rc = -EINVAL;
	if (!rc && key_is_zero(out))
		rc = -EINVAL;
	if (v && v->text)
		sodium_memzero((char *)v->text, v->text_len);
	hujson_free(doc);
	return rc;
}

static int make_key(const char *path, struct key *out)
{
	char hex[KEY_HEX_MAX], text[128];
	int n, rc;

	randombytes_buf(out->bytes, KEY_BYTES);
	out->bytes[0] &= 248;
	out->bytes[31] = (out->bytes[31] & 127) | 64;
	n = snprintf(text, sizeof(text), "{\"PrivateKey\":\"" KEY_PREFIX "%s\"}\n",
		     key_print_hex(out, hex));
	rc = file_write_atomic(path, text, (size_t)n, 0600);
	sodium_memzero(hex, sizeof(hex));
	sodium_memzero(text, sizeof(text));
	return rc;
}

int identity_load(struct identity *id, const char *state_dir, char err[IDENTITY_ERROR_MAX])
{
	char path[PATH_MAX];
	int rc;

	*id = (struct identity){0};
	snprintf(path, sizeof(path), "%s/derp.key", state_dir);
	rc = read_key(path, &id->private_key);
	if (rc == -ENOENT)
		rc = make_key(path, &id->private_key);
	if (rc)
		return fail(err, rc, "the relay's key", path);
	crypto_scalarmult_base(id->public_key.bytes, id->private_key.bytes);
	return 0;
}

void identity_fini(struct identity *id)
{
	key_wipe(&id->private_key);
}

static int add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	int ok = ext && X509_add_ext(cert, ext, -1);

	X509_EXTENSION_free(ext);
	return ok ? 0 : -EINVAL;
}

/* A certificate signed by its own key; the extensions are the caller's, then sign(). */
static X509 *certificate(EVP_PKEY *key, const char *cn, long serial, long from_days, long to_days)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	name = X509_get_subject_name(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -from_days * DAY_SECONDS);
	X509_gmtime_adj(X509_getm_notAfter(cert), to_days * DAY_SECONDS);
	/* By its ASN.1 type: MBSTRING_ would hold a CN to 64 characters, and derpkey's has 71. */
	if (!X509_NAME_add_entry_by_NID(name, NID_commonName, V_ASN1_UTF8STRING,
					(const unsigned char *)cn, -1, -1, 0) ||
	    !X509_set_issuer_name(cert, name) || !X509_set_pubkey(cert, key)) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static X509 *meta_certificate(const struct key *public_key)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	char hex[KEY_HEX_MAX], cn[7 + KEY_HEX_MAX];
	X509 *cert;

	snprintf(cn, sizeof(cn), "derpkey%s", key_print_hex(public_key, hex));
	cert = key ? certificate(key, cn, DERP_VERSION, META_DAYS, META_DAYS) : NULL;
	if (cert && (add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") ||
		     !X509_sign(cert, key, NULL))) {
		X509_free(cert);
		cert = NULL;
	}
	EVP_PKEY_free(key);
	return cert;
}

static int write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text;
	long len;
	int rc = -ENOMEM;

	if (!bio)
		return rc;
	if (cert ? PEM_write_bio_X509(bio, cert)
		 : PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
		len = BIO_get_mem_data(bio, &text);
		rc = file_write_atomic(path, text, (size_t)len, cert ? 0644 : 0600);
	}
	BIO_free(bio);
	return rc;
}

int identity_self_sign(const char *state_dir, const char *host, char err[IDENTITY_ERROR_MAX])
{
	char cert_path[PATH_MAX], key_path[PATH_MAX], san[300];
	struct ip_addr addr;
	EVP_PKEY *key;
	X509 *cert;
	int rc = -EINVAL;

	snprintf(cert_path, sizeof(cert_path), "%s/derp.crt", state_dir);
	snprintf(key_path, sizeof(key_path), "%s/derp.key.pem", state_dir);
	if (access(cert_path, F_OK) == 0 && access(key_path, F_OK) == 0)
		return 0;
	/* Names go into an extension that has a syntax of its own. */
	if (strlen(host) > 200 ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			 "0123456789.-:") != strlen(host))
		return fail(err, -EINVAL, "the host name", host);
	snprintf(san, sizeof(san), "%s:%s", addr_parse(host, &addr) ? "DNS" : "IP", host);
	key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	/* A day back: clocks differ. */
	cert = key ? certificate(key, strlen(host) < 64 ? host : "causeway-derp",
				 (long)randombytes_uniform(0x7fffffff) + 1, 1, SELF_SIGNED_DAYS)
		   : NULL;
	if (cert && !add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	    !add_extension(cert, NID_subject_alt_name, san) &&
	    !add_extension(cert, NID_ext_key_usage, "serverAuth") &&
	    X509_sign(cert, key, EVP_sha256())) {
		rc = write_pem(key_path, NULL, key);
		if (!rc)
			rc = write_pem(cert_path, cert, NULL);
	}
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc ? fail(err, rc, "the self-signed certificate", cert_path) : 0;
}

static int pin_leaf(struct identity *id, SSL_CTX *ctx)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (!X509_digest(SSL_CTX_get0_certificate(ctx), EVP_sha256(), digest, &len))
		return -EINVAL;
	sodium_bin2hex(id->certificate_pin, sizeof(id->certificate_pin), digest, len);
	return 0;
}

SSL_CTX *identity_tls(struct identity *id, const char *cert_file, const char *key_file,
		      char err[IDENTITY_ERROR_MAX])
{
	SSL_CTX *ctx = net_tls_server(cert_file, key_file, err);
	X509 *meta;

	if (!ctx)
		return NULL;
	meta = meta_certificate(&id->public_key);
	if (!meta || pin_leaf(id, ctx) || !SSL_CTX_add1_chain_cert(ctx, meta)) {
		fail(err, -EINVAL, "the meta certificate for", cert_file);
		X509_free(meta);
		SSL_CTX_free(ctx);
		return NULL;
	}
	X509_free(meta);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	/* Tickets would be written to each client and never be used by any. */
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}
