/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document of `tailscale status --json` (ipnstate.Status;
 * docs/protocol/localapi.md, "Status") of a node in a mesh. Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_STATUS_H
#define CONTROLPLANE_LOCALAPI_IPN_STATUS_H

#include "controlplane/localapi/ipn_peer.h"

struct ipn_status {
	const char *version, *state, *auth_url, *host_name;
	const struct netmap *map; /* NULL: none */
	const json_t *prefs, *health, *addrs;
	int64_t now_ns; /* the coordinator's clock */
	uint16_t home_region;
	bool has_node_key, is_connected, with_peers;
	/* How a peer of the map is reached. */
	void (*live)(void *arg, const struct netmap_node *peer, struct ipn_live *out);
	void *arg;
};

/* A new object, or NULL: no memory. Its keys are in the order that Go writes. */
json_t *ipn_status(const struct ipn_status *s);

/* The code of a region of the DERP map; "" = not known. */
const char *ipn_region_code(const struct netmap *m, uint32_t region);
/* The name of a node without its first label and the dot at its end: "" = none. */
void ipn_dns_suffix(const struct netmap_node *n, char *out, size_t out_len);
/* It is the one whose default routes are taken. */
bool ipn_is_exit_node(const json_t *prefs, const struct netmap_node *n);
/* Peers route subnets that these settings do not take. */
bool ipn_leaves_routes(const struct netmap *m, const json_t *prefs);

#endif
