/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/noise/wg_cookie.h"

#include "controlplane/noise/blake2s.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <sodium.h>

#define COOKIE_LIFETIME_NS (WG_COOKIE_LIFETIME_S * NS_PER_SEC)
#define MACS_BYTES	   (2 * WG_MAC_BYTES)
#define SOURCE_BYTES_MAX   18 /* IPv6 address and port */

static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == WG_XNONCE_BYTES, "XChaCha nonce");
static_assert(offsetof(struct wg_msg_initiation, sender) ==
		      offsetof(struct wg_msg_response, sender),
	      "a cookie reply finds the sender index in both at one place");

static size_t mac1_at(size_t len)
{
	BUG_ON(len != sizeof(struct wg_msg_initiation) && len != sizeof(struct wg_msg_response));
	return len - MACS_BYTES;
}

void wg_cookie_macs(struct wg_cookie_jar *jar, const struct wg_remote *remote, void *msg,
		    size_t len, uint64_t now_ns)
{
	uint8_t *mac1 = (uint8_t *)msg + mac1_at(len);
	uint8_t *mac2 = mac1 + WG_MAC_BYTES;

	blake2s_keyed(mac1, WG_MAC_BYTES, remote->mac1_key, WG_KEY_BYTES, msg, mac1_at(len));
	memcpy(jar->last_mac1, mac1, WG_MAC_BYTES);
	jar->has_last_mac1 = true;
	if (jar->has_cookie && now_ns - jar->cookie_born_ns >= COOKIE_LIFETIME_NS) {
		sodium_memzero(jar->cookie, sizeof(jar->cookie));
		jar->has_cookie = false;
	}
	if (jar->has_cookie)
		blake2s_keyed(mac2, WG_MAC_BYTES, jar->cookie, WG_COOKIE_BYTES, msg,
			      mac1_at(len) + WG_MAC_BYTES);
	else
		memset(mac2, 0, WG_MAC_BYTES);
}

bool wg_cookie_mac1_verify(const struct wg_identity *id, const void *msg, size_t len)
{
	uint8_t mac1[WG_MAC_BYTES];

	blake2s_keyed(mac1, sizeof(mac1), id->mac1_key, WG_KEY_BYTES, msg, mac1_at(len));
	return sodium_memcmp(mac1, (const uint8_t *)msg + mac1_at(len), sizeof(mac1)) == 0;
}

/* MAC(secret, address || port), both in network order. */
static void cookie_of(uint8_t *cookie, const struct wg_cookie_checker *checker,
		      const struct endpoint *source)
{
	uint8_t bytes[SOURCE_BYTES_MAX];
	size_t n = source->addr.family == AF_INET ? 4 : 16;

	memcpy(bytes, source->addr.bytes, n);
	bytes[n++] = (uint8_t)(source->port >> 8);
	bytes[n++] = (uint8_t)source->port;
	blake2s_keyed(cookie, WG_COOKIE_BYTES, checker->secret, WG_KEY_BYTES, bytes, n);
}

static bool is_secret_fresh(const struct wg_cookie_checker *checker, uint64_t now_ns)
{
	return checker->has_secret && now_ns - checker->secret_born_ns < COOKIE_LIFETIME_NS;
}

bool wg_cookie_mac2_verify(const struct wg_cookie_checker *checker, const void *msg, size_t len,
			   const struct endpoint *source, uint64_t now_ns)
{
	uint8_t cookie[WG_COOKIE_BYTES];
	uint8_t mac2[WG_MAC_BYTES];
	size_t covered = mac1_at(len) + WG_MAC_BYTES;

	if (!is_secret_fresh(checker, now_ns))
		return false;
	cookie_of(cookie, checker, source);
	blake2s_keyed(mac2, sizeof(mac2), cookie, sizeof(cookie), msg, covered);
	sodium_memzero(cookie, sizeof(cookie));
	return sodium_memcmp(mac2, (const uint8_t *)msg + covered, sizeof(mac2)) == 0;
}

void wg_cookie_reply(struct wg_cookie_checker *checker, const struct wg_identity *id,
		     const struct wg_random *random, const void *msg, size_t len,
		     const struct endpoint *source, uint64_t now_ns, struct wg_msg_cookie *reply)
{
	const uint8_t *mac1 = (const uint8_t *)msg + mac1_at(len);
	uint8_t cookie[WG_COOKIE_BYTES];

	if (!is_secret_fresh(checker, now_ns)) {
		random->fill(random->ctx, checker->secret, sizeof(checker->secret));
		checker->secret_born_ns = now_ns;
		checker->has_secret = true;
	}
	cookie_of(cookie, checker, source);
	le32_put(&reply->type, WG_MSG_COOKIE);
	memcpy(&reply->receiver, (const uint8_t *)msg + offsetof(struct wg_msg_initiation, sender),
	       sizeof(reply->receiver));
	random->fill(random->ctx, reply->nonce, sizeof(reply->nonce));
	crypto_aead_xchacha20poly1305_ietf_encrypt(reply->enc_cookie, NULL, cookie, sizeof(cookie),
						   mac1, WG_MAC_BYTES, NULL, reply->nonce,
						   id->cookie_key);
	sodium_memzero(cookie, sizeof(cookie));
}

int wg_cookie_consume(struct wg_cookie_jar *jar, const struct wg_remote *remote,
		      const struct wg_msg_cookie *reply, uint64_t now_ns)
{
	uint8_t cookie[WG_COOKIE_BYTES];

	if (!jar->has_last_mac1)
		return -ENOENT;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
		    cookie, NULL, NULL, reply->enc_cookie, sizeof(reply->enc_cookie),
		    jar->last_mac1, WG_MAC_BYTES, reply->nonce, remote->cookie_key) != 0)
		return -EBADMSG;
	memcpy(jar->cookie, cookie, sizeof(cookie));
	jar->cookie_born_ns = now_ns;
	jar->has_cookie = true;
	jar->has_last_mac1 = false; /* a message is answered with one cookie: no replays */
	sodium_memzero(cookie, sizeof(cookie));
	return 0;
}
