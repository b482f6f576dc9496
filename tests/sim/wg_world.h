/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world of two WireGuard nodes for simulations: each has the real engine
 * (controlplane/noise), a model of a dataplane, and a model of the daemon between
 * them; a wire with delay and loss joins the two. Time is simulated: an hour
 * takes a second. Handshake messages are real, a data message carries its key in
 * place of a ciphertext, so that a mismatch shows.
 *
 *    app -> dataplane model -- wire -- dataplane model <- app
 *              | events, actions: 200 us each way
 *            engine ---------- wire -- engine
 *
 * What must hold at any time is checked inside (world_check); the scenarios check
 * what is theirs.
 */
#ifndef TESTS_SIM_WG_WORLD_H
#define TESTS_SIM_WG_WORLD_H

#include "controlplane/noise/wg_limiter.h"
#include "controlplane/noise/wg_peer.h"
#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define SEC		 NS_PER_SEC
#define DP_SESSIONS_MAX	 8
#define WORLD_QUEUE_MAX	 4096
#define WORLD_INDEX_MAX	 64
#define WORLD_STAGED_MAX 128

struct dp_session {
	bool used;
	bool confirmed;
	bool rekey_told;
	struct wg_peer_install s;
};

struct world_node {
	uint32_t number;
	struct wg_identity id;
	struct wg_peer peer;
	struct wg_cookie_checker checker;
	bool under_load;
	uint32_t live_index[WORLD_INDEX_MAX];
	uint32_t live_count;
	int64_t wall_skew_ns;

	/* the dataplane */
	bool dp_is_up;
	uint32_t dp_instance;
	struct dp_session sessions[DP_SESSIONS_MAX];
	uint32_t staged;
	uint64_t need_told_ns;
	uint64_t tx_unanswered_ns, rx_unanswered_ns;
	bool tx_told, rx_told;
	uint64_t traffic_told_ns;

	/* the daemon */
	bool ctl_is_up;
	uint32_t ctl_instance;

	/* the application */
	uint64_t app_interval_ns; /* 0 = silent */
	uint64_t app_next_ns;

	uint64_t sent[5]; /* messages by type; data without keepalives */
	uint64_t keepalives;
	uint64_t data_received;
	uint64_t data_lost; /* arrived, but no session opens it */
	uint64_t staged_dropped;
	uint64_t zeroed;
	uint64_t mac2_seen;
	uint64_t last_initiation_ns;
	uint64_t shortest_spacing_ns; /* between two of our initiations */
	int last_error;		      /* of the last handshake message handed to the engine */
};

struct world_item;

struct world {
	uint64_t now_ns;
	uint64_t seed;
	uint64_t delay_ns;
	struct world_node node[2];
	struct world_item *queue;
	uint32_t queued;
	/* true: the wire loses this one. from: the sender's number. */
	bool (*lose)(struct world *w, uint32_t from, enum wg_msg_type type);
	uint64_t argument; /* for lose */
	struct wg_random random;
	struct wg_indices indices[2];
	uint8_t last_initiation[2][sizeof(struct wg_msg_initiation)]; /* as on the wire */
};

void world_init(struct world *w, uint64_t seed);
void world_fini(struct world *w);
void world_run(struct world *w, uint64_t for_ns);
/* One packet of the application; sent at once or staged. */
void world_app_send(struct world *w, uint32_t number);
void world_event(struct world *w, uint32_t number, struct wg_peer_event event);
/* A handshake message arrives at a node. */
void world_deliver(struct world *w, uint32_t number, const void *msg, size_t len);
void world_dp_kill(struct world *w, uint32_t number);
void world_dp_start(struct world *w, uint32_t number);
void world_ctl_kill(struct world *w, uint32_t number);
void world_ctl_start(struct world *w, uint32_t number);

#endif
