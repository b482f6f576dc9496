/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a policy kept in step with its nodes says after every change what one made
 * from nothing says: who sees whom, which routes, which packets pass; that whoever is
 * concerned is told, and that a change which concerns few is told to few.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/policy/policy_live.h"

#define NODES	  70 /* more than one word of bits */
#define USERS	  6
#define ROUTES	  3
#define SHOWN_MAX 16

struct model_node {
	bool is_there, is_exit;
	struct policy_live_node live;
	const char *tags[2];
	struct prefix routes[ROUTES], primary[ROUTES];
	struct policy_told told;
	json_t *filter; /* name -> rules, as its receiver has them */
};

struct sight {
	bool sees;
	uint32_t count;
	struct prefix routes[SHOWN_MAX];
};

struct model {
	struct policy_live *live;
	struct policy *policy; /* the same text, for the view */
	struct model_node nodes[NODES];
	char logins[USERS][32];
	struct sight sights[NODES][NODES];
	bool was_told[NODES + 1];
	unsigned edges, filters;
	uint64_t random;
};

static uint32_t pick(struct model *m, uint32_t n)
{
	m->random = m->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(m->random >> 33) % n;
}

static void on_change(void *arg, int64_t id, unsigned what)
{
	struct model *m = arg;

	if (what & POLICY_LIVE_EDGES) {
		m->was_told[id] = true;
		m->edges++;
	}
	m->filters += (what & POLICY_LIVE_FILTERS) != 0;
}

/* ---- policies ---- */

static const char *const sources[] = {
	"*",
	"group:a",
	"group:b",
	"u1@x.example",
	"u2@y.example",
	"tag:a",
	"tag:b",
	"autogroup:member",
	"autogroup:tagged",
	"user:*@x.example",
	"10.2.0.0/16",
	"100.64.0.3",
	"near",
	"ipset:some",
	"autogroup:danger-all",
	"autogroup:admin",
};
/* Those before the gap may stand with self. */
static const char *const destinations[] = {
	"*",
	"group:a",
	"group:b",
	"u3@y.example",
	"tag:a",
	"tag:b",
	"near",
	"10.2.0.0/16",
	"10.2.3.0/24",
	"autogroup:member",
	"100.64.0.0/28",
	"fd7a:115c:a1e0::5",
	"ipset:some",
	"autogroup:internet",
	"autogroup:tagged",
};
static const char *const ports[] = {"*", "tcp:22", "tcp:22,443", "udp:53", "icmp:*", "8080"};
static const char *const apps[] = {"tailscale.com/cap/drive", "tailscale.com/cap/relay",
				   "example.com/cap/x"};

static size_t put_grant(struct model *m, char *to, size_t room)
{
	unsigned kind = pick(m, 8);
	const char *port = ports[pick(m, 6)], *app = apps[pick(m, 3)];

	if (kind == 0)
		return (size_t)snprintf(to, room,
					"{\"src\":[\"%s\"],\"dst\":[\"autogroup:self\"],"
					"\"ip\":[\"%s\"]},",
					pick(m, 2) ? "autogroup:member" : "group:a", port);
	if (kind == 1)
		return (size_t)snprintf(
			to, room,
			"{\"src\":[\"%s\"],\"dst\":[\"%s\"],\"ip\":[\"*\"],\"via\":[\"tag:%c\"]},",
			sources[pick(m, 14)], pick(m, 3) ? "10.2.0.0/16" : "autogroup:internet",
			'a' + (int)pick(m, 2));
	if (kind == 2)
		return (size_t)snprintf(
			to, room, "{\"src\":[\"%s\"],\"dst\":[\"%s\"],\"app\":{\"%s\":[{}]}},",
			sources[pick(m, 14)], destinations[pick(m, 13)], app);
	return (size_t)snprintf(
		to, room, "{\"src\":[\"%s\",\"%s\"],\"dst\":[\"%s\",\"%s\"],\"ip\":[\"%s\"]},",
		sources[pick(m, 16)], sources[pick(m, 16)], destinations[pick(m, 15)],
		destinations[pick(m, 15)], port);
}

static struct policy *parsed(const char *text)
{
	struct policy_report report;
	struct policy *p = NULL;
	int rc = policy_parse(text, strlen(text), &p, &report);

	if (rc)
		fail_msg("%u:%u %s in\n%s", report.messages[0].line, report.messages[0].column,
			 report.messages[0].text, text);
	policy_report_fini(&report);
	return p;
}

static void set_policy(struct model *m)
{
	static const char head[] =
		"{\"groups\":{\"group:a\":[\"u0@x.example\",\"u1@x.example\"],"
		"\"group:b\":[\"u3@y.example\",\"u4@y.example\",\"other@x.example\"]},"
		"\"tagOwners\":{\"tag:a\":[],\"tag:b\":[\"group:a\"]},"
		"\"hosts\":{\"near\":\"10.2.3.4\"},"
		"\"ipsets\":{\"ipset:some\":[\"add 10.3.0.0/16\",\"add 100.64.0.9\"]},";
	char text[8192];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s\"grants\":[", head);
	unsigned grants = pick(m, 7);

	for (unsigned i = 0; i < grants; i++)
		n += put_grant(m, text + n, sizeof(text) - n);
	snprintf(text + n, sizeof(text) - n,
		 "],\"nodeAttrs\":[{\"target\":[\"tag:a\"],\"attr\":[\"custom:%u\"]}]}",
		 pick(m, 3));
	/* Sometimes no rules, and no policy. */
	if (pick(m, 12) == 0)
		snprintf(text, sizeof(text), "{}");
	policy_free(m->policy);
	m->policy = NULL;
	if (pick(m, 12) == 0) {
		m->policy = parsed("{\"grants\":[]}");
		policy_live_set(m->live, NULL);
		return;
	}
	m->policy = parsed(text);
	policy_live_set(m->live, parsed(text));
}

/* ---- nodes ---- */

/* A prefix has one at a time: the store sees to it. */
static bool has_primary(const struct model *m, const struct prefix *p)
{
	for (uint32_t i = 0; i < NODES; i++)
		for (uint32_t k = 0; k < m->nodes[i].live.primary_count; k++)
			if (prefix_equal(&m->nodes[i].primary[k], p))
				return true;
	return false;
}

static void put_routes(struct model *m, struct model_node *n)
{
	/* The last two hold addresses of the tailnet itself. */
	static const char *const prefixes[] = {"10.2.0.0/16", "10.2.3.0/24",   "10.3.1.0/24",
					       "fd00:5::/64", "100.64.0.0/29", "fd7a::/16"};
	uint32_t count = pick(m, 3) ? 0 : pick(m, ROUTES + 1);

	n->live.route_count = n->live.primary_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct prefix *p = &n->routes[i];

		prefix_parse(prefixes[(pick(m, 3) + 2 * i) % (pick(m, 4) ? 4 : 6)], false, p);
		n->live.route_count++;
		if (pick(m, 2) && !has_primary(m, p))
			n->primary[n->live.primary_count++] = *p;
	}
	n->live.routes = n->routes;
	n->live.primary = n->primary;
	n->live.is_exit = pick(m, 6) == 0;
}

static void put_node(struct model *m, uint32_t i)
{
	static const char *const tags[] = {"tag:a", "tag:b"};
	struct model_node *n = &m->nodes[i];

	if (!n->is_there || pick(m, 2)) {
		n->live.tag_count = pick(m, 3) ? 0 : 1 + pick(m, 2);
		n->tags[0] = tags[pick(m, 2)];
		n->tags[1] = tags[pick(m, 2)];
		n->live.tags = n->tags;
		n->live.user = n->live.tag_count ? 0 : 1 + pick(m, USERS);
	}
	if (!n->is_there || pick(m, 2))
		put_routes(m, n);
	n->live.id = i + 1;
	n->live.v4 = (struct ip_addr){.family = AF_INET, .bytes = {100, 64, 0, (uint8_t)(i + 1)}};
	addr_parse("fd7a:115c:a1e0::", &n->live.v6);
	n->live.v6.bytes[15] = (uint8_t)(i + 1);
	n->is_there = true;
	policy_live_put(m->live, &n->live);
}

static void drop_node(struct model *m, uint32_t i)
{
	struct model_node *n = &m->nodes[i];

	if (!n->is_there)
		return;
	policy_live_remove(m->live, i + 1);
	policy_told_fini(&n->told);
	json_decref(n->filter);
	*n = (struct model_node){0};
}

static void rename_user(struct model *m, uint32_t user)
{
	snprintf(m->logins[user], sizeof(m->logins[user]), "%s%u@%c.example",
		 pick(m, 3) ? "u" : "other", user, user < 3 ? 'x' : 'y');
	if (pick(m, 4) == 0)
		snprintf(m->logins[user], sizeof(m->logins[user]), "other@x.example");
	policy_live_user(m->live, user + 1, m->logins[user]);
}

/* ---- what passes, in one spelling ---- */

static void add_fact(json_t *facts, json_t *parts)
{
	char *text = json_dumps(parts, JSON_COMPACT);

	json_object_set_new(facts, text, json_true());
	free(text);
	json_decref(parts);
}

static bool meet(const struct prefix *a, const struct prefix *b)
{
	return a->len <= b->len ? prefix_contains(a, &b->addr) : prefix_contains(b, &a->addr);
}

/* A destination means those of the node's addresses and routes that it holds. */
static void add_port(json_t *facts, const struct model_node *n, const json_t *rule,
		     const json_t *port)
{
	const char *ip = json_string_value(json_object_get(port, "IP"));
	json_t *from = json_object_get(rule, "SrcIPs"), *proto = json_object_get(rule, "IPProto");
	json_t *range = json_object_get(port, "Ports");
	struct prefix p = {.len = 0};
	char text[PREFIX_STR_MAX], mark[2 * PREFIX_STR_MAX];

	if (strcmp(ip, "*") == 0 || strchr(ip, '-')) {
		add_fact(facts, json_pack("[O,O?,s,O]", from, proto, ip, range));
		return;
	}
	if (!strchr(ip, '/')) {
		assert_int_equal(addr_parse(ip, &p.addr), 0);
		p.len = p.addr.family == AF_INET6 ? 128 : 32;
	} else {
		assert_int_equal(prefix_parse(ip, false, &p), 0);
	}
	if (prefix_contains(&p, &n->live.v4))
		add_fact(facts, json_pack("[O,O?,s,O]", from, proto, "v4", range));
	if (prefix_contains(&p, &n->live.v6))
		add_fact(facts, json_pack("[O,O?,s,O]", from, proto, "v6", range));
	/* Its own address lies in its route: that says nothing more. */
	if ((p.len == 32 || p.len == 128) &&
	    (addr_equal(&p.addr, &n->live.v4) || addr_equal(&p.addr, &n->live.v6)))
		return;
	for (uint32_t i = 0; i < n->live.route_count; i++) {
		if (!meet(&p, &n->routes[i]))
			continue;
		snprintf(mark, sizeof(mark), "%s in %s", ip, prefix_print(&n->routes[i], text));
		add_fact(facts, json_pack("[O,O?,s,O]", from, proto, mark, range));
	}
}

static void add_facts(json_t *facts, const struct model_node *n, const json_t *rules)
{
	const json_t *rule, *one;
	size_t i, k;

	json_array_foreach(rules, i, rule)
	{
		json_array_foreach(json_object_get(rule, "DstPorts"), k, one)
			add_port(facts, n, rule, one);
		json_array_foreach(json_object_get(rule, "CapGrant"), k, one)
			add_fact(facts, json_pack("[O,O]", json_object_get(rule, "SrcIPs"), one));
	}
}

/* ---- comparison ---- */

/* As a node's stream would: only when it is said that there is something new. */
static void take_filter(struct model *m, struct model_node *n)
{
	struct json_out j;
	const char *name;
	json_t *delta, *rules;

	if (!policy_live_filter_is_new(m->live, n->live.id, &n->told))
		return;
	json_out_init(&j);
	policy_live_filter(m->live, n->live.id, &n->told, &j, NULL);
	assert_int_equal(j.error, 0);
	delta = json_loads(j.text, 0, NULL);
	assert_non_null(delta);
	if (!n->filter)
		n->filter = json_object();
	if (json_is_null(json_object_get(delta, "*")))
		json_object_clear(n->filter);
	json_object_foreach(delta, name, rules)
	{
		if (json_is_null(rules))
			json_object_del(n->filter, name);
		else
			json_object_set(n->filter, name, rules);
	}
	json_decref(delta);
	json_out_fini(&j);
	assert_false(policy_live_filter_is_new(m->live, n->live.id, &n->told));
}

static void differ(int64_t id, const json_t *got, const json_t *want)
{
	const char *fact;
	json_t *one;

	json_object_foreach((json_t *)got, fact, one) if (!json_object_get(want, fact))
		print_error("too much: %.900s\n", fact);
	json_object_foreach((json_t *)want, fact, one) if (!json_object_get(got, fact))
		print_error("missing: %.900s\n", fact);
	fail_msg("filter of node %lld", (long long)id);
}

static void check_filter(struct model *m, const struct policy_view *v, uint32_t node,
			 struct model_node *n)
{
	json_t *got = json_object(), *want = json_object(), *rules;
	struct json_out j;
	const char *name;

	take_filter(m, n);
	json_object_foreach(n->filter, name, rules) add_facts(got, n, rules);
	json_out_init(&j);
	policy_filter(v, node, &j, NULL);
	rules = json_loads(j.text, 0, NULL);
	add_facts(want, n, rules);
	if (!json_equal(got, want))
		differ(n->live.id, got, want);
	json_decref(rules);
	json_decref(got);
	json_decref(want);
	json_out_fini(&j);
}

static void check_pair(struct model *m, const struct policy_view *v, uint32_t a, uint32_t b,
		       int64_t ia, int64_t ib)
{
	struct sight now = {.sees = policy_is_peer(v, a, b)}, *last = &m->sights[ia - 1][ib - 1];
	struct prefix got[SHOWN_MAX];

	assert_int_equal(policy_live_sees(m->live, ia, ib), now.sees);
	if (now.sees) {
		now.count = policy_routes(v, a, b, now.routes, SHOWN_MAX);
		assert_int_equal(policy_live_routes(m->live, ia, ib, got, SHOWN_MAX), now.count);
		for (uint32_t i = 0; i < now.count; i++)
			assert_true(prefix_equal(&got[i], &now.routes[i]));
	}
	/* Whoever's sight changed hears of one of the two. */
	if (now.sees != last->sees || now.count != last->count)
		assert_true(m->was_told[ia] || m->was_told[ib]);
	for (uint32_t i = 0; i < now.count && i < last->count; i++)
		if (!prefix_equal(&now.routes[i], &last->routes[i]))
			assert_true(m->was_told[ia] || m->was_told[ib]);
	*last = now;
}

static void check_all(struct model *m)
{
	struct policy_user users[USERS] = {{0}};
	struct policy_node nodes[NODES];
	struct policy_world world = {users, USERS, nodes, 0};
	struct policy_view *v;

	for (uint32_t i = 0; i < USERS; i++)
		users[i].login = m->logins[i];
	for (uint32_t i = 0; i < NODES; i++) {
		const struct policy_live_node *n = &m->nodes[i].live;

		if (m->nodes[i].is_there)
			nodes[world.node_count++] =
				(struct policy_node){n->id,	      (int32_t)n->user - 1,
						     n->tags,	      n->tag_count,
						     n->v4,	      n->v6,
						     n->routes,	      n->route_count,
						     n->is_exit,      n->primary,
						     n->primary_count};
	}
	v = policy_view_new(m->policy, &world);
	assert_non_null(v);
	for (uint32_t a = 0; a < world.node_count; a++) {
		for (uint32_t b = 0; b < world.node_count; b++)
			if (a != b)
				check_pair(m, v, a, b, nodes[a].id, nodes[b].id);
		check_filter(m, v, a, &m->nodes[nodes[a].id - 1]);
	}
	policy_view_free(v);
	/* Who is gone is seen by nobody. */
	for (uint32_t a = 0; a < NODES; a++)
		for (uint32_t b = 0; b < NODES; b++)
			if (!m->nodes[a].is_there || !m->nodes[b].is_there)
				m->sights[a][b] = (struct sight){0};
	memset(m->was_told, 0, sizeof(m->was_told));
}

static struct model *model_new(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->random = seed;
	m->live = policy_live_new(on_change, m);
	m->policy = parsed("{\"grants\":[]}");
	for (uint32_t i = 0; i < USERS; i++)
		rename_user(m, i);
	return m;
}

static void model_free(struct model *m)
{
	for (uint32_t i = 0; i < NODES; i++)
		drop_node(m, i);
	policy_live_free(m->live);
	policy_free(m->policy);
	free(m);
}

static void says_the_same_as_a_view_from_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		/* Few, so that each matters; and now and then more than one word. */
		uint32_t nodes = seed % 10 ? 3 + (uint32_t)seed % 9 : NODES;
		struct model *m = model_new(seed);

		for (unsigned step = 0; step < (nodes == NODES ? 25 : 60); step++) {
			unsigned kind = pick(m, 12);

			if (step == 0 || kind == 0)
				set_policy(m);
			else if (kind == 1)
				rename_user(m, pick(m, USERS));
			else if (kind < 4)
				drop_node(m, pick(m, nodes));
			else
				for (unsigned i = 0; i < (nodes == NODES ? 8u : 1u); i++)
					put_node(m, pick(m, nodes));
			check_all(m);
		}
		model_free(m);
	}
}

/* ---- what a change costs ---- */

static void touches_only_what_it_is_about(void **state)
{
	static const char text[] =
		"{\"tagOwners\":{\"tag:a\":[],\"tag:b\":[]},\"grants\":["
		"{\"src\":[\"u0@x.example\"],\"dst\":[\"tag:a\"],\"ip\":[\"22\"]},"
		"{\"src\":[\"u1@x.example\"],\"dst\":[\"tag:a\",\"tag:b\"],\"ip\":[\"23\"]}]}";
	struct model *m = model_new(1);
	struct policy_live_node n = {.v4 = {.family = AF_INET, .bytes = {100, 64, 0, 0}}};
	static const char *const tags[][1] = {{"tag:a"}, {"tag:b"}};
	struct policy_told a = {0}, b = {0};
	struct json_out j;

	(void)state;
	policy_live_user(m->live, 1, "u0@x.example");
	policy_live_user(m->live, 2, "u1@x.example");
	policy_live_set(m->live, parsed(text));
	for (int64_t id = 1; id <= 4; id++) {
		n.id = id;
		n.v4.bytes[3] = (uint8_t)id;
		n.user = id > 2 ? id - 2 : 0;
		n.tag_count = id <= 2;
		n.tags = id <= 2 ? tags[id - 1] : NULL;
		policy_live_put(m->live, &n);
	}
	json_out_init(&j);
	policy_live_filter(m->live, 1, &a, &j, NULL);
	policy_live_filter(m->live, 2, &b, &j, NULL);
	json_out_fini(&j);
	m->edges = 0;
	/* The same again: nothing. */
	policy_live_put(m->live, &n);
	assert_int_equal(m->edges, 0);
	/* One more of user 1, whom only tag:a hears: it is told of this part alone. */
	n.id = 5;
	n.v4.bytes[3] = 5;
	n.user = 1;
	policy_live_put(m->live, &n);
	assert_int_equal(m->edges, 1);
	assert_false(policy_live_filter_is_new(m->live, 2, &b));
	assert_true(policy_live_filter_is_new(m->live, 1, &a));
	json_out_init(&j);
	policy_live_filter(m->live, 1, &a, &j, NULL);
	assert_string_equal(j.text,
			    "{\"s0\":[{\"SrcIPs\":[\"100.64.0.3\",\"100.64.0.5\"],\"DstPorts\":"
			    "[{\"IP\":\"100.64.0.1\",\"Ports\":{\"First\":22,\"Last\":22}}]}]}");
	json_out_fini(&j);
	policy_told_fini(&a);
	policy_told_fini(&b);
	model_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_the_same_as_a_view_from_nothing),
		cmocka_unit_test(touches_only_what_it_is_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
