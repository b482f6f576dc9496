/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network lets this node do: is there UDP, in which families, how far is each DERP region,
 * and does the NAT map by destination (docs/protocol/nat-traversal.md, "Netcheck"). An engine
 * without I/O: answers and time in, requests out by netcheck_env.act. The owner sends what it is
 * told from the sockets that carry WireGuard, calls netcheck_on_timer() at netcheck_next_ns(), and
 * reads report at NETCHECK_DONE. No call allocates; one thread; act may not call back.
 *
 *     STUN --- 3 s, or all sets ended, or 3 regions answered and waited --> some UDP: DONE
 *       |                                                                     ^
 *       +--- no answer at all --> HTTPS --- all answered, or 5 s in all ------+
 */
#ifndef CONTROLPLANE_PATH_NETCHECK_H
#define CONTROLPLANE_PATH_NETCHECK_H

#include "controlplane/path/home_region.h"
#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/wire/stun.h"

#define NETCHECK_TRIES_MAX  4
#define NETCHECK_SETS_MAX   (2 * HOME_REGIONS_MAX)
#define NETCHECK_MAPPED_MAX 16
#define NETCHECK_STUN_NS    (3 * NS_PER_SEC)
#define NETCHECK_ALL_NS	    (5 * NS_PER_SEC)
#define NETCHECK_NEVER	    UINT64_MAX

/* A region of the DERP map that may be measured. */
struct netcheck_region {
	uint16_t id;	    /* not 0 */
	uint8_t node_count; /* not 0, at most 32 */
	uint32_t nodes_v4;  /* bit n: node n can be asked over IPv4 */
	uint32_t nodes_v6;
};

/* Latencies: 0 = no answer. */
struct netcheck_latency {
	uint16_t region;
	uint64_t any_ns, v4_ns, v6_ns;
};

/* A mapped address and in how many answers it stood. */
struct netcheck_mapped {
	struct endpoint at;
	unsigned count;
};

enum netcheck_varies { NETCHECK_UNKNOWN, NETCHECK_NO, NETCHECK_YES };

/*
 * The fields of tailscale's report of the same names. ipv4 and ipv6: there was an answer over it.
 */
struct netcheck_report {
	uint64_t begun_ns, ended_ns;
	bool udp, ipv4, ipv6;
	bool can_send_v4, can_send_v6; /* a request left; the owner's to fill in, as the next two */
	bool has_os_v6;		       /* there is IPv6 at all */
	uint16_t home;		       /* chosen by this report; 0: none */
	enum netcheck_varies mapping_varies_by_dest_ip;
	struct endpoint global_v4, global_v6; /* the first answer's; family 0: none */
	size_t region_count;
	struct netcheck_latency region[HOME_REGIONS_MAX]; /* all that were asked */
	size_t mapped_count;
	struct netcheck_mapped mapped[NETCHECK_MAPPED_MAX];
};

/* "none", "endpoint-independent", "varies by destination", "udp blocked", "unknown". */
const char *netcheck_nat_type(const struct netcheck_report *r, const struct ip_addr *interfaces,
			      size_t count);
/* For home_region_choose(). */
void netcheck_home_report(const struct netcheck_report *r, struct home_report *out);

struct netcheck_probe {
	uint64_t at_ns; /* after the report's begin */
	uint8_t node;	/* which of the region's */
	uint8_t tx_id[STUN_TX_ID_BYTES];
	uint64_t sent_ns; /* 0: not yet */
	bool is_lost;	  /* it could not be sent */
};

/* The probes of one region in one family: over with the first answer. */
struct netcheck_set {
	uint16_t region;
	bool is_v6, is_over;
	uint8_t count;
	struct netcheck_probe probe[NETCHECK_TRIES_MAX];
};

struct netcheck_ask {
	const struct netcheck_region *region; /* by rising id, at most HOME_REGIONS_MAX */
	size_t count;
	const struct netcheck_report *last; /* NULL: a full report */
	uint16_t home;			    /* 0: none */
	bool has_v4, has_v6;		    /* an interface has the family */
};

/* Which sets a report is made of, by rising region, IPv4 before IPv6; returns how many. */
size_t netcheck_plan(const struct netcheck_ask *ask, struct netcheck_set *out);

enum netcheck_action_type {
	NETCHECK_SEND,	/* a STUN request to node of region */
	NETCHECK_HTTPS, /* time a request to region, then netcheck_on_https() */
	NETCHECK_DONE,
};

struct netcheck_action {
	enum netcheck_action_type type;
	uint16_t region;
	uint8_t node;
	bool is_v6;
	uint8_t request[STUN_REQUEST_BYTES];
};

struct netcheck_env {
	void *ctx;
	void (*random)(void *ctx, void *buf, size_t len);
	void (*act)(void *ctx, const struct netcheck_action *action);
};

enum netcheck_state { NETCHECK_IDLE, NETCHECK_STUN, NETCHECK_BY_HTTPS };

struct netcheck {
	const struct netcheck_env *env;
	enum netcheck_state state;
	bool is_full;
	uint64_t end_ns; /* of the state */
	size_t set_count;
	struct netcheck_set set[NETCHECK_SETS_MAX];
	bool is_timed[HOME_REGIONS_MAX]; /* report.region's HTTPS request is over */
	struct netcheck_report report;
};

/* Begins a report; one that runs is given up. ask is read during the call only. */
void netcheck_start(struct netcheck *n, const struct netcheck_env *env,
		    const struct netcheck_ask *ask, uint64_t now_ns);
/* A datagram that is STUN. STUN_OK if it answers a probe; else a negative stun_parse. */
int netcheck_on_stun(struct netcheck *n, const uint8_t *data, size_t len, uint64_t now_ns);
/* A request could not be sent, and neither could others to that node. netcheck_on_timer() next. */
void netcheck_on_unsent(struct netcheck *n, uint16_t region, uint8_t node, bool is_v6);
/* The request to region is over; family: over which it went, 0: it failed. */
void netcheck_on_https(struct netcheck *n, uint16_t region, uint8_t family, uint64_t latency_ns,
		       uint64_t now_ns);
uint64_t netcheck_next_ns(const struct netcheck *n);
void netcheck_on_timer(struct netcheck *n, uint64_t now_ns);

#endif
