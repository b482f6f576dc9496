/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of netcheck on the loop; for its own files only.
 *
 *   mesh_netcheck.c          what the owner sets and asks for, and when a report is made
 *   mesh_netcheck_run.c      a report: names, plan, requests, answers
 *   mesh_netcheck_outcome.c  what follows from it: endpoints, home, NetInfo
 *   mesh_netcheck_json.c     as text
 */
#ifndef CONTROLPLANE_NODE_MESH_NETCHECK_STATE_H
#define CONTROLPLANE_NODE_MESH_NETCHECK_STATE_H

#include "controlplane/node/mesh_netcheck.h"
#include "controlplane/node/relay_names.h"
#include "controlplane/path/home_region.h"

#define MESH_NETCHECK_UNSENT_MAX (NETCHECK_SETS_MAX * NETCHECK_TRIES_MAX)

struct mesh_netcheck {
	struct mesh_netcheck_env env;
	struct mesh_netcheck_events ev;
	void *arg;
	struct relay_names *names;
	uv_timer_t timer;
	bool is_closed;

	const struct derp_map *map;
	struct mesh_interfaces_state interfaces;
	uint16_t port4, port6;
	bool is_port_fixed, is_active;
	size_t configured_count;
	struct endpoint configured[ENDPOINT_LIST_MAX];

	/* The engine, and what it said during a call, in which it may not be called. */
	struct netcheck_env engine_env;
	struct netcheck engine;
	bool is_done;
	size_t unsent_count, untimed_count;
	struct netcheck_action unsent[MESH_NETCHECK_UNSENT_MAX];
	uint16_t untimed[HOME_REGIONS_MAX];
	bool can_send_v4, can_send_v6;

	/* What is to be done. */
	bool is_outdated; /* the map or the link is another: what runs is of no use */
	bool wants_full, wants_light;
	bool is_list_due;	 /* the endpoints may be others */
	bool is_waiting;	 /* a report is to begin once names are known */
	bool is_next_full;	 /* that one */
	uint64_t names_until_ns; /* it waits no longer */
	uint64_t full_at_ns, light_at_ns;

	/* What is known. */
	bool has_report;
	struct netcheck_report report; /* the last that ended */
	struct home_region home;
	struct endpoint_list endpoints;
	uint64_t answered_ns;
	json_t *netinfo;
};

/* mesh_netcheck_run.c */
void mesh_netcheck_engine_init(struct mesh_netcheck *m);
/* Looks names up, then begins; a report that runs is given up. The map has regions. */
void mesh_netcheck_begin(struct mesh_netcheck *m, bool is_full, uint64_t now_ns);
/* Names are known, or are not waited for any longer: goes on. */
void mesh_netcheck_go_on(struct mesh_netcheck *m, uint64_t now_ns);
void mesh_netcheck_give_up(struct mesh_netcheck *m);
/* Does what the engine said; after each call of it. */
void mesh_netcheck_take_actions(struct mesh_netcheck *m);

/* mesh_netcheck_outcome.c: each tells the owner of what has changed */
/* r: a report that has something to say, or NULL. */
void mesh_netcheck_update_endpoints(struct mesh_netcheck *m, const struct netcheck_report *r);
/* Without a home, if there is but one region to choose from, it is that one. */
void mesh_netcheck_take_only_home(struct mesh_netcheck *m);
void mesh_netcheck_finish(struct mesh_netcheck *m);

/* mesh_netcheck.c: when is there something to do again? */
void mesh_netcheck_arm(struct mesh_netcheck *m);

#endif
