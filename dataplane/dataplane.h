/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What causeway-dp is made of: the ports, the tables that workers read, the
 * workers, and what the control thread needs to speak of them.
 *
 * The control thread (main) owns everything here and is the only writer of the
 * tables; workers read through their pointer. Tables are RCU: what is replaced
 * is freed after every worker has passed a quiescent state (table/retire.h).
 */
#ifndef DATAPLANE_DATAPLANE_H
#define DATAPLANE_DATAPLANE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/port.h"
#include "dataplane/worker.h"

struct rte_rcu_qsbr;
struct fib;
struct session_table;
struct peer_table;
struct flow_table;
struct rule_table;
struct neigh_table;

struct dataplane {
	uint64_t instance; /* random, new at each start */
	uint64_t started_ns;
	bool no_huge;
	bool is_pinned; /* each worker has a core of its own */

	unsigned port_count;
	struct port ports[PORTS_MAX];
	uint16_t mtu_max; /* the smallest of the ports' */

	unsigned worker_count;
	struct worker *workers[PORT_WORKERS_MAX];
	struct rte_rcu_qsbr *qsbr;

	struct fib *mesh;  /* prefix -> peer id */
	struct fib *local; /* prefix -> next hop + 1, or FIB_LOCAL_KERNEL */
	struct fib *outer; /* WAN: remote address -> next hop on a WAN interface, or KERNEL */
	struct session_table *sessions;
	struct peer_table *peers;
	struct flow_table *flows;
	struct rule_table *rules;
	struct neigh_table *neigh;
	uint32_t controller_generation; /* of the last barrier */
	int event_fd;			/* eventfd: a worker has posted an event */
	int channel_fd;			/* our end of the packet channel to causewayd, -1 = none */
};

/*
 * Ids in dataplane.local and dataplane.outer: the kernel takes the packet; or a gateway's next hop
 * (table/neigh.h, 1..65535); or an interface of ours whose neighbour the
 * destination itself is.
 */
#define FIB_LOCAL_KERNEL	       1u
#define FIB_LOCAL_NEXTHOP(nh)	       ((uint32_t)(nh) + 1u)
#define FIB_LOCAL_CONNECTED_BIT	       (1u << 20)
#define FIB_LOCAL_CONNECTED(port, dev) (FIB_LOCAL_CONNECTED_BIT | (uint32_t)(port) << 8 | (dev))

#endif
