/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints of the LocalAPI, by the file that has them. Each answers its request
 * once (localapi_conn.h). In tests and in the table of localapi_route.c alone.
 */
#ifndef CONTROLPLANE_NODE_LOCALAPI_ENDPOINTS_H
#define CONTROLPLANE_NODE_LOCALAPI_ENDPOINTS_H

#include "controlplane/node/localapi_conn.h"

/* localapi_node.c: the node itself. */
void api_get_status(struct api_conn *c, const struct http_request *req);
void api_get_metrics(struct api_conn *c, const struct http_request *req);
void api_post_reload(struct api_conn *c, const struct http_request *req);
void api_post_reload_config(struct api_conn *c, const struct http_request *req);
void api_post_down(struct api_conn *c, const struct http_request *req);
void api_post_up(struct api_conn *c, const struct http_request *req);

#endif
