/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What causewayd gives up once it has opened what it needs: every capability but
 * CAP_NET_ADMIN (routes, addresses, sysctls of the TUN, nftables) and
 * CAP_NET_BIND_SERVICE (port 53 of MagicDNS), and system calls that only somebody
 * who has taken it over would make.
 */
#ifndef CONTROLPLANE_NODE_SANDBOX_H
#define CONTROLPLANE_NODE_SANDBOX_H

/* 0, or a negative errno. */
int sandbox_enter(void);

#endif
