/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netcheck on the node's loop: asks the relays by STUN through the sockets that carry WireGuard,
 * and makes of the answers what the network is like (path/netcheck.h), which region is home
 * (path/home_region.h) and under which addresses this node may be reached (path/endpoint_list.h).
 *
 *   map, ports, interfaces -> plan -> env.send, env.https
 *   STUN, HTTPS -> mesh_netcheck_on_... -> report -> on_endpoints, on_home, on_netinfo, on_report
 *
 * | report | when |
 * |---|---|
 * | full  | the first one, every 5 min, at a new map, on another link, on request |
 * | light | every 20 to 26 s while the node is active, and when fresh endpoints are wanted |
 *
 * Nothing is asked before a map, ports and interfaces were set. Names of relays are looked up
 * before a report begins, so that no look-up counts as latency. Endpoints are told as soon as they
 * are known: those of interfaces at once, the first STUN answer when it comes, not at the report's
 * end. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_MESH_NETCHECK_H
#define CONTROLPLANE_NODE_MESH_NETCHECK_H

#include <jansson.h>
#include <uv.h>

#include "controlplane/derp_client/derp_map.h"
#include "controlplane/node/mesh_interfaces.h"
#include "controlplane/noise/wg_env.h"
#include "controlplane/path/endpoint_list.h"
#include "controlplane/path/netcheck.h"

struct mesh_netcheck;

/* What it needs of its owner. No function may call back at once. */
struct mesh_netcheck_env {
	void *ctx;
	/* A datagram from the socket of to's family. 0, or a negative errno. */
	int (*send)(void *ctx, const struct endpoint *to, const void *data, size_t len);
	/* Time a request to the region; its end comes by mesh_netcheck_on_https. */
	void (*https)(void *ctx, const struct derp_map_region *region);
	/* CLOCK_BOOTTIME of the last DERP frame from there; 0 = never. */
	uint64_t (*last_frame_ns)(void *ctx, uint16_t region);
	/* Would the coordinator hear of another home now? While not, a home is kept. */
	bool (*is_heard)(void *ctx);
	const struct wg_random *random; /* borrowed */
};

/*
 * In this order, after a report; the first three before it, too. What is told may be read during
 * the call. An event may set and ask, but not close.
 */
struct mesh_netcheck_events {
	/* The list differs as a set. */
	void (*on_endpoints)(void *arg, const struct endpoint_list *list);
	/* Another home region; 0: there is no relay to be home. */
	void (*on_home)(void *arg, uint16_t region);
	/* NetInfo differs in more than latencies; borrowed. */
	void (*on_netinfo)(void *arg, json_t *netinfo);
	void (*on_report)(void *arg, const struct netcheck_report *report);
};

/* env and ev are copied. 0, or -ENOMEM. */
int mesh_netcheck_open(uv_loop_t *loop, const struct mesh_netcheck_env *env,
		       const struct mesh_netcheck_events *ev, void *arg,
		       struct mesh_netcheck **out);
/* No events any more; memory goes when the loop has closed its handles. NULL is fine. */
void mesh_netcheck_close(struct mesh_netcheck *m);

/* Borrowed until another one is set or m is closed, when it may be freed. NULL: none. */
void mesh_netcheck_set_map(struct mesh_netcheck *m, const struct derp_map *map);
/* The home of the last run: kept until a report knows better. Tells nobody. */
void mesh_netcheck_set_home(struct mesh_netcheck *m, uint16_t region);
/* Of the sockets; 0: none of the family. is_fixed: configured, not chosen by the kernel. */
void mesh_netcheck_set_ports(struct mesh_netcheck *m, uint16_t port4, uint16_t port6,
			     bool is_fixed);
/* Endpoints of the configuration; copied, at most ENDPOINT_LIST_MAX. */
void mesh_netcheck_set_configured(struct mesh_netcheck *m, const struct endpoint *e, size_t count);
/* At the start and at each change (mesh_interfaces.h); copied. */
void mesh_netcheck_set_interfaces(struct mesh_netcheck *m, const struct mesh_interfaces_state *s);
/* There are peers, and packets went within the last 45 s. */
void mesh_netcheck_set_active(struct mesh_netcheck *m, bool is_active);

/* A full report now; one that runs and is full will do. */
void mesh_netcheck_run(struct mesh_netcheck *m);
/*
 * Endpoints as of now, by a light report; one that runs will do. on_report says that it ended, if
 * anybody can be asked at all.
 */
void mesh_netcheck_refresh(struct mesh_netcheck *m);

/* A datagram that stun_is(). STUN_OK if it answers us, else a negative stun_parse. */
int mesh_netcheck_on_stun(struct mesh_netcheck *m, const uint8_t *data, size_t len,
			  const struct endpoint *from);
/* family: over which the request went; 0: it failed. */
void mesh_netcheck_on_https(struct mesh_netcheck *m, uint16_t region, uint8_t family,
			    uint64_t latency_ns);

/* NULL: none yet. Until the next one has ended. */
const struct netcheck_report *mesh_netcheck_last(const struct mesh_netcheck *m);
uint16_t mesh_netcheck_home(const struct mesh_netcheck *m);
const struct endpoint_list *mesh_netcheck_endpoints(const struct mesh_netcheck *m);
/* When a STUN answer last came in, boot time; 0 = never: are the endpoints fresh? */
uint64_t mesh_netcheck_answered_ns(const struct mesh_netcheck *m);

/* As `tailscale netcheck --format=json` has it. A new value; NULL: no memory. */
json_t *mesh_netcheck_report_json(const struct netcheck_report *r);
/* For Hostinfo (tailcfg NetInfo), with the home region. A new value; NULL: no memory. */
json_t *mesh_netcheck_netinfo(const struct netcheck_report *r, uint16_t home);

#endif
