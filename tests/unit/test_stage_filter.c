/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the filter stages give the recorded verdicts of the packet filter
 * (rules as a coordination server sends them, packets in order), and what holds
 * around them: no policy, allow all, jailed peers, flows between workers.
 * Usage: test_stage_filter filter.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/stage/stage.h"
#include "dataplane/table/flow_build.h"
#include "dataplane/table/rule_build.h"
#include "lib/base/addr.h"
#include "lib/base/bug.h"
#include "tests/unit/dp_packets.h"
#include "tests/unit/dp_rig.h"

#define PEER	   1
#define JAILED	   2
#define RULES_MAX  32
#define RANGES_MAX 64

static const char *vectors_path;
static json_t *vectors;
static struct dp_rig *rig;

/* ---- the vectors' rules as a dpapi message ---- */

static struct {
	struct dpapi_rules m;
	struct dpapi_rule rules[RULES_MAX];
	struct dpapi_range ranges[RANGES_MAX];
} set;

/* "a", "a-b", "prefix". */
static struct dpapi_range range_of(const char *text)
{
	struct dpapi_range r = {0};
	const char *dash = strchr(text, '-');
	struct prefix p;
	struct ip_addr a;
	char first[64];

	if (dash) {
		snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
		assert_int_equal(addr_parse(first, &a), 0);
		r.family = a.family;
		memcpy(r.first, a.bytes, 16);
		assert_int_equal(addr_parse(dash + 1, &a), 0);
		memcpy(r.last, a.bytes, 16);
		return r;
	}
	assert_int_equal(prefix_parse(text, false, &p), 0);
	r.family = p.addr.family;
	memcpy(r.first, p.addr.bytes, 16);
	memcpy(r.last, p.addr.bytes, 16);
	for (unsigned bit = p.len; bit < (r.family == AF_INET ? 32u : 128u); bit++)
		r.last[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	return r;
}

static void add_range(struct dpapi_range r)
{
	assert_true(set.m.range_count < RANGES_MAX);
	set.ranges[set.m.range_count++] = r;
}

/* A capability stands for the addresses of the nodes that have it. */
static void add_source(const char *text)
{
	const char *node;
	json_t *caps, *cap;
	size_t i;

	if (strncmp(text, "cap:", 4) != 0) {
		add_range(range_of(text));
		return;
	}
	json_object_foreach(json_object_get(vectors, "capability_of"), node, caps)
	{
		json_array_foreach(caps, i, cap)
		{
			if (strcmp(json_string_value(cap), text + 4) == 0)
				add_range(range_of(node));
		}
	}
}

/*
 * Who matches by capability alone may send ICMP to every local address: a rule of
 * its own, since it is the one thing that a rule of addresses does not say. No
 * other protocol passes by it: it has these two, and no range of ports.
 */
static void add_capability_icmp(const struct dpapi_rule *of)
{
	struct dpapi_rule *r = &set.rules[set.m.rule_count++];

	assert_true(set.m.rule_count <= RULES_MAX);
	r->src_first = of->src_first;
	r->src_count = of->src_count;
	r->dst_first = set.m.range_count;
	r->dst_count = 2;
	add_range(range_of("0.0.0.0/0"));
	add_range(range_of("::/0"));
	r->protos[0] = IP_PROTO_ICMP;
	r->protos[1] = IP_PROTO_ICMPV6;
}

static void add_rule(json_t *rule)
{
	struct dpapi_rule *r = &set.rules[set.m.rule_count++];
	bool has_capability = false;
	json_t *one, *list;
	size_t i;

	assert_true(set.m.rule_count <= RULES_MAX);
	r->src_first = set.m.range_count;
	json_array_foreach(json_object_get(rule, "SrcIPs"), i, one)
	{
		has_capability |= strncmp(json_string_value(one), "cap:", 4) == 0;
		add_source(json_string_value(one));
	}
	r->src_count = set.m.range_count - r->src_first;
	r->dst_first = set.m.range_count;
	json_array_foreach(json_object_get(rule, "DstPorts"), i, one)
	{
		struct dpapi_range d = range_of(json_string_value(json_object_get(one, "IP")));
		json_t *ports = json_object_get(one, "Ports");

		d.port_first = (uint16_t)json_integer_value(json_object_get(ports, "First"));
		d.port_last = (uint16_t)json_integer_value(json_object_get(ports, "Last"));
		add_range(d);
	}
	r->dst_count = set.m.range_count - r->dst_first;
	list = json_object_get(rule, "IPProto");
	for (i = 0; i < json_array_size(list); i++)
		r->protos[i] = (uint8_t)json_integer_value(json_array_get(list, i));
	if (has_capability)
		add_capability_icmp(r);
}

static void publish(enum dpapi_filter_mode mode, bool with_rules)
{
	static uint8_t bytes[sizeof(set)];
	json_t *rules = json_object_get(vectors, "rules");
	size_t i, at = sizeof(set.m);

	memset(&set, 0, sizeof(set));
	set.m.hdr.type = DPAPI_RULES;
	set.m.mode = mode;
	for (i = 0; with_rules && i < json_array_size(rules); i++)
		add_rule(json_array_get(rules, i));
	memcpy(bytes + at, set.rules, set.m.rule_count * sizeof(set.rules[0]));
	at += set.m.rule_count * sizeof(set.rules[0]);
	memcpy(bytes + at, set.ranges, set.m.range_count * sizeof(set.ranges[0]));
	at += set.m.range_count * sizeof(set.ranges[0]);
	set.m.total_bytes = set.m.piece_bytes = (uint32_t)(at - sizeof(set.m));
	memcpy(bytes, &set.m, sizeof(set.m));
	assert_int_equal(dp_rig_apply(rig, bytes, at), 0);
}

static int setup(void **state)
{
	json_t *prefix;
	size_t i;

	rig = dp_rig_new(2);
	dp_rig_peer(rig, PEER, 1420, 0);
	dp_rig_peer(rig, JAILED, 1420, DPAPI_PEER_JAILED);
	json_array_foreach(json_object_get(vectors, "local_prefixes"), i, prefix)
		dp_rig_local(rig, json_string_value(prefix));
	publish(DPAPI_FILTER_RULES, true);
	return 0;
}

static int teardown(void **state)
{
	dp_rig_free(rig);
	return 0;
}

/* ---- one packet ---- */

/* What the stages say, or what open and route would have said before. */
static enum drop_reason judge_at(unsigned worker, bool is_in, uint32_t peer, const uint8_t *data,
				 size_t len)
{
	struct worker *w = rig->dp.workers[worker];
	struct batch *b = dp_rig_batch(rig, worker);
	struct packet *p = dp_rig_add_inside(rig, b, data, len);

	rig->now_ns += 1000000;
	if (len == 0) {
		p->kind = PACKET_KEEPALIVE;
		filter_in_burst(w, b);
		return p->drop;
	}
	if (ip_parse(p->data, p->len, &b->info[0]) < 0)
		return DROP_OPEN_BAD_LENGTH;
	p->len = (uint16_t)b->info[0].total_len;
	if (is_in) {
		p->peer_in = peer;
		filter_in_burst(w, b);
	} else {
		p->peer_out = peer;
		filter_out_burst(w, b);
	}
	return p->drop;
}

static enum drop_reason judge(bool is_in, uint32_t peer, const uint8_t *data, size_t len)
{
	return judge_at(0, is_in, peer, data, len);
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		out[i] = (uint8_t)v;
	}
	return n;
}

static unsigned steps_run, steps_failed;

static void run_step(const char *name, json_t *step, uint32_t peer)
{
	const char *direction = json_string_value(json_object_get(step, "direction"));
	const char *verdict = json_string_value(json_object_get(step, "verdict"));
	uint8_t bytes[2048];
	size_t len = unhex(json_string_value(json_object_get(step, "packet")), bytes);
	bool is_in = !direction || strcmp(direction, "in") == 0;
	enum drop_reason drop = judge(is_in, peer, bytes, len);

	steps_run++;
	if ((drop == DROP_NONE) != (strcmp(verdict, "accept") == 0)) {
		print_error("%s, %s: want %s, got %s\n", name,
			    json_string_value(json_object_get(step, "what")), verdict,
			    drop_name(drop));
		steps_failed++;
	}
}

static void run_sequence(json_t *sequence, uint32_t peer)
{
	const char *name = json_string_value(json_object_get(sequence, "name"));
	json_t *steps = json_object_get(sequence, "steps");
	size_t i;

	for (i = 0; i < json_array_size(steps); i++)
		run_step(name, json_array_get(steps, i), peer);
}

static json_t *find_sequence(const char *begins)
{
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(vectors, "sequences"), i, s)
	{
		if (strncmp(json_string_value(json_object_get(s, "name")), begins,
			    strlen(begins)) == 0)
			return s;
	}
	fail_msg("no sequence %s", begins);
	return NULL;
}

static bool has_name(json_t *sequence, const char *begins)
{
	return sequence == find_sequence(begins);
}

static void test_vectors(void **state)
{
	json_t *s;
	size_t i;

	steps_run = steps_failed = 0;
	json_array_foreach(json_object_get(vectors, "sequences"), i, s)
	{
		if (has_name(s, "shields up") || has_name(s, "flow table"))
			continue;
		/* Each sequence begins with no flows. */
		flow_clear(rig->dp.flows, FLOW_SPACE_NORMAL);
		run_sequence(s, PEER);
	}
	assert_int_equal(steps_failed, 0);
	assert_int_equal(steps_run, 88);
}

/* No rules at all, and jailed peers whatever the rules. */
static void test_vectors_shields_up(void **state)
{
	json_t *s = find_sequence("shields up");

	steps_run = steps_failed = 0;
	run_sequence(s, JAILED);
	publish(DPAPI_FILTER_RULES, false);
	flow_clear(rig->dp.flows, FLOW_SPACE_NORMAL);
	run_sequence(s, PEER);
	assert_int_equal(steps_failed, 0);
	assert_int_equal(steps_run, 14);
}

/*
 * 513 flows go out, then three answers come. That the first of them is forgotten
 * is left out: the recorded table holds 512 flows, this one as many as --flows says.
 */
static void test_vectors_many_flows(void **state)
{
	json_t *steps = json_object_get(find_sequence("flow table"), "steps");
	uint8_t bytes[256];

	for (uint16_t port = 1000; port <= 1512; port++) {
		size_t len = pk_udp(bytes, "100.64.0.9", port, "100.64.9.9", 53, 0);

		assert_int_equal(judge(false, PEER, bytes, len), DROP_NONE);
	}
	assert_int_equal(json_array_size(steps), 3);
	steps_run = steps_failed = 0;
	for (size_t i = 1; i < 3; i++)
		run_step("flow table", json_array_get(steps, i), PEER);
	assert_int_equal(steps_failed, 0);
	assert_int_equal(steps_run, 2);
}

/* ---- around them ---- */

static const struct packet *filter_mixed(void (*stage)(struct worker *w, struct batch *b))
{
	struct worker *w = rig->dp.workers[0];
	struct batch *b = dp_rig_batch(rig, 0);
	uint8_t bytes[256];
	size_t len = pk_udp(bytes, "100.64.0.1", 1, "100.64.0.9", 9999, 4);

	for (unsigned i = 0; i < 5; i++) {
		struct packet *p = dp_rig_add_inside(rig, b, bytes, len);

		assert_int_equal(ip_parse(p->data, p->len, &b->info[i]), 0);
		p->peer_in = PEER;
		p->peer_out = PEER;
	}
	b->pkts[1].kind = PACKET_KEEPALIVE;
	b->pkts[2].kind = PACKET_OTHER;
	b->pkts[2].out = PACKET_OUT_CHANNEL;
	packet_drop(&b->pkts[3], DROP_OPEN_ECN);
	b->pkts[4].peer_out = PEER_NONE;
	stage(w, b);
	/* These are not the filter's. */
	assert_int_equal(b->pkts[1].drop, DROP_NONE);
	assert_int_equal(b->pkts[2].drop, DROP_NONE);
	assert_int_equal(b->pkts[3].drop, DROP_OPEN_ECN);
	return b->pkts;
}

static void test_no_policy(void **state)
{
	const struct packet *p;

	dp_rig_filter(rig, DPAPI_FILTER_NONE);
	p = filter_mixed(filter_in_burst);
	assert_int_equal(p[0].drop, DROP_FILTER_NO_POLICY);
	assert_int_equal(p[4].drop, DROP_FILTER_NO_POLICY);
	p = filter_mixed(filter_out_burst);
	assert_int_equal(p[0].drop, DROP_FILTER_NO_POLICY);
	/* On its way to the kernel; it has been through filter_in. */
	assert_int_equal(p[4].drop, DROP_NONE);
}

static void test_fresh_dataplane_has_no_policy(void **state)
{
	struct rule_table *old = rig->dp.rules;

	rig->dp.rules = rule_table_new();
	assert_non_null(rig->dp.rules);
	assert_int_equal(filter_mixed(filter_in_burst)[0].drop, DROP_FILTER_NO_POLICY);
	assert_int_equal(filter_mixed(filter_out_burst)[0].drop, DROP_FILTER_NO_POLICY);
	rule_table_free(rig->dp.rules);
	rig->dp.rules = old;
}

static void test_allow_all(void **state)
{
	dp_rig_filter(rig, DPAPI_FILTER_ALLOW_ALL);
	assert_int_equal(filter_mixed(filter_in_burst)[0].drop, DROP_NONE);
	assert_int_equal(filter_mixed(filter_out_burst)[0].drop, DROP_NONE);
}

static void test_rules_drop(void **state)
{
	const struct packet *p = filter_mixed(filter_in_burst);

	assert_int_equal(p[0].drop, DROP_FILTER_NO_RULE);
	p = filter_mixed(filter_out_burst);
	assert_int_equal(p[0].drop, DROP_NONE);
	assert_int_not_equal(p[0].flow, 0);
	assert_int_equal(p[4].flow, 0);
}

static void test_reasons(void **state)
{
	static const struct {
		const char *src, *dst;
		bool is_in;
		enum drop_reason drop;
	} rows[] = {
		{"100.64.0.1", "100.64.0.10", true, DROP_FILTER_NOT_LOCAL},
		{"100.64.0.1", "224.0.0.1", true, DROP_FILTER_MULTICAST},
		{"100.64.0.9", "239.1.2.3", false, DROP_FILTER_MULTICAST},
		{"100.64.0.9", "169.254.1.1", false, DROP_FILTER_LINK_LOCAL},
		{"100.64.0.9", "169.254.169.254", false, DROP_NONE},
		{"fd7a:115c:a1e0::9", "ff02::1", false, DROP_FILTER_MULTICAST},
		{"fd7a:115c:a1e0::9", "fe80::1", false, DROP_FILTER_LINK_LOCAL},
		{"fd7a:115c:a1e0::9", "febf::1", false, DROP_FILTER_LINK_LOCAL},
		{"fd7a:115c:a1e0::9", "fec0::1", false, DROP_NONE},
		{"100.64.0.2", "100.64.0.9", true, DROP_NONE},
		{"100.64.0.5", "100.64.0.9", true, DROP_FILTER_NO_RULE},
	};
	uint8_t bytes[256];
	size_t len;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		len = pk_udp(bytes, rows[i].src, 9, rows[i].dst, 53, 4);
		if (judge(rows[i].is_in, PEER, bytes, len) != rows[i].drop)
			fail_msg("%s to %s", rows[i].src, rows[i].dst);
	}
	len = pk_ip(bytes, "100.64.0.1", "100.64.0.9", 0, "12345678", 8);
	assert_int_equal(judge(true, PEER, bytes, len), DROP_FILTER_MALFORMED);
	assert_int_equal(judge(false, PEER, bytes, len), DROP_FILTER_MALFORMED);
}

static void test_matching_rule_is_told(void **state)
{
	struct batch *b;
	uint8_t bytes[256];
	size_t len = pk_udp(bytes, "100.64.0.3", 9, "100.64.0.9", 53, 4);

	assert_int_equal(judge(true, PEER, bytes, len), DROP_NONE);
	b = &rig->dp.workers[0]->batch;
	assert_int_equal(b->pkts[0].rule, 2);
}

/* What one worker has noted the other one sees; the kinds of peers keep apart. */
static void test_flow_of_another_worker(void **state)
{
	uint8_t out[256], in[256], other[256];
	size_t out_len = pk_udp(out, "100.64.0.9", 4000, "100.64.9.9", 5000, 10);
	size_t in_len = pk_udp(in, "100.64.9.9", 5000, "100.64.0.9", 4000, 20);
	size_t other_len = pk_udp(other, "100.64.9.9", 5000, "100.64.0.9", 4001, 20);

	assert_int_equal(judge_at(1, true, PEER, in, in_len), DROP_FILTER_NO_RULE);
	assert_int_equal(judge_at(0, false, PEER, out, out_len), DROP_NONE);
	assert_int_equal(judge_at(1, true, PEER, in, in_len), DROP_NONE);
	assert_int_equal(judge_at(1, true, PEER, other, other_len), DROP_FILTER_NO_RULE);
	/* A flow of a jailed peer is another flow. */
	assert_int_equal(judge_at(1, true, JAILED, in, in_len), DROP_FILTER_NO_RULE);
	assert_int_equal(judge_at(0, false, JAILED, out, out_len), DROP_NONE);
	assert_int_equal(judge_at(1, true, JAILED, in, in_len), DROP_NONE);
	/* It is kept when rules change. */
	publish(DPAPI_FILTER_RULES, false);
	assert_int_equal(judge_at(1, true, PEER, in, in_len), DROP_NONE);
}

/* A peer that is jailed later: what it opens is dropped from then on. */
static void test_jail_changes(void **state)
{
	uint8_t bytes[256];
	size_t len = pk_tcp(bytes, "100.64.0.1", "100.64.0.9", IP_TCP_SYN, NULL, 0, 0);

	assert_int_equal(judge(true, PEER, bytes, len), DROP_NONE);
	dp_rig_peer(rig, PEER, 1420, DPAPI_PEER_JAILED);
	assert_int_equal(judge(true, PEER, bytes, len), DROP_FILTER_NO_RULE);
	dp_rig_peer(rig, PEER, 1420, 0);
	assert_int_equal(judge(true, PEER, bytes, len), DROP_NONE);
}

static void test_followers_share_the_flow(void **state)
{
	struct worker *w = rig->dp.workers[0];
	struct batch *b = dp_rig_batch(rig, 0);
	uint8_t bytes[512];
	size_t len = pk_udp(bytes, "100.64.0.9", 1, "100.64.9.9", 2, 100);
	struct flow *f;

	for (unsigned i = 0; i < 4; i++) {
		struct packet *p = dp_rig_add_inside(rig, b, bytes, len);

		p->peer_out = PEER;
		p->leader = 0;
	}
	assert_int_equal(ip_parse(b->pkts[0].data, len, &b->info[0]), 0);
	memset(&b->info[1], 0xff, 3 * sizeof(b->info[0])); /* nobody may look there */
	filter_out_burst(w, b);
	assert_int_not_equal(b->pkts[0].flow, 0);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(b->pkts[i].flow, b->pkts[0].flow);
	f = flow_at(rig->dp.flows, b->pkts[0].flow);
	assert_int_equal(atomic_load(&f->packets_out), 4);
	assert_int_equal(atomic_load(&f->bytes_out), 4 * len);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_vectors),
		TEST(test_vectors_shields_up),
		TEST(test_vectors_many_flows),
		TEST(test_no_policy),
		TEST(test_fresh_dataplane_has_no_policy),
		TEST(test_allow_all),
		TEST(test_rules_drop),
		TEST(test_reasons),
		TEST(test_matching_rule_is_told),
		TEST(test_flow_of_another_worker),
		TEST(test_jail_changes),
		TEST(test_followers_share_the_flow),
	};
	json_error_t error;
	int failed;

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	vectors = json_load_file(vectors_path, 0, &error);
	if (!vectors) {
		fprintf(stderr, "%s: %s\n", vectors_path, error.text);
		return 2;
	}
	failed = cmocka_run_group_tests_name("stage_filter", tests, NULL, NULL);
	json_decref(vectors);
	return failed;
}
