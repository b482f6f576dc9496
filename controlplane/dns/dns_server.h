/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MagicDNS: a resolver over UDP and TCP, for this host and for hosts of its LAN
 * (docs/protocol/dns.md). Names of the mesh are answered (dns_names.h), everything
 * else is asked of the resolvers of the coordinator or of the system
 * (dns_upstream.h). What comes from the tunnel is not answered.
 *
 * The service address may be bound before an interface has it, and sockets that
 * could not be bound, as when another resolver has the port, are tried again every
 * 5 s. The loop's thread only.
 */
#ifndef CONTROLPLANE_DNS_DNS_SERVER_H
#define CONTROLPLANE_DNS_DNS_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "controlplane/netmap/netmap.h"
#include "lib/base/addr.h"

#define DNS_SERVER_LISTEN_MAX 4

struct dns_server;

struct dns_server_options {
	uv_loop_t *loop;
	/* count 0: port 53 of the service addresses of both families. */
	struct endpoint listen[DNS_SERVER_LISTEN_MAX];
	uint32_t listen_count;
	const char *resolv_conf; /* the system's resolvers; NULL: /etc/resolv.conf */
};

struct dns_server_counters {
	uint64_t udp_queries, tcp_queries;
	uint64_t answered;	  /* of the mesh's names, also with "no such name" */
	uint64_t forwarded;	  /* asked elsewhere */
	uint64_t forward_answers; /* and answered from there */
	uint64_t forward_failed;  /* no resolver, or none answered: SERVFAIL */
	uint64_t bad_queries;	  /* not DNS, or FORMERR */
	uint64_t bad_replies;	  /* of resolvers: not to the question that was asked */
	uint64_t from_tunnel;	  /* not answered */
	uint64_t too_many;	  /* above a limit: SERVFAIL, or a connection refused */
};

/* Wants CAP_NET_BIND_SERVICE for as long as it lives. 0, or a negative errno. */
int dns_server_open(const struct dns_server_options *o, struct dns_server **out);
/* Queries under way are dropped. Memory goes when the loop has run. NULL is fine. */
void dns_server_close(struct dns_server *s);

/*
 * What is answered from now on; NULL: nothing is known of a mesh. The map is read, not
 * kept. To be called when netmap_diff says dns_changed, when settings change, and when
 * our own key expires. 0, or -ENOMEM: all stays as it was.
 */
int dns_server_set_map(struct dns_server *s, const struct netmap *m, bool accept_dns,
		       int64_t now_ns);
/* The TUN, whose packets are not answered; 0: there is none now. */
void dns_server_set_tunnel(struct dns_server *s, uint32_t ifindex);

const struct dns_server_counters *dns_server_counters(const struct dns_server *s);
/* A sentence for the user, or NULL: an address cannot be served, a resolver not used. */
const char *dns_server_problem(const struct dns_server *s);

#endif
