/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp_client/derp_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/wire/stun.h"

/* 1 to 65535 in the form that Go writes, else 0. */
static uint16_t region_id(const char *text)
{
	char *end;
	unsigned long id;

	if (text[0] < '1' || text[0] > '9')
		return 0;
	id = strtoul(text, &end, 10);
	return *end || id > UINT16_MAX ? 0 : (uint16_t)id;
}

/* Any text but "" and an address of the family ("none", by habit) switches the family off. */
static void read_use(struct json_in *in, const json_t *raw, const char *key, uint8_t family,
		     struct derp_map_addr *out)
{
	const char *text = "";
	struct ip_addr a;

	json_in_string(in, raw, key, &text);
	if (!text[0]) {
		out->use = DERP_MAP_BY_NAME;
	} else if (addr_parse(text, &a) || a.family != family) {
		out->use = DERP_MAP_NONE;
	} else {
		out->use = DERP_MAP_GIVEN;
		out->addr = a;
	}
}

/* 0 means the usual port. */
static int64_t read_port(struct json_in *in, const json_t *raw, const char *key, int64_t min,
			 int64_t usual)
{
	int64_t port = 0;

	json_in_i64(in, raw, key, min, UINT16_MAX, &port);
	return port ? port : usual;
}

static bool read_node(const json_t *raw, struct derp_map_node *out)
{
	struct derp_map_node n = {.name = "", .host_name = "", .cert_name = ""};
	struct json_in in = {{0}};
	int64_t stun_port;

	json_in_string(&in, raw, "Name", &n.name);
	json_in_string(&in, raw, "HostName", &n.host_name);
	json_in_string(&in, raw, "CertName", &n.cert_name);
	read_use(&in, raw, "IPv4", AF_INET, &n.ipv4);
	read_use(&in, raw, "IPv6", AF_INET6, &n.ipv6);
	json_in_addr(&in, raw, "STUNTestIP", &n.stun_ip);
	stun_port = read_port(&in, raw, "STUNPort", INT32_MIN, STUN_PORT);
	n.stun_port = stun_port < 0 ? DERP_MAP_STUN_OFF : (int32_t)stun_port;
	n.derp_port = (uint16_t)read_port(&in, raw, "DERPPort", 0, DERP_MAP_PORT);
	json_in_bool(&in, raw, "STUNOnly", &n.is_stun_only);
	json_in_bool(&in, raw, "InsecureForTests", &n.is_insecure);
	json_in_bool(&in, raw, "CanPort80", &n.has_port80);
	if (json_in_failed(&in) || !n.host_name[0])
		return false;
	*out = n;
	return true;
}

static int read_nodes(struct derp_map *map, struct derp_map_region *r, const json_t *list)
{
	size_t count = json_array_size(list);

	if (!count)
		return 0;
	r->node = calloc(count, sizeof(*r->node));
	if (!r->node)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (r->node_count < DERP_MAP_NODES_MAX &&
		    read_node(json_array_get(list, i), &r->node[r->node_count]))
			r->node_count++;
		else
			map->passed_over++;
	}
	return 0;
}

/* Of HomeParams.RegionScore; what is no positive number is none. */
static double score_of(const json_t *derp, const char *id)
{
	const json_t *scores = json_in_get(json_in_get(derp, "HomeParams"), "RegionScore");
	double score = json_number_value(json_object_get(scores, id));

	return score > 0 ? score : 1;
}

static int read_region(struct derp_map *map, const char *key, const json_t *raw)
{
	struct derp_map_region r = {.id = region_id(key), .code = "", .name = ""};
	struct json_in in = {{0}};
	json_t *nodes = json_in_list(&in, raw, "Nodes");
	int64_t said = 0;
	int rc;

	json_in_i64(&in, raw, "RegionID", 0, UINT16_MAX, &said);
	json_in_string(&in, raw, "RegionCode", &r.code);
	json_in_string(&in, raw, "RegionName", &r.name);
	json_in_bool(&in, raw, "Avoid", &r.is_avoided);
	json_in_bool(&in, raw, "NoMeasureNoHome", &r.is_no_home);
	/* Two numbers for one region: a peer's home would mean either. */
	if (json_in_failed(&in) || !r.id || (said && said != r.id) || !json_is_object(raw) ||
	    map->region_count == DERP_MAP_REGIONS_MAX) {
		map->passed_over++;
		return 0;
	}
	r.score = score_of(map->json, key);
	rc = read_nodes(map, &r, nodes);
	map->region[map->region_count++] = r;
	return rc;
}

static int by_id(const void *a, const void *b)
{
	const struct derp_map_region *ra = a, *rb = b;

	return (ra->id > rb->id) - (ra->id < rb->id);
}

static int read_map(struct derp_map *map, struct json_in *in)
{
	json_t *regions = json_in_object(in, map->json, "Regions"), *raw;
	const char *key;
	int rc = 0;

	if (map->json && !json_is_object(map->json))
		json_in_fail(in, "DERPMap", "an object");
	json_in_bool(in, map->json, "omitDefaultRegions", &map->omits_default_regions);
	if (json_in_failed(in))
		return -EBADMSG;
	map->region = calloc(DERP_MAP_REGIONS_MAX, sizeof(*map->region));
	if (!map->region)
		return -ENOMEM;
	json_object_foreach(regions, key, raw)
	{
		if (!json_is_null(raw) && !rc)
			rc = read_region(map, key, raw);
	}
	qsort(map->region, map->region_count, sizeof(*map->region), by_id);
	return rc;
}

int derp_map_parse(json_t *json, struct derp_map **out, struct json_in *in)
{
	struct derp_map *map = calloc(1, sizeof(*map));
	int rc;

	in->error[0] = 0;
	if (!map)
		return -ENOMEM;
	map->json = json_is_null(json) ? NULL : json_incref(json);
	rc = read_map(map, in);
	if (rc) {
		derp_map_free(map);
		return rc;
	}
	*out = map;
	return 0;
}

void derp_map_free(struct derp_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->region_count; i++)
		free(map->region[i].node);
	free(map->region);
	json_decref(map->json);
	free(map);
}

const struct derp_map_region *derp_map_region(const struct derp_map *map, uint64_t id)
{
	const struct derp_map_region key = {.id = (uint16_t)id};

	if (!map || id > UINT16_MAX)
		return NULL;
	return bsearch(&key, map->region, map->region_count, sizeof(key), by_id);
}

bool derp_map_relays(const struct derp_map_region *region)
{
	for (size_t i = 0; i < region->node_count; i++) {
		if (!region->node[i].is_stun_only)
			return true;
	}
	return false;
}
