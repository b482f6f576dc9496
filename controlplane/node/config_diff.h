/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two configurations -> what is to be done. Pure. Peers are matched by public
 * key: a peer that was renamed, or moved in the file, is the same peer.
 */
#ifndef CONTROLPLANE_NODE_CONFIG_DIFF_H
#define CONTROLPLANE_NODE_CONFIG_DIFF_H

#include "controlplane/node/config.h"

enum config_change_kind { CONFIG_PEER_REMOVED, CONFIG_PEER_ADDED, CONFIG_PEER_KEPT };

#define CONFIG_DIFF_NAME      (1u << 0)
#define CONFIG_DIFF_PSK	      (1u << 1)
#define CONFIG_DIFF_ENDPOINT  (1u << 2)
#define CONFIG_DIFF_ALLOWED   (1u << 3)
#define CONFIG_DIFF_KEEPALIVE (1u << 4)
#define CONFIG_DIFF_MTU	      (1u << 5)
#define CONFIG_DIFF_JAILED    (1u << 6)

struct config_change {
	enum config_change_kind kind;
	uint32_t what;			    /* KEPT: CONFIG_DIFF_*, 0 = as it was */
	const struct config_peer *old_peer; /* not of ADDED */
	const struct config_peer *new_peer; /* not of REMOVED */
};

struct config_diff {
	bool key_changed; /* then every peer is removed and added */
	bool filter_changed;
	bool local_changed;
	bool link_changed;	       /* addresses, MTUs, allowed IPs: the kernel's side */
	struct config_change *changes; /* removals first; every peer of both is in it once */
	uint32_t count;
};

/* Points into both configurations. 0, or -ENOMEM. */
int config_diff_make(const struct node_config *old_cfg, const struct node_config *new_cfg,
		     struct config_diff *out);
void config_diff_fini(struct config_diff *d);

#endif
