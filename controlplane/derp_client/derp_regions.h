/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's connections to the relays of its mesh (docs/protocol/derp.md, "The client"), one a
 * region: the home region's is always there, another region's from the first packet for it until
 * nobody was heard or written to there for a minute. One that breaks is made again, the region's
 * relays in the map's order, with a growing pause that never gets long; packets wait meanwhile in a
 * bounded queue, from which the oldest go first.
 *
 *   derp_regions.c    the regions, and which of them takes a packet
 *   derp_region.c     one region: its relays in order, pauses, when it is closed
 *   derp_routes.c     in which region a peer was last heard
 *   derp_conn.c       one connection: upgrade, ClientInfo, frames, watchdog
 *   derp_dial.c       a relay of the map -> TCP, perhaps through a proxy -> TLS
 *
 * Knows no WireGuard: keys are addresses, packets are bytes. The loop's thread only. No event is
 * told from inside of the functions below, but derp_regions_set_map and _set_home may tell of
 * regions that they close.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_REGIONS_H
#define CONTROLPLANE_DERP_CLIENT_DERP_REGIONS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "controlplane/derp_client/derp_counters.h"
#include "controlplane/noise/wg_env.h"
#include "lib/base/key.h"
#include "lib/wire/derp_frame.h"

#define DERP_REGION_WHY_MAX    256
#define DERP_REGION_HEALTH_MAX 256
#define DERP_REGION_NODE_MAX   64

struct derp_map;
struct derp_regions;

struct derp_regions_events {
	/* `from` is who the relay says; data is valid during the call. */
	void (*on_packet)(void *arg, uint16_t region, const struct key *from, const uint8_t *data,
			  size_t len);
	/* The relay cannot reach this peer, or not any more. NULL: nobody asks. */
	void (*on_peer_gone)(void *arg, uint16_t region, const struct key *peer,
			     enum derp_gone_reason reason);
	/* why: a sentence; "" with is_connected, and where the connection was not needed any more.
	 */
	void (*on_state)(void *arg, uint16_t region, bool is_connected, const char *why);
	/*
	 * What the relay has to say to the user, such as that another machine is connected with
	 * this key; "" = all is well again. Printable. NULL: nobody asks.
	 */
	void (*on_health)(void *arg, uint16_t region, const char *text);
};

struct derp_regions_config {
	uv_loop_t *loop;
	SSL_CTX *tls;			/* referenced; NULL: relays speak plain TCP */
	const struct key *node_private; /* copied, wiped by derp_regions_close */
	const struct wg_random *random; /* borrowed */
	/* Proxies: HTTPS_PROXY and others (derp_proxy.h). NULL: none. getenv will do. */
	char *(*env)(const char *name);
	uint64_t idle_ms; /* until a region that is not home is closed; 0 = 60 s */
};

/* Opens no connection yet. 0, -ENOMEM, or -EINVAL: node_private is no key. */
int derp_regions_open(const struct derp_regions_config *cfg, const struct derp_regions_events *ev,
		      void *arg, struct derp_regions **out);
/* Nothing is told any more; memory goes when the loop has closed its handles. NULL is fine. */
void derp_regions_close(struct derp_regions *r);

/*
 * Another map; NULL: none. Borrowed until the next one is set or r is closed, when it may be freed.
 * Regions that are not in it, or have other relays now, are closed, and the home is dialled anew.
 */
void derp_regions_set_map(struct derp_regions *r, const struct derp_map *map);
/* 0: none. All open relays are told whether they are the home. */
void derp_regions_set_home(struct derp_regions *r, uint16_t region);
uint16_t derp_regions_home(const struct derp_regions *r);

/*
 * A packet for the peer with this node key, whose home is `region` (0: not known). It goes to that
 * region if a connection is open, else by an open one on which the peer was last heard, else to
 * that region once it is connected. The region that took it (> 0), or -EMSGSIZE: over
 * DERP_PACKET_MAX, -ENETUNREACH: no relay is known for it, -ENOMEM.
 */
int derp_regions_send(struct derp_regions *r, uint16_t region, const struct key *to,
		      const void *data, size_t len);

bool derp_regions_connected(const struct derp_regions *r, uint16_t region);
/* Where this peer was last heard, with the connection still open; 0 = nowhere. */
uint16_t derp_regions_heard(const struct derp_regions *r, const struct key *peer);
/* CLOCK_BOOTTIME of the last frame of any kind; 0 = never: for home_region.h. */
uint64_t derp_regions_last_frame_ns(const struct derp_regions *r, uint16_t region);
/*
 * The machine's addresses or routes have changed, or it slept: each relay must answer within 3 s or
 * is dialled anew, and pauses end now.
 */
void derp_regions_network_changed(struct derp_regions *r);

void derp_regions_counters(const struct derp_regions *r, struct derp_counters *out);

/* For status. */
struct derp_region_info {
	uint16_t region;
	bool is_home, is_connected;
	char node[DERP_REGION_NODE_MAX];      /* the relay's name; "" = none is tried */
	char health[DERP_REGION_HEALTH_MAX];  /* of the relay; "" = none */
	char last_error[DERP_REGION_WHY_MAX]; /* "" = none */
	uint64_t since_ns; /* CLOCK_BOOTTIME: connected, or else not connected, since then */
	size_t queued_bytes;
};

/* Those that are open or are being opened, by rising region; returns how many, at most room. */
size_t derp_regions_list(const struct derp_regions *r, struct derp_region_info *out, size_t room);

#endif
