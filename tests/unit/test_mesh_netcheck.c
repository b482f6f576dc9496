/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows netcheck on a node's loop with relays that answer as told: what the owner hears and when,
 * that answers of an old map or link count no more, and the report as JSON. What real relays and
 * NATs make of it is tests/interop/test_netcheck.py's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "controlplane/node/mesh_netcheck.h"
#include "lib/base/clock.h"

#define PORT	 41641
#define SENT_MAX 64

struct sent {
	struct endpoint to;
	uint8_t request[STUN_REQUEST_BYTES];
	bool is_answered;
};

static struct rig {
	uv_loop_t loop;
	uv_timer_t limit, relay;
	struct mesh_netcheck *m;
	struct derp_map *map;

	/* How the relays behave. */
	bool is_silent, varies, is_timed, is_deaf;
	int v6_error;

	struct sent sent[SENT_MAX];
	unsigned sent_count, https_count, noise;
	uint16_t https[SENT_MAX];
	/* What was heard. */
	unsigned reports, endpoint_lists, homes, netinfos;
	uint16_t home;
	struct endpoint_list first, last;
	json_t *netinfo;
	uint64_t first_stun_ns, report_ns;
} rig;

static int on_send(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	struct sent *s = &rig.sent[rig.sent_count % SENT_MAX];

	assert_int_equal(len, STUN_REQUEST_BYTES);
	if (to->addr.family == AF_INET6 && rig.v6_error)
		return rig.v6_error;
	rig.sent_count++;
	s->to = *to;
	s->is_answered = false;
	memcpy(s->request, data, len);
	return 0;
}

static void on_ask(void *ctx, const struct derp_map_region *region)
{
	rig.https[rig.https_count++ % SENT_MAX] = region->id;
}

static uint64_t on_frame(void *ctx, uint16_t region)
{
	return 0;
}

static bool on_heard(void *ctx)
{
	return !rig.is_deaf;
}

static void fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 0, len);
	memcpy(buf, &rig.noise, sizeof(rig.noise));
	rig.noise++;
}

/* The answers of 10 ms ago. */
static void on_relay(uv_timer_t *t)
{
	static const struct endpoint from = {{AF_INET, {127, 0, 0, 1}}, STUN_PORT};

	for (unsigned i = 0; i < SENT_MAX && i < rig.sent_count && !rig.is_silent; i++) {
		struct sent *s = &rig.sent[i];
		struct endpoint mapped = {{AF_INET, {203, 0, 113, 5}}, 7000};
		uint8_t buf[STUN_RESPONSE_BYTES_MAX];

		if (s->is_answered)
			continue;
		s->is_answered = true;
		if (rig.varies)
			mapped.port = s->to.port;
		mesh_netcheck_on_stun(rig.m, buf, stun_response(buf, s->request + 8, &mapped),
				      &from);
	}
	while (rig.is_timed && rig.https_count) {
		uint16_t id = rig.https[--rig.https_count];

		mesh_netcheck_on_https(rig.m, id, id == 2 ? 0 : AF_INET, id * 40 * NS_PER_MS);
	}
}

static void on_endpoints(void *arg, const struct endpoint_list *list)
{
	if (!rig.endpoint_lists++)
		rig.first = *list;
	rig.last = *list;
	for (size_t i = 0; i < list->count; i++) {
		if (list->at[i].type == ENDPOINT_STUN && !rig.first_stun_ns)
			rig.first_stun_ns = clock_now_ns();
	}
}

static void on_home(void *arg, uint16_t region)
{
	rig.homes++;
	rig.home = region;
}

static void on_netinfo(void *arg, json_t *netinfo)
{
	rig.netinfos++;
	json_decref(rig.netinfo);
	rig.netinfo = json_deep_copy(netinfo);
}

static void on_report(void *arg, const struct netcheck_report *report)
{
	assert_ptr_equal(report, mesh_netcheck_last(rig.m));
	rig.reports++;
	rig.report_ns = clock_now_ns();
	uv_stop(&rig.loop);
}

static void on_limit(uv_timer_t *t)
{
	uv_stop(t->loop);
}

static void run(unsigned ms)
{
	uv_update_time(&rig.loop);
	uv_timer_start(&rig.limit, on_limit, ms, 0);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
}

static void run_to_report(unsigned ms)
{
	unsigned before = rig.reports;

	run(ms);
	assert_int_equal(rig.reports, before + 1);
}

static struct derp_map *map_of(const char *text)
{
	struct json_in in;
	struct derp_map *map = NULL;
	json_t *json = json_in_parse(&in, text, strlen(text));

	assert_int_equal(derp_map_parse(json, &map, &in), 0);
	assert_int_equal(map->passed_over, 0);
	json_decref(json);
	return map;
}

/* Region 1 by address, 2 by name, 3 not to be measured. */
#define TWO_REGIONS                                                                                \
	"{\"Regions\":{\"1\":{\"Nodes\":[{\"HostName\":\"192.0.2.1\",\"STUNPort\":1001,"           \
	"\"IPv4\":\"192.0.2.1\",\"IPv6\":\"2001:db8::1\"}]},"                                      \
	"\"2\":{\"Nodes\":[{\"HostName\":\"localhost\",\"STUNPort\":1002}]},"                      \
	"\"3\":{\"NoMeasureNoHome\":true,\"Nodes\":[{\"HostName\":\"192.0.2.3\"}]}}}"
#define ONE_REGION                                                                                 \
	"{\"Regions\":{\"7\":{\"Nodes\":[{\"HostName\":\"192.0.2.7\",\"STUNPort\":1007}]}}}"

static void start(const char *map)
{
	static const struct mesh_netcheck_events ev = {on_endpoints, on_home, on_netinfo,
						       on_report};
	static const struct wg_random source = {.fill = fill};
	static const struct mesh_netcheck_env env = {.send = on_send,
						     .https = on_ask,
						     .last_frame_ns = on_frame,
						     .is_heard = on_heard,
						     .random = &source};
	struct mesh_interfaces_state interfaces = {
		.count = 1, .at = {{AF_INET, {192, 0, 2, 10}}}, .has_v4 = true, .has_v6 = true};

	uv_loop_init(&rig.loop);
	uv_timer_init(&rig.loop, &rig.limit);
	uv_timer_init(&rig.loop, &rig.relay);
	uv_timer_start(&rig.relay, on_relay, 10, 10);
	assert_int_equal(mesh_netcheck_open(&rig.loop, &env, &ev, NULL, &rig.m), 0);
	rig.map = map_of(map);
	mesh_netcheck_set_interfaces(rig.m, &interfaces);
	mesh_netcheck_set_ports(rig.m, PORT, PORT, true);
	mesh_netcheck_set_map(rig.m, rig.map);
	assert_int_equal(rig.sent_count, 0); /* nothing from inside of a call */
}

static int stop(void **state)
{
	mesh_netcheck_close(rig.m);
	uv_close((uv_handle_t *)&rig.limit, NULL);
	uv_close((uv_handle_t *)&rig.relay, NULL);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
	derp_map_free(rig.map);
	json_decref(rig.netinfo);
	memset(&rig, 0, sizeof(rig));
	return 0;
}

static bool has(const struct endpoint_list *l, const char *text, enum endpoint_type type)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(text, &e), 0);
	for (size_t i = 0; i < l->count; i++) {
		if (endpoint_equal(&l->at[i].at, &e))
			return l->at[i].type == type;
	}
	return false;
}

static void assert_json(const json_t *got, const char *wanted)
{
	json_t *want = json_loads(wanted, JSON_DECODE_ANY, NULL);

	assert_non_null(want);
	if (!json_equal(got, want))
		fail_msg("%s is not %s", json_dumps(got, JSON_ENCODE_ANY), wanted);
	json_decref(want);
}

/* Local endpoints at once, STUN's when they come, then home, NetInfo and report. */
static void tells(void **state)
{
	json_t *json;

	rig.v6_error = -ENETUNREACH;
	start(TWO_REGIONS);
	run_to_report(1000); /* IPv6, which cannot be sent, is not waited for */
	assert_int_equal(rig.first.count, 1);
	assert_true(has(&rig.first, "192.0.2.10:41641", ENDPOINT_LOCAL));
	assert_int_equal(rig.last.count, 2);
	assert_true(has(&rig.last, "203.0.113.5:7000", ENDPOINT_STUN));
	assert_int_equal(rig.endpoint_lists, 2);
	assert_int_equal(rig.homes, 1);
	assert_int_equal(rig.home, mesh_netcheck_home(rig.m));
	assert_true(rig.home == 1 || rig.home == 2);
	assert_true(mesh_netcheck_answered_ns(rig.m) > 0);
	assert_int_equal(rig.netinfos, 1);
	json_object_del(rig.netinfo, "OSHasIPv6");
	assert_int_equal(json_object_size(json_object_get(rig.netinfo, "DERPLatency")), 2);
	assert_non_null(json_object_get(json_object_get(rig.netinfo, "DERPLatency"), "2-v4"));
	json_object_del(rig.netinfo, "DERPLatency");
	assert_json(rig.netinfo, rig.home == 1 ? "{\"WorkingUDP\":true,\"WorkingIPv6\":false,"
						 "\"MappingVariesByDestIP\":false,"
						 "\"PreferredDERP\":1}"
					       : "{\"WorkingUDP\":true,\"WorkingIPv6\":false,"
						 "\"MappingVariesByDestIP\":false,"
						 "\"PreferredDERP\":2}");

	json = mesh_netcheck_report_json(mesh_netcheck_last(rig.m));
	assert_int_equal(json_object_size(json), 21);
	assert_json(json_object_get(json, "GlobalV4"), "\"203.0.113.5:7000\"");
	assert_json(json_object_get(json, "GlobalV6"), "\"\"");
	assert_json(json_object_get(json, "GlobalV4Counters"), "{\"203.0.113.5:7000\":2}");
	assert_json(json_object_get(json, "GlobalV6Counters"), "null");
	assert_json(json_object_get(json, "RegionV6Latency"), "{}");
	assert_json(json_object_get(json, "MappingVariesByDestIP"), "false");
	assert_json(json_object_get(json, "IPv4CanSend"), "true");
	assert_json(json_object_get(json, "IPv6CanSend"), "false");
	assert_json(json_object_get(json, "UPnP"), "null");
	assert_int_equal(json_object_size(json_object_get(json, "RegionLatency")), 2);
	json_decref(json);

	/* The same again is no news. */
	mesh_netcheck_run(rig.m);
	run_to_report(1000);
	assert_true(rig.endpoint_lists == 2 && rig.homes == 1 && rig.netinfos == 1);
}

/* A NAT with a port for each destination: our own port is a guess worth telling. */
static void tells_of_a_varying_nat(void **state)
{
	rig.v6_error = -ENETUNREACH;
	rig.varies = true;
	start(TWO_REGIONS);
	run_to_report(1000);
	assert_json(json_object_get(rig.netinfo, "MappingVariesByDestIP"), "true");
	assert_true(has(&rig.last, "203.0.113.5:41641", ENDPOINT_STUN4_LOCAL_PORT));
	assert_true(has(&rig.last, "203.0.113.5:1001", ENDPOINT_STUN) ||
		    has(&rig.last, "203.0.113.5:1002", ENDPOINT_STUN));
}

/* The first answer is told while the rest of the report is waited for. */
static void tells_early(void **state)
{
	start(TWO_REGIONS); /* IPv6 is sent and never answered with an address of its family */
	run_to_report(4000);
	assert_true(rig.report_ns - rig.first_stun_ns > 2 * NS_PER_SEC);
}

/* Without UDP: HTTPS; and the only region is home before anything is measured. */
static void measures_by_https(void **state)
{
	rig.is_silent = rig.is_timed = true;
	start(ONE_REGION);
	run(100);
	assert_int_equal(rig.reports, 0);
	assert_int_equal(rig.home, 7);
	assert_json(rig.netinfo, "{\"PreferredDERP\":7}");
	run_to_report(4000);
	assert_json(json_object_get(rig.netinfo, "WorkingUDP"), "false");
	assert_json(json_object_get(rig.netinfo, "PreferredDERP"), "7");
	assert_true(mesh_netcheck_last(rig.m)->ipv4 && !mesh_netcheck_last(rig.m)->udp);
	assert_int_equal(mesh_netcheck_last(rig.m)->region[0].any_ns / NS_PER_MS, 280);
	assert_string_equal(netcheck_nat_type(mesh_netcheck_last(rig.m), NULL, 0), "udp blocked");
	assert_int_equal(rig.homes, 1);
}

/* Nobody could be reached at all: a home is better than none, and then it stays. */
static void has_a_home_all_the_same(void **state)
{
	rig.is_silent = rig.is_timed = true;
	start("{\"Regions\":{\"2\":{\"Nodes\":[{\"HostName\":\"192.0.2.7\"}]},\"4\":{\"Nodes\":["
	      "{\"HostName\":\"192.0.2.8\",\"STUNOnly\":true}]},\"5\":{\"NoMeasureNoHome\":true,"
	      "\"Nodes\":[{\"HostName\":\"192.0.2.9\"}]}}}");
	run_to_report(4000);
	assert_int_equal(mesh_netcheck_last(rig.m)->home, 0);
	assert_int_equal(rig.home, 2);
}

/* Another map: what was asked before is of no use, and its answers are not taken. */
static void begins_anew_with_a_map(void **state)
{
	struct derp_map *old;
	unsigned before;

	rig.is_silent = true;
	start(TWO_REGIONS);
	run(50);
	assert_true(rig.sent_count >= 2);
	old = rig.map;
	rig.map = map_of(ONE_REGION);
	mesh_netcheck_set_map(rig.m, rig.map);
	derp_map_free(old);
	rig.is_silent = false;
	run_to_report(1000);
	assert_int_equal(mesh_netcheck_last(rig.m)->region_count, 1);
	assert_int_equal(mesh_netcheck_last(rig.m)->region[0].region, 7);
	assert_int_equal(rig.home, 7);
	/* No map: nobody is asked. */
	before = rig.sent_count;
	mesh_netcheck_set_map(rig.m, NULL);
	mesh_netcheck_run(rig.m);
	run(200);
	assert_int_equal(rig.sent_count, before);
}

/* A home that the coordinator could not tell of is not left. */
static void keeps_its_home_unheard(void **state)
{
	rig.is_deaf = true;
	rig.v6_error = -ENETUNREACH;
	start(TWO_REGIONS);
	mesh_netcheck_set_home(rig.m, 2);
	run_to_report(1000);
	assert_int_equal(mesh_netcheck_home(rig.m), 2);
	assert_int_equal(rig.homes, 0);
	/* Not one that is not there any more. */
	mesh_netcheck_set_home(rig.m, 3);
	mesh_netcheck_run(rig.m);
	run_to_report(1000);
	assert_true(mesh_netcheck_home(rig.m) == 1 || mesh_netcheck_home(rig.m) == 2);
}

/* Fresh endpoints cost a light report, one for many who ask. */
static void refreshes(void **state)
{
	unsigned before;

	start(ONE_REGION);
	run_to_report(1000);
	before = rig.sent_count;
	mesh_netcheck_refresh(rig.m);
	mesh_netcheck_refresh(rig.m);
	run_to_report(1000);
	assert_int_equal(rig.sent_count, before + 1);
	run(200);
	assert_int_equal(rig.reports, 2);
	/* Without an interface nobody is asked, and nothing local is told. */
	mesh_netcheck_set_interfaces(rig.m, &(struct mesh_interfaces_state){0});
	mesh_netcheck_refresh(rig.m);
	run(200);
	assert_int_equal(rig.reports, 2);
	assert_int_equal(rig.last.count, 1);
	assert_true(has(&rig.last, "203.0.113.5:7000", ENDPOINT_STUN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(tells, stop),
		cmocka_unit_test_teardown(tells_of_a_varying_nat, stop),
		cmocka_unit_test_teardown(tells_early, stop),
		cmocka_unit_test_teardown(measures_by_https, stop),
		cmocka_unit_test_teardown(has_a_home_all_the_same, stop),
		cmocka_unit_test_teardown(begins_anew_with_a_map, stop),
		cmocka_unit_test_teardown(keeps_its_home_unheard, stop),
		cmocka_unit_test_teardown(refreshes, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
