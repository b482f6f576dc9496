/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relays of a mesh, as the coordinator tells of them (docs/protocol/derp.md, "The map"): the
 * DERPMap of a picture as structs, read once and then immutable. Who looks for relays and who
 * measures the way to them reads the same one. Strings are the JSON's, which the map holds. One
 * thread.
 */
#ifndef CONTROLPLANE_DERP_CLIENT_DERP_MAP_H
#define CONTROLPLANE_DERP_CLIENT_DERP_MAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/tailcfg/json_in.h"
#include "lib/base/addr.h"

/* As many as path/home_region.h can tell apart. */
#define DERP_MAP_REGIONS_MAX 64
#define DERP_MAP_NODES_MAX   32 /* of one region */
#define DERP_MAP_PORT	     443
#define DERP_MAP_STUN_OFF    (-1)

/* Where the address of one family comes from. */
enum derp_map_use {
	DERP_MAP_BY_NAME, /* look host_name up */
	DERP_MAP_GIVEN,	  /* it stands in the map */
	DERP_MAP_NONE,	  /* the node is not to be reached in this family */
};

struct derp_map_addr {
	enum derp_map_use use;
	struct ip_addr addr; /* DERP_MAP_GIVEN */
};

struct derp_map_node {
	const char *name;      /* one of the whole map's; may be "" */
	const char *host_name; /* a name or an address; not "" */
	const char *cert_name; /* "" = host_name; "sha256-raw:" and hexadecimal digits: pinned */
	struct derp_map_addr ipv4, ipv6;
	struct ip_addr stun_ip; /* family 0: as above */
	int32_t stun_port;	/* or DERP_MAP_STUN_OFF */
	uint16_t derp_port;
	bool is_stun_only;
	bool is_insecure; /* its certificate is not looked at */
	bool has_port80;
};

struct derp_map_region {
	uint16_t id;	  /* not 0 */
	const char *code; /* "fra"; may be "" */
	const char *name;
	double score;	 /* factor on latencies when a home is chosen; 1 if none is set */
	bool is_avoided; /* the old flag: not measured, unless it is the home */
	bool is_no_home; /* neither measured nor chosen; peers may be there */
	size_t node_count;
	struct derp_map_node *node; /* the coordinator's order: the first is to be taken */
};

struct derp_map {
	size_t region_count;
	struct derp_map_region *region; /* by rising id */
	bool omits_default_regions;
	size_t passed_over; /* regions and nodes that do not read, or are too many */
	json_t *json;
};

/*
 * Reads a DERPMap, or nothing (NULL or JSON null: a map without regions). What is wrong with one
 * region or node costs that one alone. 0 with *out the caller's; -EBADMSG with in->error: it is no
 * DERPMap at all; -ENOMEM. Takes a reference to json, which may not be changed from then on.
 */
int derp_map_parse(json_t *json, struct derp_map **out, struct json_in *in);
void derp_map_free(struct derp_map *map); /* NULL is fine */

/* NULL: there is none, or map is NULL. */
const struct derp_map_region *derp_map_region(const struct derp_map *map, uint64_t id);
/* Has it a node that relays, and not STUN alone? */
bool derp_map_relays(const struct derp_map_region *region);

#endif
