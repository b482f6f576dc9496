/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under which addresses this node may be reached: what it tells the coordinator
 * (MapRequest.Endpoints and EndpointTypes) and, by call-me-maybe, its peers
 * (docs/protocol/nat-traversal.md, "Own endpoints"). One thread; no memory but the caller's.
 */
#ifndef CONTROLPLANE_PATH_ENDPOINT_LIST_H
#define CONTROLPLANE_PATH_ENDPOINT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/path/disco_box.h"
#include "lib/base/addr.h"

#define ENDPOINT_LIST_MAX DISCO_BOX_ENDPOINTS_MAX

/* The numbers of the map request. */
enum endpoint_type {
	ENDPOINT_LOCAL = 1,
	ENDPOINT_STUN = 2,
	ENDPOINT_PORT_MAPPED = 3,
	ENDPOINT_STUN4_LOCAL_PORT = 4,
	ENDPOINT_EXPLICIT = 5,
};

struct endpoint_entry {
	struct endpoint at;
	enum endpoint_type type;
	uint64_t seen_ns; /* when a source last named it */
};

struct endpoint_list {
	size_t count;
	struct endpoint_entry at[ENDPOINT_LIST_MAX];
};

/* What is known now. Arrays belong to the caller and are read during the call. */
struct endpoint_sources {
	struct endpoint port_mapped; /* family 0: none */
	/* Answers of this report, the best first: IPv4, IPv6, then those seen more than once. */
	const struct endpoint *stun;
	size_t stun_count;
	bool is_mapping_varying; /* it depends on the destination */
	bool is_port_fixed;	 /* configured, not chosen by the kernel */
	uint16_t port4, port6;	 /* of the sockets; 0: none of the family */
	const struct endpoint *configured;
	size_t configured_count;
	const struct ip_addr *interfaces; /* without the tunnel's */
	size_t interface_count;
};

/*
 * Makes l what s says now; what was in l and not local stays for 5 min 10 s after it was last
 * named, but never more than six endpoints of an address. Begins zeroed. True if the list differs
 * as a set from before: only then is it sent.
 */
bool endpoint_list_update(struct endpoint_list *l, const struct endpoint_sources *s,
			  uint64_t now_ns);

#endif
