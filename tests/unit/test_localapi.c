/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the LocalAPI's answers are those that a stock daemon gave in the same
 * state, keys in the same order: what a stock CLI recorded, beside the map that the
 * daemon had. Left out of the recordings: a notice in Self.Capabilities, the own home
 * region without a map, TaildropTarget of peers (0 here).
 * Usage: test_localapi answers.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/localapi/ipn_netcheck.h"
#include "controlplane/localapi/ipn_notify.h"
#include "controlplane/localapi/ipn_ping.h"
#include "controlplane/localapi/ipn_prefs.h"
#include "controlplane/localapi/ipn_status.h"
#include "controlplane/localapi/ipn_whois.h"
#include "tests/unit/vector_json.h"

static json_t *answers;

/* The order of keys counts: got goes out as it is. */
static void same(json_t *got, const json_t *want, const char *name)
{
	char *a = json_dumps(got, JSON_ENCODE_ANY | JSON_INDENT(1)),
	     *b = json_dumps(want, JSON_ENCODE_ANY | JSON_INDENT(1));

	assert_non_null(a);
	if (strcmp(a, b) != 0)
		fail_msg("%s:\n%s\n%s", name, a, b);
	free(a);
	free(b);
	json_decref(got);
}

/* NULL: the state has none. */
static struct netmap *map_of(const char *name)
{
	struct json_in in = {0};
	struct netmap *m = NULL;

	if (name)
		assert_int_equal(
			netmap_apply(NULL, json_object_get(json_object_get(answers, "maps"), name),
				     0, &m, &in),
			0);
	return m;
}

static void live_of(void *arg, const struct netmap_node *peer, struct ipn_live *out)
{
	const json_t *lives = arg, *live;
	struct json_in in = {0};
	const char *at;
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)peer->id);
	live = json_object_get(lives, id);
	at = vector_text(live, "CurAddr");
	if (at[0])
		assert_int_equal(endpoint_parse(at, &out->direct), 0);
	out->rx_bytes = (uint64_t)json_integer_value(json_object_get(live, "RxBytes"));
	out->tx_bytes = (uint64_t)json_integer_value(json_object_get(live, "TxBytes"));
	json_in_time(&in, live, "LastWrite", &out->last_write_ns);
	json_in_time(&in, live, "LastHandshake", &out->last_handshake_ns);
	out->is_active = json_is_true(json_object_get(live, "Active"));
	out->is_in_paths = json_is_true(json_object_get(live, "InMagicSock"));
	out->is_in_engine = json_is_true(json_object_get(live, "InEngine"));
}

static void status(void **state)
{
	const json_t *one;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(answers, "status"), i, one)
	{
		const json_t *in = json_object_get(one, "in");
		struct netmap *m = map_of(vector_text(in, "map"));
		struct ipn_status s = {
			.version = vector_text(in, "version"),
			.state = vector_text(in, "state"),
			.auth_url = vector_text(in, "auth_url"),
			.host_name = vector_text(in, "host_name"),
			.map = m,
			.prefs = json_object_get(in, "prefs"),
			.health = json_object_get(in, "health"),
			.addrs = json_object_get(in, "addrs"),
			.home_region =
				(uint16_t)json_integer_value(json_object_get(in, "home_region")),
			.has_node_key = json_is_true(json_object_get(in, "has_node_key")),
			.is_connected = json_is_true(json_object_get(in, "is_connected")),
			.with_peers = json_is_true(json_object_get(in, "with_peers")),
			.live = live_of,
			.arg = json_object_get(in, "live"),
		};

		same(ipn_status(&s), json_object_get(one, "want"), vector_text(one, "name"));
		netmap_free(m);
	}
	assert_int_equal(i, 10);
}

static void exit_node_by_address(void **state)
{
	struct netmap *m = map_of("routes");
	json_t *prefs = json_pack("{s:s, s:s}", "ExitNodeID", "", "ExitNodeIP", "100.64.0.2");
	json_t *masked = json_pack("{s:s, s:s, s:b, s:b}", "ExitNodeIP", "100.64.0.2", "ExitNodeID",
				   "", "ExitNodeIPSet", 1, "ExitNodeIDSet", 1),
	       *resolved;

	(void)state;
	assert_true(ipn_is_exit_node(prefs, m->peers[0]));
	assert_false(ipn_is_exit_node(prefs, m->self));
	resolved = ipn_prefs_resolve_exit_node(masked, m);
	assert_string_equal(vector_text(resolved, "ExitNodeID"), "TESTCTRL00000002");
	assert_string_equal(vector_text(resolved, "ExitNodeIP"), "");
	json_decref(resolved);
	/* Nobody has it: left to the one who applies it. */
	json_object_set_new(masked, "ExitNodeIP", json_string("100.64.0.77"));
	resolved = ipn_prefs_resolve_exit_node(masked, m);
	assert_string_equal(vector_text(resolved, "ExitNodeIP"), "100.64.0.77");
	json_decref(resolved);
	json_decref(masked);
	json_decref(prefs);
	netmap_free(m);
}

static void ping(void **state)
{
	struct netmap *m = map_of("plain");
	const json_t *one;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(answers, "ping"), i, one)
	{
		const json_t *want = json_object_get(one, "want");
		const char *error = vector_text(want, "Err"), *at = vector_text(want, "Endpoint");
		struct ipn_ping p = {
			.error = error[0] ? error : NULL,
			.latency_ns = (uint64_t)(json_real_value(
							 json_object_get(want, "LatencySeconds")) *
							 1e9 +
						 0.5),
			.region =
				(uint16_t)json_integer_value(json_object_get(want, "DERPRegionID")),
			.region_code = ipn_region_code(m, 1),
			.is_local = json_is_true(json_object_get(want, "IsLocalIP")),
			.node = error[0] ? NULL : m->peers[0],
		};

		assert_int_equal(addr_parse(vector_text(want, "IP"), &p.ip), 0);
		if (at[0])
			p.endpoint = vector_endpoint(at);
		/* Go writes a whole number without a point. */
		if (!p.latency_ns)
			json_object_set_new((json_t *)want, "LatencySeconds", json_real(0));
		same(ipn_ping_result(&p), want, vector_text(one, "name"));
	}
	assert_true(i > 5);
	netmap_free(m);
}

static void whois(void **state)
{
	struct netmap *m = map_of("routes");
	const json_t *one;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(answers, "whois"), i, one)
	{
		const json_t *want = json_object_get(one, "want");
		const struct netmap_node *n;
		struct ipn_who who;

		assert_int_equal(ipn_who_parse(vector_text(one, "addr"), &who), 0);
		n = ipn_who_find(m, &who);
		if (json_is_null(want))
			assert_null(n);
		else
			same(ipn_whois(m, n), want, vector_text(one, "name"));
	}
	assert_int_equal(i, 4);
	netmap_free(m);
}

static void who_is_asked_for(void **state)
{
	static const char *const good[] = {"100.64.0.2:80", "[fd7a:115c:a1e0::2]:443", "fd7a::1"};
	static const char *const bad[] = {"bogus", "", "nodekey:zz", "100.64.0.2:", "100.64.0.2:x"};
	struct ipn_who who;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ipn_who_parse(good[i], &who), 0);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(ipn_who_parse(bad[i], &who), -22);
}

static void sources_of_grants(void **state)
{
	static const struct {
		const char *src, *dst;
		bool matches;
	} cases[] = {
		{"100.64.0.2", "100.64.0.1/32", true},
		{"100.64.0.0/24", "*", true},
		{"100.64.0.1-100.64.0.9", "0.0.0.0/0", true},
		{"100.64.0.3-100.64.0.9", "0.0.0.0/0", false},
		{"cap:funnel", "*", true},
		{"cap:none", "*", false},
		{"100.64.0.2", "100.64.0.9", false},
		{"100.64.0.2", "::/0", false}, /* no address of both families */
		{"nonsense", "*", false},
	};
	struct netmap *m = map_of("plain");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *grants;

		json_decref(m->filters);
		m->filters =
			json_pack("{s:[{s:[s], s:[{s:[s], s:{s:[i]}}, {s:[s], s:{s:[i]}}]}]}",
				  "base", "SrcIPs", cases[i].src, "CapGrant", "Dsts", cases[i].dst,
				  "CapMap", "c", 1, "Dsts", cases[i].dst, "CapMap", "c", 2);
		grants = ipn_grants(m, m->peers[0]);
		if (cases[i].matches)
			assert_int_equal(json_array_size(json_object_get(grants, "c")), 2);
		else
			assert_true(json_is_null(grants));
		json_decref(grants);
	}
	netmap_free(m);
}

static void prefs(void **state)
{
	const json_t *one;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(answers, "prefs"), i, one)
	{
		const json_t *want = json_object_get(one, "want");
		struct netmap *m = map_of(vector_text(one, "map"));
		json_t *kept = json_deep_copy(want);

		json_object_set_new(kept, "Config", json_null());
		same(ipn_prefs_shown(kept, m), want, vector_text(one, "name"));
		json_decref(kept);
		netmap_free(m);
	}
	assert_int_equal(i, 2);
}

static void profile(void **state)
{
	struct netmap *m = map_of("plain");
	json_t *want = json_deep_copy(json_object_get(answers, "profile"));
	json_t *kept = json_pack("{s:O}", "ControlURL", json_object_get(want, "ControlURL")), *none;

	(void)state;
	json_object_set_new(want, "ID", json_string(IPN_PROFILE_ID));
	json_object_set_new(want, "Key", json_string("profile-" IPN_PROFILE_ID));
	same(ipn_profile(kept, m), want, "profile");
	none = ipn_profile(kept, NULL);
	assert_string_equal(vector_text(none, "ID"), "");
	assert_string_equal(vector_text(json_object_get(none, "UserProfile"), "LoginName"), "");
	json_decref(none);
	json_decref(want);
	json_decref(kept);
	netmap_free(m);
}

static json_t *line(const struct ipn_notify *n)
{
	size_t len;
	char *text = ipn_notify_line(n, &len);
	json_t *got;

	assert_int_equal(strlen(text), len);
	assert_int_equal(text[len - 1], '\n');
	assert_ptr_equal(strchr(text, '\n'), text + len - 1);
	got = json_loads(text, 0, NULL);
	free(text);
	return got;
}

static void notify(void **state)
{
	struct ipn_notify n = {.version = "1", .state = IPN_NO_STATE_NEWS};
	const json_t *key;
	json_t *got = line(&n), *health;
	size_t i;

	(void)state;
	assert_int_equal(json_object_size(got),
			 json_array_size(json_object_get(answers, "bus_keys")));
	json_array_foreach(json_object_get(answers, "bus_keys"), i, key)
		assert_non_null(json_object_get(got, json_string_value(key)));
	json_decref(got);
	n.state = 6;
	n.login_finished = true;
	n.browse_to_url = "http://x/";
	n.health = health = ipn_health(json_object_get(answers, "none"));
	got = line(&n);
	assert_int_equal(json_integer_value(json_object_get(got, "State")), 6);
	assert_true(json_is_object(json_object_get(got, "LoginFinished")));
	assert_string_equal(vector_text(got, "BrowseToURL"), "http://x/");
	assert_true(json_is_null(json_object_get(json_object_get(got, "Health"), "Warnings")));
	json_decref(health);
	json_decref(got);
}

static void masks(void **state)
{
	(void)state;
	assert_null(ipn_watch_problem(0));
	assert_null(ipn_watch_problem(45056));
	assert_null(ipn_watch_problem(16518));
	assert_non_null(strstr(ipn_watch_problem(4352), "NotifyPeerChanges"));
	assert_non_null(strstr(ipn_watch_problem(65536), "in-process"));
}

static void peer_changes(void **state)
{
	struct netmap *old = map_of("plain"), *now = map_of("routes");
	struct ipn_nodes told = {0};
	json_t *changed, *removed;

	(void)state;
	ipn_peer_changes(&told, now, &changed, &removed);
	assert_int_equal(json_array_size(changed), 1);
	assert_int_equal(json_array_size(removed), 0);
	json_decref(changed);
	json_decref(removed);
	ipn_nodes_take(&told, old);
	ipn_peer_changes(&told, old, &changed, &removed);
	assert_int_equal(json_array_size(changed) + json_array_size(removed), 0);
	json_decref(changed);
	json_decref(removed);
	ipn_peer_changes(&told, now, &changed, &removed);
	assert_int_equal(json_array_size(changed), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(changed, 0), "ID")), 2);
	json_decref(changed);
	json_decref(removed);
	/* What was told outlives the picture. */
	netmap_free(old);
	netmap_node_put(now->peers[0]);
	now->peer_count = 0;
	ipn_peer_changes(&told, now, &changed, &removed);
	assert_int_equal(json_array_size(changed), 0);
	assert_int_equal(json_integer_value(json_array_get(removed, 0)), 2);
	json_decref(changed);
	json_decref(removed);
	ipn_nodes_fini(&told);
	netmap_free(now);
}

static void netcheck(void **state)
{
	struct netcheck_report r = {
		.udp = true,
		.ipv4 = true,
		.region_count = 2,
		.region = {{.region = 1, .any_ns = 209816, .v4_ns = 209816}, {.region = 9}},
		.mapped_count = 1,
	};
	json_t *got;

	(void)state;
	assert_int_equal(endpoint_parse("10.77.0.2:45896", &r.global_v4), 0);
	r.mapped[0].at = r.global_v4;
	r.mapped[0].count = 1;
	got = ipn_netcheck(&r, 1790000000000000000, 1, true);
	assert_non_null(got);
	assert_true(json_is_null(json_object_get(got, "MappingVariesByDestIP")));
	assert_int_equal(json_object_size(json_object_get(got, "RegionLatency")), 1);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(got, "RegionLatency"), "1")),
		209816);
	assert_int_equal(json_object_size(json_object_get(got, "RegionV6Latency")), 0);
	assert_true(json_is_null(json_object_get(got, "GlobalV6Counters")));
	assert_string_equal(vector_text(got, "GlobalV4"), "10.77.0.2:45896");
	assert_string_equal(vector_text(got, "GlobalV6"), "");
	json_decref(got);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status),
		cmocka_unit_test(exit_node_by_address),
		cmocka_unit_test(ping),
		cmocka_unit_test(whois),
		cmocka_unit_test(who_is_asked_for),
		cmocka_unit_test(sources_of_grants),
		cmocka_unit_test(prefs),
		cmocka_unit_test(profile),
		cmocka_unit_test(notify),
		cmocka_unit_test(masks),
		cmocka_unit_test(peer_changes),
		cmocka_unit_test(netcheck),
	};
	int failed;

	BUG_ON(argc != 2);
	answers = vector_load(argv[1]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(answers);
	return failed;
}
