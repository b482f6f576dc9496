/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows which peers, routes, rules and local prefixes a picture of the mesh and the
 * user's settings give, and that one change in it is one change in the configuration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/node/config_diff.h"
#include "controlplane/node/mesh_config.h"

#define K(c) "nodekey:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define NOW  1700000000000000000ll
#define MAP                                                                                        \
	"{\"Node\":{\"ID\":1,\"Name\":\"gw.t.\",\"Addresses\":[\"100.64.0.1/32\",\"fd7a::1/"       \
	"128\"],"                                                                                  \
	"\"AllowedIPs\":[\"100.64.0.1/32\",\"fd7a::1/128\",\"10.1.0.0/16\",\"10.7.0.0/16\"]},"     \
	"\"PacketFilter\":[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"*\",\"Ports\":{\"First\":"  \
	"0,"                                                                                       \
	"\"Last\":65535}}]}],\"Peers\":["                                                          \
	"{\"ID\":2,\"StableID\":\"n2\",\"Name\":\"exit.t.\",\"Key\":\"" K(                         \
		"02") "\",\"Addresses\":[\"100.64.0.2/32\"],\"AllowedIPs\":[\"100.64.0.2/"         \
		      "32\",\"0.0.0.0/0\","                                                        \
		      "\"::/0\"],\"IsJailed\":true},"                                              \
		      "{\"ID\":3,\"StableID\":\"n3\",\"Key\":\"" K(                                \
			      "03") "\",\"Addresses\":[\"100.64.0.3/"                              \
				    "32\"],\"AllowedIPs\":[\"100.64.0.3/32\",\"10.3.0.0/16\"],"    \
				    "\"Endpoints\":[\"192.0.2.3:3\"]},"                            \
				    "{\"ID\":4,\"Name\":\"old.t.\",\"Key\":\"" K(                  \
					    "04") "\",\"KeyExpiry\":\"2020-01-01T00:00:00Z\","     \
						  "\"Addresses\":[\"100.64.0.4/32\"]},"            \
						  "{\"ID\":5,\"Name\":\"keyless.t.\","             \
						  "\"Addresses\":[\"100.64.0.5/32\"]},"            \
						  "{\"ID\":6,\"Name\":\"wg.t.\",\"Key\":\"" K(     \
							  "06") "\",\"IsWireGuardOnly\":true,"     \
								"\"Endpoints\":[\"192.0.2.6:0\","  \
								"\"192.0.2.6:6\"],"                \
								"\"KeyExpiry\":\"2030-01-01T00:"   \
								"00:00Z\",\"Addresses\":[\"100."   \
								"64.0.6/32\"]}]}"

static struct netmap *map_of(const char *text)
{
	struct json_in in;
	json_t *message = json_in_parse(&in, text, strlen(text));
	struct netmap *m = NULL;

	if (!message || netmap_apply(NULL, message, NOW, &m, &in))
		fail_msg("%s", in.error);
	json_decref(message);
	return m;
}

static struct node_config *make(const struct netmap *m, const struct prefs_view *p)
{
	struct key private_key = {.bytes = {8}};
	struct mesh_input in = {.map = m, .prefs = p, .node_private = &private_key, .now_ns = NOW};
	struct node_config *cfg;
	uint32_t skipped;

	private_key.bytes[31] = 64;
	assert_int_equal(mesh_config_make(&in, &cfg, &skipped), 0);
	assert_int_equal(skipped, 0);
	return cfg;
}

static const struct config_peer *peer(const struct node_config *cfg, const char *name)
{
	for (uint32_t i = 0; i < cfg->peer_count; i++)
		if (strcmp(cfg->peers[i].name, name) == 0)
			return &cfg->peers[i];
	return NULL;
}

static void plain(void **state)
{
	struct prefs_view prefs = {.exit_node_id = ""};
	struct netmap *m = map_of(MAP);
	struct node_config *cfg = make(m, &prefs);
	char text[ADDR_STR_MAX];

	assert_int_equal(cfg->peer_count, 3);
	assert_null(peer(cfg, "old"));
	assert_null(peer(cfg, "keyless"));
	/* No exit node is chosen, no routes are accepted: addresses alone. */
	assert_int_equal(peer(cfg, "exit")->allowed_count, 1);
	assert_true(peer(cfg, "exit")->is_jailed);
	assert_int_equal(peer(cfg, "n3")->allowed_count, 1);
	assert_false(peer(cfg, "n3")->is_jailed);
	assert_int_equal(peer(cfg, "n3")->endpoint.addr.family, 0);
	assert_int_equal(peer(cfg, "n3")->mtu, 1280);
	assert_int_equal(peer(cfg, "wg")->endpoint.port, 6);
	assert_int_equal(cfg->address_count, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(cfg->addresses[i].is_service, i >= 2);
	/* MagicDNS: on the TUN, but not what the filter takes as ours. */
	assert_string_equal(addr_print(&cfg->addresses[2].addr, text), "100.100.100.100");
	assert_int_equal(cfg->addresses[2].prefix_len, 32);
	assert_string_equal(addr_print(&cfg->addresses[3].addr, text), "fd7a:115c:a1e0::53");
	for (uint32_t i = 0; i < cfg->local_count; i++)
		assert_false(prefix_contains(&cfg->local[i], &cfg->addresses[2].addr));
	assert_int_equal(cfg->local_count, 2);
	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_RULES);
	assert_int_equal(cfg->filter.rule_count, 1);
	assert_true(mesh_next_expiry(m, NOW) == 1893456000000000000ll);
	assert_true(mesh_next_expiry(m, 1893456000000000000ll) == INT64_MAX);
	config_free(cfg);
	netmap_free(m);
}

static void settings(void **state)
{
	struct prefix routes[] = {{.addr = {AF_INET, {10, 1}}, .len = 16},
				  {.addr = {AF_INET, {10, 2}}, .len = 16}};
	struct prefs_view prefs = {.exit_node_id = "n2",
				   .accept_routes = true,
				   .shields_up = true,
				   .routes = routes,
				   .route_count = 2};
	struct netmap *m = map_of(MAP);
	struct node_config *cfg = make(m, &prefs);

	assert_int_equal(peer(cfg, "exit")->allowed_count, 3);
	assert_int_equal(peer(cfg, "n3")->allowed_count, 2);
	/* 10.2/16 was not approved, 10.7/16 is not advertised any more. */
	assert_int_equal(cfg->local_count, 3);
	assert_int_equal(cfg->local[0].addr.bytes[0], 10);
	assert_int_equal(cfg->local[0].addr.bytes[1], 1);
	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_RULES);
	assert_int_equal(cfg->filter.rule_count, 0);
	config_free(cfg);
	prefs = (struct prefs_view){.exit_node_id = "", .exit_node_ip = {AF_INET, {100, 64, 0, 2}}};
	cfg = make(m, &prefs);
	assert_int_equal(peer(cfg, "exit")->allowed_count, 3);
	config_free(cfg);
	netmap_free(m);
}

/* Routes that are ours and advertised: forwarded, and translated unless the user says no. */
static void routes_are_translated(void **state)
{
	struct prefix advertised[] = {
		{.addr = {AF_INET, {10, 1}}, .len = 16},
		{.addr = {AF_INET6}, .len = 0},
	};
	struct prefs_view prefs = {.exit_node_id = "",
				   .routes = advertised,
				   .route_count = 2,
				   .netfilter = true,
				   .snat_subnet_routes = true};
	struct netmap *m = map_of(MAP);
	struct node_config *cfg = make(m, &prefs);

	/* ::/0 was not approved. */
	assert_int_equal(cfg->masquerade_count, 1);
	assert_true(prefix_equal(&cfg->masquerade[0], &advertised[0]));
	assert_true(cfg->forwards4 && !cfg->forwards6 && !cfg->leaves_netfilter);
	assert_false(cfg->has_exit || cfg->exit_shuts_lan);
	config_free(cfg);
	prefs.netfilter = prefs.snat_subnet_routes = false;
	cfg = make(m, &prefs);
	assert_int_equal(cfg->masquerade_count, 0);
	assert_true(cfg->forwards4 && cfg->leaves_netfilter);
	config_free(cfg);
	netmap_free(m);
}

/* Also one that is not in the map: nothing may go beside it. */
static void an_exit_node_closes_the_way_out(void **state)
{
	struct prefs_view prefs = {.exit_node_id = "nGone"};
	struct netmap *m = map_of(MAP);
	struct node_config *cfg = make(m, &prefs);

	assert_true(cfg->has_exit && cfg->exit_shuts_lan);
	assert_int_equal(peer(cfg, "exit")->allowed_count, 1);
	config_free(cfg);
	prefs.allow_lan = true;
	cfg = make(m, &prefs);
	assert_true(cfg->has_exit && !cfg->exit_shuts_lan);
	config_free(cfg);
	netmap_free(m);
}

static void no_filter_no_traffic(void **state)
{
	struct prefs_view prefs = {.exit_node_id = ""};
	struct netmap *m = map_of("{\"Node\":{\"ID\":1}}");
	struct node_config *cfg = make(m, &prefs);

	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_NONE);
	assert_int_equal(cfg->local_count, 0);
	config_free(cfg);
	netmap_free(m);
}

static void one_change(void **state)
{
	struct prefs_view prefs = {.exit_node_id = ""},
			  routes = {.exit_node_id = "", .accept_routes = true};
	struct netmap *m = map_of(MAP);
	struct node_config *before = make(m, &prefs), *same = make(m, &prefs);
	struct node_config *after = make(m, &routes);
	struct config_diff d;

	assert_int_equal(config_diff_make(before, same, &d), 0);
	assert_false(d.key_changed || d.filter_changed || d.local_changed || d.link_changed);
	for (uint32_t i = 0; i < d.count; i++)
		assert_int_equal(d.changes[i].what, 0);
	config_diff_fini(&d);
	assert_int_equal(config_diff_make(before, after, &d), 0);
	for (uint32_t i = 0; i < d.count; i++) {
		bool is_n3 = strcmp(d.changes[i].new_peer->name, "n3") == 0;

		assert_int_equal(d.changes[i].what, is_n3 ? CONFIG_DIFF_ALLOWED : 0);
	}
	assert_true(d.link_changed);
	config_diff_fini(&d);
	after->local[0].len--;
	after->peers[0].is_jailed = false;
	assert_int_equal(config_diff_make(before, after, &d), 0);
	assert_true(d.local_changed);
	for (uint32_t i = 0; i < d.count; i++)
		if (strcmp(d.changes[i].new_peer->name, "exit") == 0)
			assert_int_equal(d.changes[i].what, CONFIG_DIFF_JAILED);
	config_diff_fini(&d);
	config_free(before);
	config_free(same);
	config_free(after);
	netmap_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(settings),
		cmocka_unit_test(routes_are_translated),
		cmocka_unit_test(an_exit_node_closes_the_way_out),
		cmocka_unit_test(no_filter_no_traffic),
		cmocka_unit_test(one_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
