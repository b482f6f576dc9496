/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node as a member of a mesh: the user's settings (control/prefs.h), the
 * coordinator (mesh_control.h), the ways to peers (mesh_paths.h), netcheck
 * (mesh_netcheck.h), and the configuration of the node that comes of them
 * (mesh_config.h). The LocalAPI reads and changes a node through this header alone.
 *
 *   prefs ---+                        +--> mesh_config -> node_apply
 *            +--> mesh_control -> netmap --> mesh_paths (disco, DERP)
 *   login ---+                        +--> mesh_netcheck, DNS
 *
 * A node that was never told of a coordinator is static: it runs by its node.hujson,
 * and mesh_is_active() is false. The loop's thread only; what is returned is borrowed
 * until the loop goes on, where nothing else is said.
 */
#ifndef CONTROLPLANE_NODE_MESH_H
#define CONTROLPLANE_NODE_MESH_H

#include "controlplane/control/prefs.h"
#include "controlplane/netmap/netmap.h"
#include "controlplane/node/mesh_control.h"
#include "controlplane/node/ways.h"
#include "controlplane/path/netcheck.h"
#include "controlplane/path/path_peer.h"

struct mesh;

/* ipn.State, with its numbers. */
enum mesh_state {
	MESH_NO_STATE = 0,
	MESH_NEEDS_LOGIN = 2,
	MESH_NEEDS_MACHINE_AUTH = 3,
	MESH_STOPPED = 4,
	MESH_STARTING = 5,
	MESH_RUNNING = 6,
};

/* What changed, or'ed. */
#define MESH_DID_STATE	  (1u << 0)
#define MESH_DID_PREFS	  (1u << 1)
#define MESH_DID_NETMAP	  (1u << 2)
#define MESH_DID_URL	  (1u << 3) /* a URL for the user; "" = none any more */
#define MESH_DID_LOGIN	  (1u << 4) /* a login was completed */
#define MESH_DID_ERROR	  (1u << 5) /* mesh_error(): a login failed for good */
#define MESH_DID_PATHS	  (1u << 6) /* a peer is reached another way */
#define MESH_DID_NETCHECK (1u << 7)
#define MESH_DID_HEALTH	  (1u << 8)

/* Part of the listener's own struct. Told after the change, in the order of listening. */
struct mesh_listener {
	void (*on_change)(struct mesh_listener *l, uint32_t what);
	struct mesh_listener *next;
};

/*
 * Reads settings, secrets and the cached picture from the node's state folder and puts
 * the picture to work, without a coordinator. 0, or a negative errno with a sentence.
 */
int mesh_open(struct node *n, struct mesh **out, char err[MESH_ERROR_MAX]);
/* Run the loop until it is empty. NULL is fine. Before node_close. */
void mesh_close(struct mesh *m);

void mesh_listen(struct mesh *m, struct mesh_listener *l);
void mesh_unlisten(struct mesh *m, struct mesh_listener *l);

bool mesh_is_active(const struct mesh *m);
enum mesh_state mesh_state(const struct mesh *m);
const char *mesh_state_name(enum mesh_state s); /* "NeedsLogin" and so on */

const json_t *mesh_prefs(const struct mesh *m);
/* PATCH prefs: a masked edit. 0; -EINVAL with in->error; other errors with in->error, too. */
int mesh_edit_prefs(struct mesh *m, const json_t *masked, struct json_in *in);
/*
 * POST start: ipn.Options, of which AuthKey and UpdatePrefs count. With an auth key it
 * logs in, else it goes on with the key that it has, or asks for a login.
 */
int mesh_start(struct mesh *m, const json_t *options, struct json_in *in);
/*
 * A login by hand; its URL comes with MESH_DID_URL, again if one is waiting. After
 * mesh_start with an auth key it is that one's login, with another node key if the node
 * had one: stock's `up --auth-key` makes both calls. -EINVAL: no login server is set.
 */
int mesh_log_in(struct mesh *m, struct json_in *in);
int mesh_log_out(struct mesh *m);

/* "" = none. */
const char *mesh_auth_url(const struct mesh *m);
const char *mesh_error(const struct mesh *m);
/* NULL: none yet. */
const struct netmap *mesh_map(const struct mesh *m);
/* It is the cached one: the coordinator was not heard of since the start. */
bool mesh_is_from_cache(const struct mesh *m);
bool mesh_is_connected(const struct mesh *m);		/* logged in, by the coordinator's word */
const struct key *mesh_disco_key(const struct mesh *m); /* public */
/* Sentences for the user of what is wrong; a new list. */
json_t *mesh_health(const struct mesh *m);
int64_t mesh_now_ns(const struct mesh *m); /* the coordinator's clock */

/* How a peer is reached, as status shows it. */
struct mesh_way {
	struct endpoint direct; /* family 0: not direct */
	uint16_t region;	/* DERP: of the peer's packets; 0: none */
	bool is_active;		/* packets within the last two minutes */
	uint64_t rx_bytes, tx_bytes;
	uint64_t last_handshake_ns; /* boot time; 0 = none */
	uint64_t last_tx_ns;	    /* boot time; 0 = never */
	bool is_in_engine;	    /* WireGuard knows it */
};

void mesh_way(const struct mesh *m, const struct netmap_node *peer, struct mesh_way *out);
/* A region's code of the DERP map, "" = not known. */
const char *mesh_region_code(const struct mesh *m, uint16_t region);
/* The engine of a peer, or NULL: for `debug path`. */
const struct path_peer *mesh_path_peer(const struct mesh *m, const struct key *node);
/* Who has this address: a peer, ourselves, or NULL. Subnets: the peer that routes it. */
const struct netmap_node *mesh_whois(const struct mesh *m, const struct ip_addr *a);

/* One disco ping; the first answer counts. 0, -ENOENT: no such peer, -EOPNOTSUPP: it speaks no
 * disco, -ENOMEM. */
int mesh_ping(struct mesh *m, const struct key *node, mesh_pong_fn *cb, void *arg);
/* No call of cb any more for pings with this arg. */
void mesh_ping_cancel(struct mesh *m, void *arg);

/* The last report, or NULL. mesh_netcheck asks for a full one: told by MESH_DID_NETCHECK. */
const struct netcheck_report *mesh_netcheck_report(const struct mesh *m);
int mesh_netcheck_start(struct mesh *m);

#endif
