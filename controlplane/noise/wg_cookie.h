/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mac1, mac2 and cookie replies (docs/protocol/wireguard.md, "Cookies"). mac1
 * proves that the sender knows our public key; it is checked first, always. mac2
 * proves, to a responder under load, that the sender receives at the address it
 * sends from.
 *
 *   initiator                                responder under load
 *   handshake message, mac1, mac2 = 0  ->    wg_cookie_mac1_verify: yes
 *                                            wg_cookie_mac2_verify: no
 *                                      <-    wg_cookie_reply
 *   wg_cookie_consume: holds it 120 s
 *   next message, wg_cookie_macs: mac2 ->    wg_cookie_mac2_verify: yes
 *
 * The checker is one a node, the jar one a peer; each belongs to one thread.
 */
#ifndef CONTROLPLANE_NOISE_WG_COOKIE_H
#define CONTROLPLANE_NOISE_WG_COOKIE_H

#include "controlplane/noise/wg_env.h"
#include "controlplane/noise/wg_handshake.h"
#include "lib/base/addr.h"

/* Responder: the secret from which the cookies of all sources are made. */
struct wg_cookie_checker {
	uint8_t secret[WG_KEY_BYTES];
	uint64_t secret_born_ns;
	bool has_secret;
};

/* Initiator: the cookie of one peer, and the mac1 that opens the next one. */
struct wg_cookie_jar {
	uint8_t cookie[WG_COOKIE_BYTES];
	uint64_t cookie_born_ns;
	bool has_cookie;
	uint8_t last_mac1[WG_MAC_BYTES];
	bool has_last_mac1;
};

/*
 * msg is a handshake message of len bytes, its last 32 being mac1 and mac2. Sets
 * both (mac2 zero without a cookie younger than 120 s) and remembers mac1.
 */
void wg_cookie_macs(struct wg_cookie_jar *jar, const struct wg_remote *remote, void *msg,
		    size_t len, uint64_t now_ns);
bool wg_cookie_mac1_verify(const struct wg_identity *id, const void *msg, size_t len);

/* False also when the secret is too old: the sender then gets a new cookie. */
bool wg_cookie_mac2_verify(const struct wg_cookie_checker *checker, const void *msg, size_t len,
			   const struct endpoint *source, uint64_t now_ns);
/* Answers the handshake message msg (types 1 and 2); renews the secret when it is due. */
void wg_cookie_reply(struct wg_cookie_checker *checker, const struct wg_identity *id,
		     const struct wg_random *random, const void *msg, size_t len,
		     const struct endpoint *source, uint64_t now_ns, struct wg_msg_cookie *reply);

/* The caller found the peer by reply->receiver. 0, -ENOENT: nothing asked, -EBADMSG. */
int wg_cookie_consume(struct wg_cookie_jar *jar, const struct wg_remote *remote,
		      const struct wg_msg_cookie *reply, uint64_t now_ns);

#endif
