/* SPDX-License-Identifier: Apache-2.0 */
/* Shows what a node reads in a DERP map, and that one wrong relay costs that relay alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "controlplane/derp_client/derp_map.h"

static struct derp_map *read_map(const char *text)
{
	struct derp_map *map = NULL;
	struct json_in in;
	json_t *json = json_in_parse(&in, text, strlen(text));

	assert_non_null(json);
	if (derp_map_parse(json, &map, &in))
		fail_msg("%s: %s", text, in.error);
	json_decref(json); /* the map holds its own */
	return map;
}

static void reads_all(void **state)
{
	struct derp_map *map = read_map(
		"{\"Regions\":{"
		"\"901\":{\"RegionID\":901,\"RegionCode\":\"b\",\"RegionName\":\"B\","
		"\"NoMeasureNoHome\":true,\"Nodes\":[{\"Name\":\"901s\",\"HostName\":\"s.test\","
		"\"STUNOnly\":true}]},"
		"\"7\":{\"RegionID\":7,\"RegionCode\":\"a\",\"Avoid\":true,\"Nodes\":["
		"{\"Name\":\"7a\",\"RegionID\":7,\"HostName\":\"192.0.2.1\","
		"\"CertName\":\"sha256-raw:00\","
		"\"IPv4\":\"192.0.2.1\",\"IPv6\":\"none\",\"STUNPort\":-1,\"DERPPort\":3443,"
		"\"InsecureForTests\":true,\"CanPort80\":true,\"STUNTestIP\":\"192.0.2.9\"},"
		"{\"Name\":\"7b\",\"HostName\":\"derp.test\",\"STUNPort\":5000,"
		"\"IPv6\":\"2001:db8::1\"}]},"
		"\"8\":null},\"omitDefaultRegions\":true,"
		"\"HomeParams\":{\"RegionScore\":{\"7\":0.5,\"901\":-3}}}");
	const struct derp_map_region *r = derp_map_region(map, 7);

	(void)state;
	assert_int_equal(map->region_count, 2);
	assert_int_equal(map->passed_over, 0);
	assert_true(map->omits_default_regions);
	assert_ptr_equal(r, &map->region[0]);
	assert_string_equal(r->code, "a");
	assert_string_equal(r->name, "");
	assert_true(r->is_avoided && !r->is_no_home && derp_map_relays(r));
	assert_true(r->score > 0.49 && r->score < 0.51);
	assert_int_equal(r->node_count, 2);
	assert_string_equal(r->node[0].host_name, "192.0.2.1");
	assert_string_equal(r->node[0].cert_name, "sha256-raw:00");
	assert_int_equal(r->node[0].ipv4.use, DERP_MAP_GIVEN);
	assert_int_equal(r->node[0].ipv4.addr.bytes[3], 1);
	assert_int_equal(r->node[0].ipv6.use, DERP_MAP_NONE);
	assert_int_equal(r->node[0].stun_ip.bytes[3], 9);
	assert_int_equal(r->node[0].stun_port, DERP_MAP_STUN_OFF);
	assert_int_equal(r->node[0].derp_port, 3443);
	assert_true(r->node[0].is_insecure && r->node[0].has_port80);
	assert_int_equal(r->node[1].ipv4.use, DERP_MAP_BY_NAME);
	assert_int_equal(r->node[1].ipv6.use, DERP_MAP_GIVEN);
	assert_int_equal(r->node[1].stun_port, 5000);
	assert_int_equal(r->node[1].derp_port, 443);
	assert_string_equal(r->node[1].cert_name, "");

	r = derp_map_region(map, 901);
	assert_true(r->is_no_home && !r->is_avoided && !derp_map_relays(r));
	assert_true(r->score == 1);
	assert_int_equal(r->node[0].stun_port, 3478);
	assert_null(derp_map_region(map, 8));
	assert_null(derp_map_region(map, 65536 + 7));
	assert_null(derp_map_region(NULL, 7));
	derp_map_free(map);
}

/* What is passed over, one each; the region or node beside it stays. */
static void passes_over_the_wrong(void **state)
{
	static const char *const regions[] = {
		"\"0\":{\"RegionID\":0}",
		"\"65536\":{\"RegionID\":65536}",
		"\"07\":{}",
		"\"x\":{}",
		"\"7\":7",
		"\"7\":{\"RegionID\":9}",
		"\"7\":{\"RegionCode\":3}",
		"\"7\":{\"Nodes\":{}}",
	};
	static const char *const nodes[] = {
		"null",
		"{}",
		"{\"HostName\":\"\"}",
		"{\"HostName\":4}",
		"{\"HostName\":\"h\",\"STUNPort\":65536}",
		"{\"HostName\":\"h\",\"DERPPort\":-1}",
		"{\"HostName\":\"h\",\"DERPPort\":\"443\"}",
		"{\"HostName\":\"h\",\"STUNOnly\":1}",
		"{\"HostName\":\"h\",\"STUNTestIP\":\"there\"}",
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		struct derp_map *map;

		snprintf(text, sizeof(text), "{\"Regions\":{%s,\"3\":{\"RegionID\":3}}}",
			 regions[i]);
		map = read_map(text);
		assert_int_equal(map->passed_over, 1);
		assert_int_equal(map->region_count, 1);
		assert_int_equal(map->region[0].id, 3);
		derp_map_free(map);
	}
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		struct derp_map *map;

		snprintf(text, sizeof(text),
			 "{\"Regions\":{\"3\":{\"Nodes\":[%s,{\"HostName\":\"good\"}]}}}",
			 nodes[i]);
		map = read_map(text);
		assert_int_equal(map->passed_over, 1);
		assert_int_equal(map->region[0].node_count, 1);
		assert_string_equal(map->region[0].node[0].host_name, "good");
		derp_map_free(map);
	}
}

static void refuses_what_is_no_map(void **state)
{
	static const struct {
		const char *text, *error;
	} wrong[] = {
		{"[]", "DERPMap: expected an object"},
		{"{\"Regions\":[]}", "Regions: expected an object"},
		{"{\"omitDefaultRegions\":3}", "omitDefaultRegions: expected true or false"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct derp_map *map = NULL;
		struct json_in in;
		json_t *json = json_in_parse(&in, wrong[i].text, strlen(wrong[i].text));

		assert_int_equal(derp_map_parse(json, &map, &in), -EBADMSG);
		assert_string_equal(in.error, wrong[i].error);
		assert_null(map);
		json_decref(json);
	}
}

static void takes_so_many(void **state)
{
	struct derp_map *map = NULL;
	struct json_in in;
	json_t *json = json_object(), *regions = json_object();

	(void)state;
	assert_int_equal(derp_map_parse(NULL, &map, &in), 0);
	assert_int_equal(map->region_count, 0);
	derp_map_free(map);

	json_object_set_new(json, "Regions", regions);
	for (int id = 100; id > 0; id--) {
		char key[8];

		snprintf(key, sizeof(key), "%d", id);
		json_object_set_new(regions, key, json_object());
	}
	assert_int_equal(derp_map_parse(json, &map, &in), 0);
	assert_int_equal(map->region_count, DERP_MAP_REGIONS_MAX);
	assert_int_equal(map->passed_over, 100 - DERP_MAP_REGIONS_MAX);
	for (size_t i = 1; i < map->region_count; i++)
		assert_true(map->region[i - 1].id < map->region[i].id);
	derp_map_free(map);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all),
		cmocka_unit_test(passes_over_the_wrong),
		cmocka_unit_test(refuses_what_is_no_map),
		cmocka_unit_test(takes_so_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
