/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's connection to its coordinator: the login engine (control/control.h) over
 * the transport (ts2021/ts2021_client.h), and the picture that comes of it. Secrets
 * and picture are kept in the state folder, so that a node that starts without its
 * coordinator has its mesh at once. The loop's thread only.
 *
 *   control engine -> requests -> ts2021_client -> answers -> control engine
 *   /machine/map -> tailcfg/map_frame -> netmap_apply -> on_map
 */
#ifndef CONTROLPLANE_NODE_MESH_CONTROL_H
#define CONTROLPLANE_NODE_MESH_CONTROL_H

#include <openssl/ssl.h>
#include <uv.h>

#include "controlplane/control/control.h"
#include "controlplane/netmap/netmap.h"

#define MESH_ERROR_MAX 512

struct mesh_control;

struct mesh_control_events {
	/* A picture, on its way to replace old (NULL: the first). Both are the caller's to read. */
	void (*on_map)(void *arg, const struct netmap *old, const struct netmap *now);
	void (*on_url)(void *arg, const char *url); /* show it to the user */
	/* in: is logged in; why: what went wrong last, "" = nothing. */
	void (*on_login)(void *arg, bool in, const char *why);
	/* A request of the coordinator's (PingRequest): its members, borrowed. */
	void (*on_ping)(void *arg, const json_t *request);
};

struct mesh_control_config {
	uv_loop_t *loop;
	const char *url;	 /* of the login server */
	const char *state_dir;	 /* exists, 0700 */
	SSL_CTX *tls;		 /* referenced */
	const struct key *disco; /* our public disco key */
	const struct wg_random *random;
	json_t *hostinfo; /* referenced */
};

/*
 * Reads secrets and cached picture; the cached one is told by on_map before this
 * returns. Nothing is sent before mesh_control_start. 0, or a negative errno with a
 * sentence in err.
 */
int mesh_control_open(const struct mesh_control_config *cfg, const struct mesh_control_events *ev,
		      void *arg, struct mesh_control **out, char err[MESH_ERROR_MAX]);
/* No events any more; run the loop until it is empty. NULL is fine. */
void mesh_control_close(struct mesh_control *m);

/* With a key from the last time; else waits for a login. */
void mesh_control_start(struct mesh_control *m);
int mesh_control_log_in(struct mesh_control *m, const char *auth_key, bool force);
void mesh_control_log_out(struct mesh_control *m);
/* Another coordinator comes: the picture of this one goes, also from the disk. */
void mesh_control_forget(struct mesh_control *m);
void mesh_control_pause(struct mesh_control *m, bool pause);
void mesh_control_set_hostinfo(struct mesh_control *m, json_t *hostinfo);
void mesh_control_set_endpoints(struct mesh_control *m, const struct control_endpoint *e,
				uint32_t n);

bool mesh_control_is_logged_in(const struct mesh_control *m);
/* A login is under way, or will be tried again. */
bool mesh_control_is_logging_in(const struct mesh_control *m);
/* on_login's last failure was the coordinator's word, not one of the way to it. */
bool mesh_control_was_refused(const struct mesh_control *m);
bool mesh_control_has_key(const struct mesh_control *m);
/* "" = none pending. */
const char *mesh_control_auth_url(const struct mesh_control *m);
/* The picture, or NULL. Valid until the next on_map has returned. */
const struct netmap *mesh_control_map(const struct mesh_control *m);
/* Our WireGuard key. */
const struct key *mesh_control_node_key(const struct mesh_control *m);
/* The coordinator's clock, ns since 1970, as far as it told. */
int64_t mesh_control_now_ns(const struct mesh_control *m);

#endif
