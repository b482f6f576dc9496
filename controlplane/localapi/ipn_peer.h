/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One node as `tailscale status --json` shows it (docs/protocol/localapi.md,
 * "Status"; ipnstate.PeerStatus): what the coordinator says of it, and how it is
 * reached. Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_PEER_H
#define CONTROLPLANE_LOCALAPI_IPN_PEER_H

#include "controlplane/netmap/netmap.h"

/* How a peer is reached. Times: ns since 1970, 0 = never. */
struct ipn_live {
	struct endpoint direct; /* family 0: not direct */
	uint64_t rx_bytes, tx_bytes;
	int64_t last_write_ns, last_handshake_ns;
	bool is_active, is_in_paths, is_in_engine;
};

struct ipn_peer {
	const struct netmap_node *node; /* NULL: ourselves without a map */
	const struct ipn_live *live;	/* NULL: ourselves */
	const char *host_name;		/* where the node's Hostinfo has none */
	const char *relay;		/* code of the home region, "" = none */
	const json_t *addrs;		/* ourselves: texts of our endpoints, or NULL */
	bool is_online, is_exit_node, is_expired;
};

/* A new object, or NULL: no memory. Its keys are in the order that Go writes. */
json_t *ipn_peer_status(const struct ipn_peer *p);

/* The node's single addresses, IPv4 first: texts, with "/32" if as_prefixes. */
json_t *ipn_peer_addresses(const struct netmap_node *n, bool as_prefixes);
/* AllowedIPs hold both default routes. */
bool ipn_peer_offers_exit(const struct netmap_node *n);
/* "http://address:port" of Hostinfo.Services, IPv4 then IPv6; null: it serves none. */
json_t *ipn_peer_api_urls(const struct netmap_node *n);

#endif
