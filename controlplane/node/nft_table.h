/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Translation of what peers send to subnets behind this node: an nftables table of
 * our own, whose whole text follows from what is wanted. Each change replaces the
 * table in one transaction, so that what a killed causewayd left is taken over.
 *
 *   table inet causeway {
 *     set routes4 { 192.168.0.0/16 }
 *     chain forward      iifname "cw0" ip daddr @routes4   mark 0x40000/0xff0000
 *     chain postrouting  oifname != "cw0" mark 0x40000     masquerade
 *   }
 *
 * Packets are marked on the way in, as stock does, since postrouting does not know on
 * every kernel where a packet came from. Packets that the dataplane forwards itself
 * (port kinds xdp and dpdk) do not come by here. The loop's thread only; blocks for
 * some milliseconds.
 */
#ifndef CONTROLPLANE_NODE_NFT_TABLE_H
#define CONTROLPLANE_NODE_NFT_TABLE_H

#include <stdint.h>

#include "lib/base/addr.h"

#define NFT_TABLE_MARK	    0x40000u /* of packets to be translated */
#define NFT_TABLE_MARK_MASK 0xff0000u
#define NFT_PROBLEM_MAX	    160

struct nft_table;

struct nft_wanted {
	const char *tun;	     /* the interface that peers' packets come from */
	const struct prefix *routes; /* to where they are translated; none: no table */
	uint32_t route_count;
};

/* The text of the table and of the change to it; malloc'd, or NULL: no memory. Pure. */
char *nft_table_text(const struct nft_wanted *w);

/* 0, or -ENOMEM. */
int nft_table_open(struct nft_table **out);
/* Leaves the kernel's table as it is. NULL is fine. */
void nft_table_close(struct nft_table *t);
/*
 * Idempotent; what was applied last is not applied again. 0, or a negative errno with a
 * sentence in nft_table_problem; the kernel's table is then as it was.
 */
int nft_table_apply(struct nft_table *t, const struct nft_wanted *w);
/* Also a table that another process left. */
int nft_table_remove(struct nft_table *t);
/* NULL: none. */
const char *nft_table_problem(const struct nft_table *t);

#endif
