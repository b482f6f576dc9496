/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP echo through the kernel, for `ping --icmp`: does a peer's system answer
 * through the tunnel. Sockets are opened once, before capabilities are dropped; a
 * host that gives none (no CAP_NET_RAW, no net.ipv4.ping_group_range) has no such
 * pings. The loop's thread only.
 */
#ifndef CONTROLPLANE_NODE_ICMP_PING_H
#define CONTROLPLANE_NODE_ICMP_PING_H

#include <uv.h>

#include "lib/base/addr.h"

struct icmp_ping;

/* Called once a ping that is answered. */
typedef void icmp_ping_fn(void *arg, uint64_t latency_ns);

/* NULL: no memory. */
struct icmp_ping *icmp_ping_open(uv_loop_t *loop);
/* Frees when the loop has closed its handles; no call of any fn any more. NULL is fine. */
void icmp_ping_close(struct icmp_ping *i);

/* 0; -EPROTONOSUPPORT: no socket of this family; -EBUSY: too many are out; what sendto says. */
int icmp_ping_send(struct icmp_ping *i, const struct ip_addr *to, icmp_ping_fn *fn, void *arg);
void icmp_ping_cancel(struct icmp_ping *i, void *arg);

#endif
