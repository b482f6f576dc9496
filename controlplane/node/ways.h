/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to the peers of a mesh: a path engine (path/path_peer.h) for each peer that
 * is talked to, the disco messages that come by UDP and by DERP to the right one of
 * them, and the packets that go by DERP. The loop's thread only.
 *
 *   UDP socket  -> packets -> ways_receive ---> peer_ways -> path engine -> PATH_USE ->
 * peer_set_path DERP client -> ways_on_derp -- disco ---^      ^
 *                      |-- type 1..3 -> handshake  |  activity, silence
 *                      '-- type 4 -> channel       dataplane's events
 *   sealed packets of a path of kind CHANNEL -> peer_ways_send -> DERP
 *
 * The path of a peer that goes by DERP is (CHANNEL, remote.port = region, vni = peer id).
 */
#ifndef CONTROLPLANE_NODE_WAYS_H
#define CONTROLPLANE_NODE_WAYS_H

#include "controlplane/netmap/netmap.h"
#include "controlplane/node/peer.h"
#include "controlplane/path/path_peer.h"

struct ways;

/* What the ways need of others. */
struct ways_env {
	void *ctx;
	/* A packet for the peer with that node key. 0, or a negative errno. */
	int (*derp_send)(void *ctx, uint16_t region, const struct key *to, const void *data,
			 size_t len);
	/* A datagram that is STUN. */
	void (*stun)(void *ctx, const uint8_t *data, size_t len, const struct endpoint *from);
	/* Measure our endpoints, then ways_set_endpoints(). */
	void (*need_endpoints)(void *ctx);
	/* A peer's packets go another way now. */
	void (*changed)(void *ctx);
};

/* disco: our private key of it. Takes what packets gets that is not WireGuard. */
int ways_open(struct node *n, const struct key *disco, const struct ways_env *env);
void ways_close(struct node *n);

const struct key *ways_disco(const struct ways *w); /* public */
/*
 * Another picture, after node_apply with the configuration made of it: peers that it
 * names get their ways. self: our public node key.
 */
void ways_set_map(struct node *n, const struct netmap *m, const struct key *self);
/* Where this node is reached, measured now; also if nothing is new, or nothing was found. */
void ways_set_endpoints(struct node *n, const struct endpoint *at, size_t count);
/* When packets last flowed with anybody; 0 = never. */
uint64_t ways_active_ns(const struct node *n);
/* Interfaces or routes changed. */
void ways_on_link_change(struct node *n);
/* A packet that came by DERP from the peer with that node key. */
void ways_on_derp(struct node *n, uint16_t region, const struct key *from, const uint8_t *data,
		  size_t len);

struct mesh_pong {
	uint64_t latency_ns;
	struct endpoint from; /* family 0: by DERP */
	uint16_t region;
};

/* pong NULL: nothing came within 10 s, or the peer went. Called once a ping; may not ping at once.
 */
typedef void mesh_pong_fn(void *arg, const struct mesh_pong *pong);
/* One ping, as path_peer_ping(). 0, -ENOENT, -EOPNOTSUPP (no disco), -ENOMEM. */
int ways_ping(struct node *n, const struct key *peer, mesh_pong_fn *cb, void *arg);
/* cb is not called any more for this arg. */
void ways_ping_cancel(struct node *n, const void *arg);

/* ---- the peer's side ---- */

void peer_ways_free(struct node_peer *p);
/* Does disco say where the peer is, and nothing else? */
static inline bool peer_has_ways(const struct node_peer *p)
{
	return p->ways;
}
/* The dataplane was found with this path. */
void peer_ways_adopt(struct node_peer *p, const struct dpapi_path *path);
/* Packets flow, or one waits. */
void peer_ways_on_activity(struct node_peer *p);
/* The dataplane sends and hears nothing. */
void peer_ways_on_silence(struct node_peer *p);
/* An authentic message came from there. */
void peer_ways_on_heard(struct node_peer *p, const struct dpapi_path *from);
/* A sealed packet or a handshake message, by all ways in use. 0, or a negative errno. */
int peer_ways_send(struct node_peer *p, const void *data, size_t len);
uint64_t peer_ways_deadline(const struct node_peer *p);
void peer_ways_tick(struct node_peer *p);
/* NULL: nothing was sent yet, or the peer is static. */
const struct path_peer *peer_ways_engine(const struct node_peer *p);

#endif
