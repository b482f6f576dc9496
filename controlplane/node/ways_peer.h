/* SPDX-License-Identifier: Apache-2.0 */
/* What ways.c and ways_peer.c know of each other. */
#ifndef CONTROLPLANE_NODE_WAYS_PEER_H
#define CONTROLPLANE_NODE_WAYS_PEER_H

#include "controlplane/node/ways.h"

#define WAYS_BUCKETS 4096

/* A user's ping that waits for its answer. */
struct ways_ping {
	struct ways_ping *next;
	mesh_pong_fn *cb;
	void *arg;
	uint64_t until_ns;
};

struct peer_ways {
	struct node_peer *peer;
	struct netmap_node *node; /* counted */
	struct peer_ways *next;	  /* of its bucket */
	struct path_env env;
	struct path_peer *engine; /* NULL: nobody talked with it yet */
	struct ways_ping *pings;
	struct endpoint unreachable; /* family 0: none; told to the engine when it has returned */
	bool is_adopted;	     /* its path is an earlier process's, until the engine speaks */
};

struct ways {
	struct node *node;
	struct ways_env env;
	struct path_self self;
	struct endpoint endpoints[DISCO_BOX_ENDPOINTS_MAX];
	uint64_t active_ns; /* packets flowed with somebody */
	uint8_t hash_key[16];
	struct peer_ways *by_disco[WAYS_BUCKETS];
};

/* The first with that disco key, or NULL. */
struct peer_ways *ways_find(struct ways *w, const uint8_t disco[KEY_BYTES]);
void ways_insert(struct ways *w, struct peer_ways *pw);
void ways_remove(struct ways *w, struct peer_ways *pw);

/* Gives the peer its ways, or new facts. 0, or -ENOMEM: it stays without. */
int peer_ways_set(struct node_peer *p, struct netmap_node *node);
/* The engine, made if there is none; NULL: no memory. */
struct path_peer *peer_ways_wake(struct peer_ways *pw);
/* After each call of the engine. */
void peer_ways_settle(struct peer_ways *pw);

#endif
