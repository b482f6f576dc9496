/* SPDX-License-Identifier: Apache-2.0 */
/* Between localapi.c, which owns connections, and localapi_conn.c, which answers on them. */
#ifndef CONTROLPLANE_NODE_LOCALAPI_SERVE_H
#define CONTROLPLANE_NODE_LOCALAPI_SERVE_H

#include "controlplane/node/localapi_conn.h"

/* The request is over: the next one, or the end of the connection. */
void localapi_conn_answered(struct api_conn *c, bool may_go_on);
/* Twice is fine. */
void localapi_conn_close(struct api_conn *c);
/* If nothing holds it any more. */
void localapi_conn_free(struct api_conn *c);

#endif
