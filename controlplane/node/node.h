/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node: the picture that causewayd holds (configuration, peers by id, by key
 * and by deadline) and the parts that act on it. Everything here belongs to the
 * one thread that runs the loop; nothing waits, nothing is locked.
 *
 *   node.hujson -> config -> config_diff -> node_apply -> dp_sync -> causeway-dp
 *                                              |           ^  |
 *                                              +-> link    |  v  events, acks
 *   outer sockets -> packets -> handshake -> peer (engine wg_peer) <- deadlines
 */
#ifndef CONTROLPLANE_NODE_NODE_H
#define CONTROLPLANE_NODE_NODE_H

#include <uv.h>

#include "controlplane/node/config.h"
#include "controlplane/node/counters.h"
#include "controlplane/node/deadline.h"
#include "controlplane/node/index.h"
#include "controlplane/noise/wg_env.h"
#include "controlplane/noise/wg_handshake.h"

struct node_peer;

/* The dataplane has the picture now, or is gone (dp_sync_is_ready). */
typedef void node_dataplane_fn(void *arg);

struct node_options {
	const char *state_dir;
	const char *dp_socket;
	const char *config_path; /* NULL: none */
};

extern const struct wg_random node_random; /* the system's */

struct node {
	uv_loop_t *loop;
	struct node_options opt;
	struct node_config *config; /* never NULL once open */
	struct wg_identity identity;
	bool is_new_identity; /* its key was never seen before: no session is of it */
	bool stopped;	      /* by `down`: no peers, no routes, until `up` */

	struct node_peer **by_id; /* [1..id_room) */
	uint32_t id_room;
	uint32_t id_next; /* no free id below it */
	struct node_peer **by_key;
	uint32_t key_mask;
	uint32_t peer_count;

	struct deadline_heap deadlines;
	uv_timer_t timer;	  /* at the first deadline */
	uv_timer_t housekeeping;  /* once a second: counters, timestamps to disk */
	struct node_flush *flush; /* timestamps on their way to the disk, or NULL */

	struct index_table indices;
	struct wg_indices wg_indices; /* the same, as the engines see it */
	struct timestamps *timestamps;
	struct counters counters;
	struct packets *packets;
	struct handshake *handshake;
	struct dp_client *dp;
	struct dp_sync *sync;
	struct dp_refresh *refresh;
	struct link *link;
	struct ways *ways; /* ways.h; NULL: all peers are static */
	node_dataplane_fn *dataplane_cb;
	void *dataplane_arg;
};

/*
 * Takes over the configuration. Nothing moves before the loop runs. link NULL: the
 * kernel is left alone (tests without privileges).
 */
int node_open(uv_loop_t *loop, const struct node_options *opt, struct node_config *cfg,
	      struct link *link, struct node *out);
/* Leaves the kernel and the dataplane as they are. Run the loop until it is empty afterwards. */
void node_close(struct node *n);

/* Goes over to another configuration and frees the old one. 0, or -ENOMEM with nothing changed. */
int node_apply(struct node *n, struct node_config *cfg);
/* Reads the configuration file again. On an error the node keeps what it has. */
int node_reload(struct node *n, char err[CONFIG_ERROR_MAX]);
/* Down: routes, peers and sessions go. Up: back. Survives a restart of causewayd. */
int node_stop(struct node *n);
int node_start(struct node *n);

struct node_peer *node_peer_by_id(const struct node *n, uint32_t id);
struct node_peer *node_peer_by_key(const struct node *n, const uint8_t key[KEY_BYTES]);
/* Gives a peer another id (one that nobody has). */
int node_peer_renumber(struct node *n, struct node_peer *p, uint32_t id);
/* One at a time; cb NULL: none. */
void node_watch_dataplane(struct node *n, node_dataplane_fn *cb, void *arg);
/* Runs the timer at the first deadline. */
void node_schedule(struct node *n);
/* Brings the kernel's side up to date. */
void node_link(struct node *n);

#endif
