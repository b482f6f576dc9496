/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lanes of one peer: more transport sessions of the same handshake, each on a
 * UDP port pair of its own (docs/protocol/lanes.md). Who announces, who probes
 * which pair, and how long a lane may carry data is decided here. An engine
 * without I/O: events and times in, calls of struct wg_lanes_ops out, which only
 * note or send and do not call back. Owned by the caller, one thread at a time,
 * no allocation.
 *
 * A session (wg_sessions.h) and its lanes:
 *
 *    usable          the peer announced       its indices      acknowledged
 *   -------> QUIET -------------------> OPEN ------------> MADE ----------> probing
 *     announce, again    indices chosen,      keys derived,
 *     after 1 and 4 s    announced            installed
 *
 * A lane is usable for sending until 3 s after the last ping that was answered.
 * Pings go out while data does, either way; so an idle peer's lanes close.
 */
#ifndef CONTROLPLANE_NOISE_WG_LANES_H
#define CONTROLPLANE_NOISE_WG_LANES_H

#include "controlplane/noise/wg_env.h"
#include "controlplane/noise/wg_handshake.h"
#include "controlplane/noise/wg_peer.h"
#include "controlplane/noise/wg_sessions.h"
#include "lib/base/addr.h"
#include "lib/wire/lane.h"

#define WG_LANES_SESSIONS 3 /* previous, current, next */
#define WG_LANES_TOKENS	  3 /* pings whose answer still counts */

/* Between which ports. is_home: remote is where lane 0 goes, whatever that is now. */
struct wg_lane_pair {
	uint8_t port; /* ours: 0 = the listen port, n = lane port n */
	bool is_home;
	struct endpoint remote;
};

struct wg_lane_install {
	uint8_t lane;
	uint32_t local_index;
	uint32_t remote_index;
	bool is_initiator;
	uint64_t born_ns;
	uint64_t expire_ns;
	uint64_t rekey_tx_ns;
	uint64_t rekey_rx_ns;
	struct wg_keypair_keys keys;
};

struct wg_lanes_ops {
	/* An index for this lane, 0: none is left; and its end. */
	uint32_t (*index_alloc)(void *owner, uint8_t lane);
	void (*index_free)(void *owner, uint32_t index);
	/* Seals on the session with this local index and sends. */
	void (*send)(void *owner, uint32_t local_index, const struct wg_lane_pair *pair,
		     const uint8_t *data, size_t len);
	/* Answered by wg_lanes_installed. */
	void (*install)(void *owner, const struct wg_lane_install *in);
	void (*remove)(void *owner, uint32_t local_index);
	/* Data may go over the lane, by this session and pair, until then. */
	void (*use)(void *owner, uint8_t lane, uint32_t local_index,
		    const struct wg_lane_pair *pair, uint64_t until_ns);
};

enum wg_lane_state {
	WG_LANE_NONE,
	WG_LANE_CHOSEN, /* has our index */
	WG_LANE_INSTALLING,
	WG_LANE_READY,
};

struct wg_lane_token {
	uint64_t token;
	uint64_t sent_ns; /* 0: none */
	struct wg_lane_pair pair;
};

struct wg_lane {
	enum wg_lane_state state;
	uint32_t local_index;
	uint32_t remote_index;
	struct wg_lane_token tokens[WG_LANES_TOKENS];
	uint8_t next_token;
	uint8_t quick;		  /* quick probes left */
	uint64_t probing_ns;	  /* since then */
	uint64_t ping_at_ns;	  /* 0: no probing */
	uint64_t until_ns;	  /* usable */
	uint64_t own_answered_ns; /* last answer on the pair of our own lane port */
	uint64_t heard_ns;	  /* last ping of the peer, 0: none */
	struct wg_lane_pair heard;
};

struct wg_lanes_session {
	uint32_t base_index; /* 0: free */
	bool is_initiator;
	bool is_usable; /* lane 0 may send */
	uint64_t born_ns;
	uint64_t expire_ns;
	uint64_t rekey_tx_ns;
	uint64_t rekey_rx_ns;
	uint8_t secret[WG_KEY_BYTES];
	uint64_t secret_until_ns; /* 0: there is none (any more) */
	uint8_t peer_offer;	  /* 0: it has not announced */
	uint8_t count;		  /* lanes, once it has */
	bool has_theirs;	  /* its indices */
	bool they_have_ours;
	uint8_t announced; /* times */
	uint8_t repeats;
	uint64_t announce_at_ns; /* 0: not again */
	uint64_t made_ns;
	struct wg_lane lane[LANE_MAX];
};

struct wg_lanes {
	const struct wg_random *random;
	const struct wg_lanes_ops *ops;
	void *owner;
	uint8_t offer;
	uint64_t tx_until_ns; /* we have data to send */
	uint64_t rx_until_ns; /* the peer has, as its pings say */
	uint64_t want_sent_ns;
	uint64_t pongs_since_ns;
	uint32_t pongs; /* since then */
	struct wg_lanes_session sessions[WG_LANES_SESSIONS];
};

/* offer: 1 .. LANE_MAX */
void wg_lanes_init(struct wg_lanes *l, const struct wg_random *random,
		   const struct wg_lanes_ops *ops, void *owner, uint8_t offer);
/* Frees the indices and wipes. Sessions in the dataplane are the caller's to delete. */
void wg_lanes_fini(struct wg_lanes *l);
/* The dataplane restarted: all is forgotten, there is nothing to remove. */
void wg_lanes_reset(struct wg_lanes *l);

/* Keys were derived. The install holds the lane secret. */
void wg_lanes_derived(struct wg_lanes *l, const struct wg_peer_install *base, uint64_t now_ns);
/* After anything that may have changed the sessions: lanes go with theirs. */
void wg_lanes_sync(struct wg_lanes *l, const struct wg_sessions *sessions, uint64_t now_ns);
/* causewayd restarted, the dataplane has this lane of that session. 0, or -ENOENT. */
int wg_lanes_adopt(struct wg_lanes *l, const struct wg_session *base, uint8_t lane,
		   uint32_t local_index, uint32_t remote_index, uint64_t now_ns);
void wg_lanes_installed(struct wg_lanes *l, uint32_t local_index, bool ok, uint64_t now_ns);
/* A payload that was opened on a session. 0, or why it was dropped: -EBADMSG, -ENOENT. */
int wg_lanes_message(struct wg_lanes *l, uint32_t local_index, const struct wg_lane_pair *from,
		     const uint8_t *data, size_t len, uint64_t now_ns);
/* Data was sent to the peer, in whatever lane. */
void wg_lanes_traffic(struct wg_lanes *l, uint64_t now_ns);
void wg_lanes_tick(struct wg_lanes *l, uint64_t now_ns);
/* When wg_lanes_tick is wanted; UINT64_MAX: not. */
uint64_t wg_lanes_next_deadline(const struct wg_lanes *l);
/* The local index of the session that this lane belongs to, 0: none of ours. */
uint32_t wg_lanes_base_of(const struct wg_lanes *l, uint32_t local_index);
/* Is the peer one that has lanes with us now? */
bool wg_lanes_is_open(const struct wg_lanes *l);

#endif
