/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a relay of the map to a stream on which HTTP can be spoken:
 *
 *   no proxy:  IPv4 and IPv6 at once, 1.5 s, the first that connects ---+--> TLS --> on_ready
 *   a proxy:   connected --> CONNECT host:port --> 2xx ------------------+
 *
 * The owner limits the time of the whole. The loop's thread only.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_DIAL_H
#define CONTROLPLANE_DERP_CLIENT_DERP_DIAL_H

#include "controlplane/derp_client/derp_target.h"
#include "controlplane/net/net_stream.h"
#include "lib/base/key.h"

#define DERP_DIAL_WHY_MAX    256
#define DERP_DIAL_WHOLE_MS   10000 /* for owners: TCP, TLS and what they say first */
#define DERP_DIAL_CONNECT_MS 1500  /* of one relay, by name or address */

struct derp_dial;

/* What all dials of an owner have in common. */
struct derp_dial_env {
	uv_loop_t *loop;
	SSL_CTX *tls;			/* not NULL where targets are not plain */
	char *(*env)(const char *name); /* for proxies; NULL: none */
};

struct derp_dial_events {
	/*
	 * The stream is the receiver's, which sets its events before it returns. server_key: what
	 * the meta certificate says; NULL: not known.
	 */
	void (*on_ready)(void *arg, struct net_stream *s, const struct key *server_key);
	/* why: a sentence, printable. */
	void (*on_failed)(void *arg, const char *why);
};

/*
 * Copies the target. Nothing is told from inside; the dial is gone with either event, or with
 * derp_dial_cancel. 0, or a negative errno with a sentence in why.
 */
int derp_dial_start(const struct derp_dial_env *env, const struct derp_target *target,
		    const struct derp_dial_events *ev, void *arg, struct derp_dial **out,
		    char why[DERP_DIAL_WHY_MAX]);
/* NULL is fine. */
void derp_dial_cancel(struct derp_dial *d);

#endif
