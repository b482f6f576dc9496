/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a coordinator's URL to a secured stream: the key (once), then the upgrade
 * over plain HTTP, and over TLS 500 ms later or when plain fails; the first that
 * finishes the handshake wins. Plain HTTP is not tried within two minutes of the
 * last dial: a network that swallows it would cost 500 ms each time. Inside this
 * folder only.
 */
#ifndef CONTROLPLANE_TS2021_TS2021_DIAL_H
#define CONTROLPLANE_TS2021_TS2021_DIAL_H

#include "controlplane/net/net_stream.h"
#include "controlplane/noise/noise_ik.h"
#include "controlplane/ts2021/ts2021_client.h"

#define TS2021_DIAL_MS 10000 /* whole, the key aside */

struct ts2021_dial;

struct ts2021_dial_events {
	/*
	 * The stream is the receiver's, which sets its events before it returns; rest:
	 * bytes that came behind the handshake.
	 */
	void (*on_secured)(void *arg, struct net_stream *s, struct noise_ik_stream *noise,
			   uint8_t *rest, size_t rest_len);
	void (*on_failed)(void *arg, const char *why);
};

/*
 * server: the coordinator's key, fetched if it is zero, and then written. Begins at
 * once; the dial is gone with either event, or with ts2021_dial_cancel. 0, or -ENOMEM.
 */
int ts2021_dial_start(const struct ts2021_client_config *cfg, struct key *server, bool skip_plain,
		      const struct ts2021_dial_events *ev, void *arg, struct ts2021_dial **out);
void ts2021_dial_cancel(struct ts2021_dial *d);

#endif
