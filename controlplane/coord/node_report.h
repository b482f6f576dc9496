/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node says of itself in a register or map request, in the forms that the
 * store keeps. Pure.
 */
#ifndef CONTROLPLANE_COORD_NODE_REPORT_H
#define CONTROLPLANE_COORD_NODE_REPORT_H

#include "controlplane/tailcfg/json_in.h"

#define NODE_REPORT_HOST_MAX 64

struct node_report {
	struct key node_key, disco, network_lock;
	int64_t version;
	char *hostinfo;			 /* JSON object as it came, compact */
	char *routes;			 /* JSON list of RoutableIPs, masked */
	char *tags;			 /* JSON list of RequestTags; "[]" = none */
	char *endpoints;		 /* JSON list; NULL = not said */
	char host[NODE_REPORT_HOST_MAX]; /* one DNS label, never empty */
	int64_t home;			 /* DERP region, 0 = not known */
};

/* 0, or -EINVAL with in->error. node_report_fini in either case. */
int node_report_read(struct json_in *in, const json_t *request, struct node_report *out);
void node_report_fini(struct node_report *r);

#endif
