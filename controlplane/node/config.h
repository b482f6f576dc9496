/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.hujson as structs. A configuration is read whole or refused whole, with
 * file:line:column and the reason; what it names (key files) is read with it, so
 * an accepted one can be put to work without a further error. Once made it is
 * not changed; secrets in it are wiped by config_free.
 *
 *   {
 *     "private_key_file": "node.key",
 *     "addresses": ["10.9.0.1/24", "fd09::1/64"],
 *     "mtu": 1420,
 *     "lanes": 16,
 *     "masquerade": ["192.168.0.0/16"],
 *     "filter": "allow-all" | [{"src": ["10.1.0.0/16"], "dst": ["10.2.0.0/16:80,443"],
 *                               "proto": ["tcp"]}],
 *     "peers": [{"name": "site-b", "public_key": "...", "preshared_key_file": "b.psk",
 *                "endpoint": "203.0.113.2:41641", "allowed_ips": ["10.2.0.0/16"],
 *                "persistent_keepalive": 25, "mtu": 1420}]
 *   }
 */
#ifndef CONTROLPLANE_NODE_CONFIG_H
#define CONTROLPLANE_NODE_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/key.h"
#include "lib/dpapi/dpapi.h"
#include "lib/dpapi/rule_list.h"

#define CONFIG_ERROR_MAX   512
#define CONFIG_BYTES_MAX   (64u << 20)
#define CONFIG_NAME_MAX	   64
#define CONFIG_PEERS_MAX   65536
#define CONFIG_MTU_DEFAULT 1420
#define CONFIG_MTU_MIN	   576
#define CONFIG_MTU_MIN_V6  1280 /* RFC 8200 section 5 */
#define CONFIG_MTU_MAX	   9000

/* Where a value stands in the file; line 0: nowhere, it is the default. */
struct config_place {
	uint32_t line, column;
};

struct config_address {
	struct ip_addr addr;
	uint8_t prefix_len;
	/* Not the node's own, but served here (MagicDNS): no packet of the host has it as
	 * its source but answers, and status does not show it. */
	bool is_service;
};

struct config_peer {
	char name[CONFIG_NAME_MAX];
	struct key public_key;
	struct key preshared_key; /* zeros: none */
	struct endpoint endpoint; /* family 0: none */
	struct prefix *allowed;
	uint32_t allowed_count;
	uint16_t keepalive_s; /* 0: none */
	bool is_jailed;	      /* may answer, not initiate */
	uint16_t mtu;	      /* resolved: the node's if the peer names none */
	struct config_place mtu_place;
};

struct node_config {
	char source[PATH_MAX]; /* file, "" = none */
	struct key private_key;
	struct key public_key;
	struct config_address *addresses;
	uint32_t address_count;
	uint16_t mtu;
	uint8_t lanes; /* at most so many beside lane 0 (docs/protocol/lanes.md) */
	struct config_place mtu_place;
	struct rule_list filter;
	/* What the filter takes as ours, sorted by config_local_cmp; a file has all of both. */
	struct prefix *local;
	uint32_t local_count;
	struct config_peer *peers;
	uint32_t peer_count;
	/*
	 * Subnets behind this node (an exit node: default routes) to which traffic of peers
	 * leaves with this node's source (nft_table.h).
	 */
	struct prefix *masquerade;
	uint32_t masquerade_count;
	bool leaves_netfilter;	   /* no table of ours, whatever the above says */
	bool forwards4, forwards6; /* peers reach others through the kernel of this node */
	bool has_exit;		   /* all goes through an exit node; is none there, nowhere */
	bool exit_shuts_lan;	   /* also what this host sends to networks it is in */
	bool outer_shuns_tunnel;   /* outer packets never go into the tunnel, whatever its routes */
};

/*
 * path: NULL = no file: a node with a key and no peers. state_dir: where the
 * default private key is, made there if it is missing; NULL = make nothing
 * (--check: a missing default key is no error then).
 * 0, or a negative errno with "file:line:column: reason" in err.
 */
int config_load(const char *path, const char *state_dir, struct node_config **out,
		char err[CONFIG_ERROR_MAX]);
/*
 * The same from text. path gives the name and the folder of key files; without
 * one (NULL) no file is opened, made or looked for: the fuzzer's way in.
 */
int config_parse(const char *text, size_t len, const char *path, const char *state_dir,
		 struct node_config **out, char err[CONFIG_ERROR_MAX]);
/*
 * What only the ports know: refuses a peer whose MTU is above theirs (0: not known
 * yet). 0, or -EMSGSIZE with place and reason in err.
 */
int config_check_mtu(const struct node_config *cfg, uint32_t mtu_max, char err[CONFIG_ERROR_MAX]);
/* One line of the log. */
void config_log_refused(const char *err);
/* By family, address, length: the order of node_config.local. */
int config_local_cmp(const void *a, const void *b);
/* Wipes and frees. NULL is fine. */
void config_free(struct node_config *cfg);

#endif
