/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to a ping (ipnstate.PingResult; docs/protocol/localapi.md, "Ping,
 * netcheck"). Pure.
 */
#ifndef CONTROLPLANE_LOCALAPI_IPN_PING_H
#define CONTROLPLANE_LOCALAPI_IPN_PING_H

#include "controlplane/netmap/netmap.h"

struct ipn_ping {
	struct ip_addr ip;		/* asked for */
	const struct netmap_node *node; /* who has it, or NULL */
	const char *error;		/* NULL: there was an answer */
	uint64_t latency_ns;
	struct endpoint endpoint; /* family 0: not direct */
	uint16_t region;	  /* 0: not by DERP */
	const char *region_code;
	bool is_local;
};

/* A new object, or NULL: no memory. */
json_t *ipn_ping_result(const struct ipn_ping *p);

#endif
