/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WireGuard peer on the control side: its handshakes, its timers, and what
 * the dataplane is told (docs/protocol/wireguard.md, "Rules and timers"). An
 * engine without I/O: (peer, event, time) in, actions out, in the order in which
 * they are to be carried out. Random bytes and indices come through wg_env.h. No
 * call allocates. The caller owns the memory; one thread at a time.
 *
 * The split: handshakes and every decision are here, transport packets are the
 * dataplane's. So the dataplane says what it saw (needed, confirmed, unanswered,
 * rekey due, gone), and does what it is told (install, delete, keepalive, drop).
 * A session is installed and acknowledged before the handshake message that lets
 * the other side use it leaves.
 *
 * The initiator's state (the responder needs none: its session is the state, see
 * wg_sessions.h):
 *
 *             need, unanswered, rekey,
 *             renew, keepalive without session
 *      IDLE ------------------------------------+
 *       ^ ^  last handshake message < 5 s ago   | else
 *       | |            |                        v
 *       | |        DEFERRED -- 5 s are over -> SENT --+ 5 s + jitter: again, with a
 *       | |            |                        |  ^  | new ephemeral and index, up
 *       | |            | peer's handshake       |  +--+ to 20 in all
 *       | +------------+ was confirmed          |
 *       +---------------------------------------+ response; peer's handshake
 *                                                 confirmed; gave up
 *
 * A response is never held back: 5 s after our last handshake message an
 * initiation may go out, but a valid initiation of the peer is answered at once
 * (at most one every 20 ms), else two sides that begin together would deny each
 * other the answer.
 */
#ifndef CONTROLPLANE_NOISE_WG_PEER_H
#define CONTROLPLANE_NOISE_WG_PEER_H

#include "controlplane/noise/wg_cookie.h"
#include "controlplane/noise/wg_env.h"
#include "controlplane/noise/wg_handshake.h"
#include "controlplane/noise/wg_sessions.h"

#define WG_PEER_ACTIONS_MAX 16
#define WG_PEER_ADOPT_MAX   8
#define WG_PEER_NEVER	    UINT64_MAX

enum wg_initiator_state {
	WG_INITIATOR_IDLE,
	WG_INITIATOR_DEFERRED,
	WG_INITIATOR_SENT,
};

struct wg_peer_config {
	uint32_t id; /* the caller's number, handed to wg_indices.alloc */
	const struct wg_identity *self;
	const struct wg_random *random;
	const struct wg_indices *indices;
	uint8_t public_key[WG_KEY_BYTES];
	const uint8_t *preshared_key;		   /* NULL: none */
	uint8_t last_accepted[WG_TIMESTAMP_BYTES]; /* from disk; zeros: never heard of */
	uint8_t last_sent[WG_TIMESTAMP_BYTES];
};

/* What survives neither restart is here; times of 0 mean never, or not running. */
struct wg_peer {
	uint32_t id;
	const struct wg_identity *self;
	const struct wg_random *random;
	const struct wg_indices *indices;
	struct wg_remote remote;
	bool is_winner; /* our public key is the lower one: wg_sessions.h */

	enum wg_initiator_state initiator;
	struct wg_handshake handshake;	 /* SENT only */
	uint32_t attempts;		 /* initiations after the first one */
	struct wg_msg_response response; /* waits for next to be acknowledged */
	bool has_response;
	struct wg_cookie_jar jar;
	struct wg_sessions sessions;

	uint64_t last_handshake_sent_ns;
	uint64_t last_initiation_accepted_ns;
	uint64_t last_complete_ns; /* for status: a handshake was completed */
	uint64_t last_traffic_ns;  /* authenticated, either way, as far as we know */
	bool rekey_rx_asked;	   /* once a session */

	uint64_t retry_at_ns; /* also: when a deferred initiation goes out */
	uint64_t new_handshake_at_ns;
	uint64_t keepalive_at_ns;
	bool has_more_to_answer; /* data came while the keepalive timer ran */
	uint64_t persistent_at_ns;
	uint64_t persistent_interval_ns;
	uint64_t zero_keys_at_ns;
};

enum wg_peer_event_type {
	/* network */
	WG_EV_INITIATION, /* .initiation, opened, mac1 and load already checked; wipe it after */
	WG_EV_RESPONSE,	  /* .response, same; found by its receiver index */
	WG_EV_COOKIE,	  /* .cookie, found by its receiver index */
	/* dataplane */
	WG_EV_INSTALLED,      /* .local_index: INSTALL_SESSION was acknowledged */
	WG_EV_NEED_HANDSHAKE, /* a packet waits and no session may send */
	WG_EV_CONFIRMED,      /* .local_index: first packet opened */
	WG_EV_TX_UNANSWERED,  /* .since_ns: data sent then, nothing received since; 0 = answered */
	WG_EV_RX_UNANSWERED,  /* .since_ns: data received then, nothing sent since; 0 = answered */
	WG_EV_REKEY_TX,	      /* .local_index: sent past rekey_tx_ns or the counter limit */
	WG_EV_REKEY_RX,	      /* .local_index: received past rekey_rx_ns */
	WG_EV_SESSION_GONE,   /* .local_index: not there, or was refused */
	WG_EV_TRAFFIC,	      /* .since_ns: authenticated traffic at that time, either way */
	WG_EV_ROAMED,	      /* the peer's endpoint changed */
	WG_EV_DATAPLANE_RESTARTED, /* all sessions are lost */
	WG_EV_ADOPTED,		   /* .adopted: we restarted; these live in the dataplane */
	/* control */
	WG_EV_RENEW,		    /* handshake although the session looks fresh */
	WG_EV_PERSISTENT_KEEPALIVE, /* .interval_ns, 0 = off */
	WG_EV_TICK,		    /* wg_peer_next_deadline() has come */
};

/* A session as the dataplane describes it to a causewayd that restarted. */
struct wg_peer_adopted {
	uint32_t local_index; /* the caller claims it in its index table */
	uint32_t remote_index;
	uint64_t born_ns;
	bool is_initiator;
	bool is_confirmed;
};

struct wg_peer_event {
	enum wg_peer_event_type type;
	union {
		const struct wg_initiation_in *initiation;
		const struct wg_msg_response *response;
		const struct wg_msg_cookie *cookie;
		uint32_t local_index;
		uint64_t since_ns;
		uint64_t interval_ns;
		struct {
			const struct wg_peer_adopted *sessions;
			uint32_t count; /* up to WG_PEER_ADOPT_MAX */
		} adopted;
	};
};

enum wg_peer_action_type {
	WG_ACT_SEND_INITIATION, /* .initiation, to the peer's endpoint */
	WG_ACT_SEND_RESPONSE,	/* .response */
	WG_ACT_INSTALL_SESSION, /* .install; answer with WG_EV_INSTALLED or WG_EV_SESSION_GONE */
	WG_ACT_DELETE_SESSION,	/* .local_index; it is free already in wg_indices */
	WG_ACT_SEND_KEEPALIVE,	/* an empty transport message on the sending session */
	WG_ACT_DROP_STAGED,	/* packets that wait for a handshake: it was given up */
	WG_ACT_ZERO_KEYS,	/* nothing is left; a peer made lazily may be removed */
};

struct wg_peer_install {
	uint32_t local_index;
	uint32_t remote_index;
	bool is_initiator;
	bool is_confirmed; /* false: receive only until the first packet opens */
	uint64_t born_ns;
	uint64_t expire_ns;
	uint64_t rekey_tx_ns; /* 0 = never */
	uint64_t rekey_rx_ns;
	struct wg_keypair_keys keys;
};

struct wg_peer_action {
	enum wg_peer_action_type type;
	union {
		struct wg_msg_initiation initiation;
		struct wg_msg_response response;
		struct wg_peer_install install;
		uint32_t local_index;
	};
};

struct wg_peer_actions {
	uint32_t count;
	struct wg_peer_action action[WG_PEER_ACTIONS_MAX];
};

/* 0, or -EKEYREJECTED: the public key cannot be one. */
int wg_peer_init(struct wg_peer *peer, const struct wg_peer_config *config);
/* Frees the indices and wipes. Sessions in the dataplane are the caller's to delete. */
void wg_peer_fini(struct wg_peer *peer);
/*
 * Sets out anew. 0, or why the event was refused, with nothing changed:
 * the errors of wg_handshake.h, -EBUSY (initiations faster than one in 20 ms),
 * -ENOENT (not an index of ours any more: late, forged, or crossed with a change),
 * -ENOSPC (no index left).
 */
int wg_peer_handle(struct wg_peer *peer, const struct wg_peer_event *event,
		   const struct wg_time *now, struct wg_peer_actions *out);
/* When WG_EV_TICK is wanted; WG_PEER_NEVER. */
uint64_t wg_peer_next_deadline(const struct wg_peer *peer);
/* May the peer be sent to now? For status. */
bool wg_peer_is_usable(const struct wg_peer *peer, uint64_t now_ns);
/* After the actions were carried out: they hold session keys. */
void wg_peer_actions_wipe(struct wg_peer_actions *actions);

#endif
