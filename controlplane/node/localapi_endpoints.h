/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints of the LocalAPI, by the file that has them, for the table of
 * localapi_route.c alone. Each answers its request once (localapi_conn.h).
 */
#ifndef CONTROLPLANE_NODE_LOCALAPI_ENDPOINTS_H
#define CONTROLPLANE_NODE_LOCALAPI_ENDPOINTS_H

#include "controlplane/node/localapi_conn.h"

/* localapi_node.c: the node itself. */
void api_get_status(struct api_conn *c, const struct http_request *req);
void api_get_metrics(struct api_conn *c, const struct http_request *req);
void api_get_user_metrics(struct api_conn *c, const struct http_request *req);
void api_post_reload(struct api_conn *c, const struct http_request *req);
void api_post_reload_config(struct api_conn *c, const struct http_request *req);
void api_post_down(struct api_conn *c, const struct http_request *req);
void api_post_up(struct api_conn *c, const struct http_request *req);

/* localapi_prefs.c: settings and login. */
void api_get_prefs(struct api_conn *c, const struct http_request *req);
void api_patch_prefs(struct api_conn *c, const struct http_request *req);
void api_post_check_prefs(struct api_conn *c, const struct http_request *req);
void api_post_start(struct api_conn *c, const struct http_request *req);
void api_post_login(struct api_conn *c, const struct http_request *req);
void api_post_logout(struct api_conn *c, const struct http_request *req);
/* localapi_profiles.c: GET, PUT, POST and DELETE below profiles/. */
void api_profiles(struct api_conn *c, const struct http_request *req);

/* localapi_bus.c */
void api_get_bus(struct api_conn *c, const struct http_request *req);

/* localapi_ping.c */
void api_post_ping(struct api_conn *c, const struct http_request *req);

/* localapi_mesh.c: what is known of the mesh and of the network. */
void api_get_whois(struct api_conn *c, const struct http_request *req);
void api_get_derp_map(struct api_conn *c, const struct http_request *req);
void api_get_path(struct api_conn *c, const struct http_request *req);
void api_get_netcheck(struct api_conn *c, const struct http_request *req);
void api_post_debug(struct api_conn *c, const struct http_request *req);

/* localapi_small.c: what the stock command line asks for and this node has little to say of. */
void api_get_ip_forwarding(struct api_conn *c, const struct http_request *req);
void api_get_no_warning(struct api_conn *c, const struct http_request *req);
void api_get_null(struct api_conn *c, const struct http_request *req);
void api_get_empty(struct api_conn *c, const struct http_request *req);
void api_get_no_exit_node(struct api_conn *c, const struct http_request *req);
void api_get_lock_status(struct api_conn *c, const struct http_request *req);

#endif
