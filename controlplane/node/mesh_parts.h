/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the mesh know of each other: mesh_open.c (from its files), mesh.c (settings,
 * login, state),
 * mesh_apply.c (a picture goes to work), mesh_relays.c (DERP, netcheck, endpoints),
 * mesh_show.c and
 * mesh_health.c (what others ask).
 */
#ifndef CONTROLPLANE_NODE_MESH_PARTS_H
#define CONTROLPLANE_NODE_MESH_PARTS_H

#include <limits.h>

#include "controlplane/derp_client/derp_map.h"
#include "controlplane/derp_client/derp_regions.h"
#include "controlplane/node/mesh.h"

struct dns_server;
struct mesh_asked;
struct mesh_interfaces;
struct mesh_netcheck;

struct mesh {
	struct node *node;
	char prefs_path[PATH_MAX];
	json_t *prefs;
	struct prefs_view view; /* of prefs */
	struct key disco;	/* private */
	SSL_CTX *tls;
	bool is_static; /* node.hujson names peers: no coordinator */

	struct mesh_control *control; /* NULL: no login server yet */
	char *control_url;	      /* its */
	json_t *net_info;	      /* for Hostinfo, or NULL */
	bool is_opening;	      /* the cached picture is being told */
	bool is_from_cache, is_connected;
	bool is_expired;	  /* our key: no traffic */
	bool is_carrying;	  /* the node's configuration is the mesh's */
	char *auth_key;		  /* of a login that is not done yet; NULL: none */
	bool is_auth_key_refused; /* that of the last start */
	bool had_key;		  /* when that login began */
	char url[CONTROL_URL_MAX];
	char error[CONTROL_TEXT_MAX];
	enum mesh_state state; /* as last told */
	uv_timer_t expiry;     /* a key's, peer's or ours */

	struct derp_regions *derp; /* of our node key; NULL without one */
	struct key derp_key;	   /* public: of which node key they are */
	struct derp_map *derp_map;
	struct mesh_netcheck *netcheck;
	struct mesh_interfaces *interfaces;
	struct mesh_asked *asked; /* over HTTPS, under way */
	uint16_t home;
	uv_timer_t look; /* are packets flowing? */

	struct dns_server *dns;
	bool is_dns_old; /* names or settings are others than those that it answers by */

	struct mesh_listener *listeners;
	unsigned handles;
};

void mesh_tell(struct mesh *m, uint32_t what);
enum mesh_state mesh_find_state(const struct mesh *m);
/* Looks whether the state is another one now, and tells. */
void mesh_update_state(struct mesh *m, uint32_t what);

/* Runs or stops the node as the settings want it now, and tells the coordinator. */
void mesh_follow_prefs(struct mesh *m);
/* The coordinator that the settings name. 0, or a negative errno with in->error. */
int mesh_open_control(struct mesh *m, struct json_in *in);
void mesh_close_control(struct mesh *m);

/* The node's configuration and ways, of the picture and the settings as they are now. */
void mesh_apply(struct mesh *m);

/* Applies again then, ns since 1970; INT64_MAX: never. */
void mesh_expire_at(struct mesh *m, int64_t at_ns);

int mesh_relays_open(struct mesh *m);
void mesh_relays_close(struct mesh *m);
/* All endpoints of this node, to a coordinator that was opened after they were found. */
void mesh_relays_tell_endpoints(struct mesh *m);
/* The picture's relays and our key. */
void mesh_relays_apply(struct mesh *m, const struct netmap *map);
/* Hostinfo for the coordinator, with what netcheck found. The caller's; NULL: no memory. */
json_t *mesh_hostinfo(const struct mesh *m);

#endif
