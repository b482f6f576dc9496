/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store holds, in memory, as its change feed tells it. Nothing else writes
 * here: a handler submits an operation and finds its effect when the change arrives,
 * whoever made it. Rows belong to the picture. The loop's thread only.
 *
 * A change of a node is told as what it means to its peers: a text that names all
 * that peers are shown, but for what changes often (endpoints, home region, disco
 * key), is kept beside each row and compared, so that a report which changes nothing
 * for others tells nobody.
 */
#ifndef CONTROLPLANE_COORD_PICTURE_H
#define CONTROLPLANE_COORD_PICTURE_H

#include <stddef.h>

#include "controlplane/coord/store.h"

/* What a change touches, one or more. */
enum picture_what {
	PICTURE_WHOLE = 1 << 0, /* there, gone, or anything that has no bit of its own */
	PICTURE_ENDPOINTS = 1 << 1,
	PICTURE_HOME = 1 << 2,
	PICTURE_DISCO = 1 << 3,
	PICTURE_ONLINE = 1 << 4, /* of maps.h */
	PICTURE_SELF = 1 << 5,	 /* only what the node itself is shown */
	PICTURE_USERS = 1 << 6,	 /* these with node 0 */
	PICTURE_DERP = 1 << 7,
	PICTURE_DNS = 1 << 8,
	PICTURE_POLICY = 1 << 9,
	PICTURE_ROUTES = 1 << 10,   /* what it offers, what is approved, what it carries */
	PICTURE_IDENTITY = 1 << 11, /* new, or another user's, or with other tags */
	PICTURE_EDGES = 1 << 12,    /* of visibility.h: who sees it, or what of it */
	PICTURE_FILTERS = 1 << 13,  /* of visibility.h, with node 0 */
};

struct picture_node {
	struct store_node *row;
	struct store_route **routes;
	unsigned route_count;
	char *fixed; /* members of the node as peers see it, without braces */
	struct picture_node *next_by_key;
};

/* Rows by their id; at[id] may be NULL. */
struct picture_rows {
	void **at;
	size_t room;
};

struct picture {
	struct picture_rows nodes; /* struct picture_node */
	struct picture_rows users, keys, routes, logins;
	struct store_doc *derp, *dns, *policy;
	char *dns_config;	 /* DNSConfig of dns; NULL: there is none */
	const char *dns_default; /* used while there is none, never NULL, borrowed */
	struct picture_node **by_key;
	size_t by_key_mask, node_count;
	const char *domain; /* "mesh.example", borrowed */
	/* node_id 0: what concerns all. */
	void (*on_change)(void *arg, int64_t node_id, unsigned what);
	/* A user that is new, renamed or gone; before on_change. NULL: nobody asks. */
	void (*on_user)(void *arg, int64_t user_id);
	/* A route is advertised that is not approved. NULL: nobody asks. */
	void (*on_route_offered)(void *arg, const struct store_route *r);
	/* A login that is no longer there, with its row. NULL: nobody asks. */
	void (*on_login_gone)(void *arg, const struct store_login *l);
	void *arg;
};

/* domain is borrowed. 0 or -ENOMEM. */
int picture_init(struct picture *p, const char *domain);
void picture_fini(struct picture *p);
/* Takes the row. */
void picture_apply(struct picture *p, struct store_change *c);

/* NULL: there is none. */
struct picture_node *picture_node(const struct picture *p, int64_t id);
struct picture_node *picture_node_by_key(const struct picture *p, const struct key *node_key);
const struct store_user *picture_user(const struct picture *p, int64_t id);
const struct store_user *picture_user_by_name(const struct picture *p, const char *name);
/* DNSConfig as JSON, borrowed. */
const char *picture_dns_config(const struct picture *p);
const struct store_login *picture_login(const struct picture *p, const char *token);

static inline bool picture_node_is_expired(const struct picture_node *n, int64_t now_ns)
{
	return n->row->expiry_ns && n->row->expiry_ns <= now_ns;
}

#endif
