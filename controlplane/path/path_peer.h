/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to one peer: DERP at once, then the best direct way that answers
 * (docs/protocol/nat-traversal.md, "Path engine"; docs/protocol/disco.md). An engine without I/O:
 * (peer, event, time) in, actions out through path_env.act, in the order in which they are to be
 * carried out. Randomness comes through path_env.random. No call allocates; the caller owns the
 * memory; one thread at a time. act may not call back into the engine. A time of 0 means never,
 * so the clock may not stand at 0.
 *
 * What the owner does: sends what PATH_SEND says, tells the dataplane what PATH_USE says, measures
 * its endpoints anew at PATH_NEED_ENDPOINTS; calls path_peer_on_timer() at path_peer_next_ns();
 * finds the peer by a datagram's sender key (at 6) and hands it to path_peer_on_disco().
 *
 *                 activity                 pong
 *     IDLE ----------------> SEARCHING ----------> DIRECT (trusted 6.5 s by each pong)
 *   no timer   DERP, all candidates pinged,           |  ^
 *     ^        call-me-maybe; again every 3 s  silence|  | pong
 *     |  45 s without activity                        v  |
 *     +------------------------------------------ DOUBTED: direct and DERP, all pinged
 *
 * There is no state field: it follows from best, trust_until_ns and heartbeat_ns.
 */
#ifndef CONTROLPLANE_PATH_PATH_PEER_H
#define CONTROLPLANE_PATH_PATH_PEER_H

#include "controlplane/path/disco_box.h"
#include "controlplane/path/path_addr.h"
#include "controlplane/path/path_candidate.h"
#include "lib/base/clock.h"

#define PATH_HEARTBEAT_NS   (3 * NS_PER_SEC)
#define PATH_TRUST_NS	    (6500 * NS_PER_MS)
#define PATH_ACTIVE_NS	    (45 * NS_PER_SEC)
#define PATH_PING_LOST_NS   (5 * NS_PER_SEC)
#define PATH_PING_AGAIN_NS  (5 * NS_PER_SEC)
#define PATH_UPGRADE_NS	    (60 * NS_PER_SEC)
#define PATH_GOOD_ENOUGH_NS (5 * NS_PER_MS)
#define PATH_FRESH_NS	    (27 * NS_PER_SEC) /* endpoints young enough for a call-me-maybe */
/* Between two rounds that silence or calls force, and between pings back to one source. Ours. */
#define PATH_FORCED_NS (500 * NS_PER_MS)
#define PATH_BACK_NS   (10 * NS_PER_MS)
/* Beside the round trip, how long the best way has to answer once it is doubted. Ours. */
#define PATH_DOUBT_NS (50 * NS_PER_MS)
/* Pings that are answered: a burst, then so many a second. Ours; stock has no limit. */
#define PATH_ANSWER_BURST 128
#define PATH_ANSWER_RATE  32
#define PATH_PINGS_MAX	  128
#define PATH_NEVER	  UINT64_MAX

enum path_action_type {
	PATH_SEND,	     /* bytes, to `to` or by DERP through region */
	PATH_USE,	     /* where the peer's packets go from now on */
	PATH_NEED_ENDPOINTS, /* ask STUN, then path_peer_on_endpoints() */
	PATH_PONG,	     /* a ping was answered: by whom and how fast */
};

struct path_action {
	enum path_action_type type;
	struct endpoint to;   /* SEND, PONG: family 0 = by DERP; USE: the direct way, 0 = none */
	uint16_t region;      /* SEND, PONG by DERP, and USE: the peer's region; 0: no DERP */
	uint64_t latency_ns;  /* PONG: there and back */
	const uint8_t *bytes; /* SEND: the sealed message, valid during the call */
	size_t len;
};

struct path_env {
	void *ctx;
	void (*random)(void *ctx, void *buf, size_t len);
	void (*act)(void *ctx, const struct path_action *action);
	/*
	 * Does a packet to there leave this machine outside of the tunnel? A peer tells of its LAN
	 * addresses too, and where its routes are accepted they lie behind the tunnel: a way
	 * through it would carry itself. NULL: always.
	 */
	bool (*is_outside)(void *ctx, const struct endpoint *to);
};

/* This node, shared by all its peers' engines; the owner keeps it up to date. */
struct path_self {
	struct key disco_private, disco, node; /* node: public */
	/* What peers are told: endpoint_list.h. At most DISCO_BOX_ENDPOINTS_MAX are sent. */
	const struct endpoint *endpoints;
	size_t endpoint_count;
	uint64_t endpoints_ns; /* when they were last measured; 0: never */
};

struct path_ping {
	uint8_t tx_id[DISCO_TX_ID_BYTES];
	struct endpoint to; /* family 0: by DERP */
	uint64_t sent_ns;   /* 0: free */
};

/* Read by path_peer_explain() and by `causeway debug path`. */
struct path_counters {
	uint64_t pings_sent, pongs_sent, calls_sent, pongs_received, pings_received;
	uint64_t forged;	    /* boxes that do not open, or hold nonsense */
	uint64_t pongs_unknown;	    /* to no ping of ours that is out */
	uint64_t pings_limited;	    /* not answered: too many, or seen before */
	uint64_t calls_refused;	    /* not over DERP, or too many */
	uint64_t endpoints_refused; /* path_addr_is_allowed(), or our own */
};

struct path_peer {
	const struct path_env *env;
	const struct path_self *self;
	struct disco_box box;
	bool has_box; /* the peer's disco key is known and sane */
	uint16_t home_region, heard_region;

	struct path_candidates candidates;
	struct path_ping pings[PATH_PINGS_MAX];
	struct path_addr best;
	uint64_t trust_until_ns;
	uint64_t active_ns;    /* last activity; 0: never */
	uint64_t heartbeat_ns; /* next one; 0: not running */
	uint64_t full_ns;      /* last round over all candidates; 0: none yet */
	uint64_t forced_ns;    /* last round forced by silence */
	uint64_t called_ns;    /* last round forced by a call */
	bool call_waits;       /* for fresh endpoints */
	uint64_t answer_ns;    /* answers are paid up to here (a leaky bucket) */

	bool use_told;
	struct endpoint use_to;
	uint16_t use_region;
	struct path_counters counters;
};

/* env and self outlive p. Nothing is sent before a key and candidates are set. */
void path_peer_init(struct path_peer *p, const struct path_env *env, const struct path_self *self);
void path_peer_fini(struct path_peer *p);

/*
 * The netmap's word. disco: the peer's key, zero for none (no disco: DERP only); region: its home,
 * 0 for none. A new key ends trust and forgets the pings that are out; the best way stays in use
 * until another is confirmed. 0, or -EINVAL for a key that is none (the peer is DERP only then).
 */
int path_peer_set(struct path_peer *p, const struct key *disco, uint16_t region,
		  const struct endpoint *endpoints, size_t count, uint64_t now_ns);

/* Packets for the peer leave (dataplane: at least once a second while they do; own: each). */
void path_peer_on_activity(struct path_peer *p, uint64_t now_ns);
/*
 * A datagram from the peer's disco key. from: the UDP source, or NULL if it came by DERP, from the
 * peer's node key, through region. What disco_box_open() returned; -EINVAL: from nowhere
 * (region 0), which could not be answered.
 */
int path_peer_on_disco(struct path_peer *p, const uint8_t *data, size_t len,
		       const struct endpoint *from, uint16_t region, uint64_t now_ns);
/* Any DERP packet of the peer came through region: the way back, if its home is not known. */
void path_peer_on_derp(struct path_peer *p, uint16_t region, uint64_t now_ns);
/*
 * The dataplane sends and nothing comes back: all candidates are pinged, and the best way has one
 * and a half round trips and PATH_DOUBT_NS left to answer; then DERP comes in.
 */
void path_peer_on_silence(struct path_peer *p, uint64_t now_ns);
/* self->endpoints were measured anew, or could not be (the call goes out either way, so
 * self->endpoints_ns is to be set in both cases). */
void path_peer_on_endpoints(struct path_peer *p, uint64_t now_ns);
/* Interfaces or routes changed: no way that was known is one still. */
void path_peer_on_link_change(struct path_peer *p, uint64_t now_ns);
/* Sending to `to` failed with EHOSTUNREACH. */
void path_peer_on_unreachable(struct path_peer *p, const struct endpoint *to, uint64_t now_ns);

/*
 * The user asks how the peer is reached: a ping by DERP, and one to the trusted way, or to every
 * candidate if there is none. What answers is told by PATH_PONG. -ENOENT: the peer speaks no disco.
 */
int path_peer_ping(struct path_peer *p, uint64_t now_ns);
/*
 * The dataplane was found sending there: an earlier process of this node had chosen it. It is
 * trusted for as long as by a pong, within which it is pinged.
 */
void path_peer_adopt(struct path_peer *p, const struct endpoint *at, uint64_t now_ns);

/* When path_peer_on_timer() is due; PATH_NEVER if not. */
uint64_t path_peer_next_ns(const struct path_peer *p);
void path_peer_on_timer(struct path_peer *p, uint64_t now_ns);

/* Why a candidate is, or is not, the way. */
#define PATH_VERDICTS(X)                                                                           \
	X(CHOSEN, "chosen")                                                                        \
	X(DOUBTED, "chosen, but unanswered of late: packets go by DERP as well")                   \
	X(NEVER_PINGED, "not pinged yet")                                                          \
	X(WAITING, "pinged, no answer yet")                                                        \
	X(NO_ANSWER, "does not answer")                                                            \
	X(STALE, "answered before, not the last time")                                             \
	X(FEWER_POINTS, "answers, but has no more points than the chosen one")                     \
	X(NEXT, "is better; taken with its next answer")

enum path_verdict {
#define X(name, text) PATH_VERDICT_##name,
	PATH_VERDICTS(X)
#undef X
};

struct path_explanation {
	struct path_candidate candidate;
	unsigned points, best_points; /* against the best, and the best's against it */
	enum path_verdict verdict;
};

const char *path_verdict_text(enum path_verdict v);
/* Candidate i as it stands; false behind the last one. */
bool path_peer_explain(const struct path_peer *p, size_t i, uint64_t now_ns,
		       struct path_explanation *out);

#endif
