/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that a policy gives each node the filter, the peers, the routes and the
 * attributes that were recorded from the service, and that what it refused is refused,
 * with a place.
 * Usage: test_policy acls.json grants.json routes.json nodeattrs.json tests.json policy.hujson
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "controlplane/policy/ip_set.h"
#include "controlplane/policy/policy.h"
#include "lib/base/fileio.h"
#include "tests/unit/vector_json.h"

#define NODES_MAX  64
#define ROUTES_MAX 16

struct fixture {
	struct policy_user users[16];
	struct policy_node nodes[NODES_MAX];
	const char *names[NODES_MAX];
	const char *tags[NODES_MAX][8];
	struct prefix routes[NODES_MAX][ROUTES_MAX], primary[NODES_MAX][ROUTES_MAX];
	struct policy_world world;
};

static char **files;

static uint32_t role_of(const char *role)
{
	if (strcmp(role, "owner") == 0)
		return POLICY_OWNER | POLICY_ADMIN;
	return strcmp(role, "admin") == 0 ? POLICY_ADMIN : 0;
}

static struct prefix prefix_of(const json_t *text)
{
	struct prefix p;

	assert_int_equal(prefix_parse(json_string_value(text), false, &p), 0);
	return p;
}

static bool list_has(const json_t *list, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (strcmp(json_string_value(one), text) == 0) return true;
	return false;
}

/* Advertised and approved; exit routes are a flag. */
static void load_node(struct fixture *f, const json_t *from, uint32_t i)
{
	const json_t *advertised = json_object_get(from, "advertised"), *one;
	struct policy_node *n = &f->nodes[i];
	const char *user = vector_text(from, "user");
	size_t k;

	*n = (struct policy_node){.id = i + 1,
				  .user = -1,
				  .tags = f->tags[i],
				  .routes = f->routes[i],
				  .primary = f->primary[i]};
	f->names[i] = vector_text(from, "name");
	addr_parse(vector_text(from, "ipv4"), &n->v4);
	addr_parse(vector_text(from, "ipv6"), &n->v6);
	for (uint32_t u = 0; u < f->world.user_count; u++)
		if (strcmp(f->users[u].login, user) == 0)
			n->user = (int32_t)u;
	json_array_foreach(json_object_get(from, "tags"), k, one) f->tags[i][n->tag_count++] =
		json_string_value(one);
	json_array_foreach(json_object_get(from, "approved"), k, one)
	{
		struct prefix p = prefix_of(one);

		if (!list_has(advertised, json_string_value(one)))
			continue;
		if (p.len == 0)
			n->is_exit = true;
		else
			f->routes[i][n->route_count++] = p;
	}
	json_array_foreach(json_object_get(from, "primary"), k, one) if (prefix_of(one).len)
		f->primary[i][n->primary_count++] = prefix_of(one);
}

static void load(struct fixture *f, const json_t *c)
{
	const json_t *one;
	size_t i;

	memset(f, 0, sizeof(*f));
	f->world.users = f->users;
	f->world.nodes = f->nodes;
	json_array_foreach(json_object_get(c, "users"), i, one)
	{
		f->users[i] = (struct policy_user){.login = vector_text(one, "login"),
						   .roles = role_of(vector_text(one, "role"))};
		f->world.user_count++;
	}
	json_array_foreach(json_object_get(c, "nodes"), i, one)
	{
		assert_true(i < NODES_MAX);
		load_node(f, one, (uint32_t)i);
		f->world.node_count++;
	}
}

static uint32_t node_named(const struct fixture *f, const char *name)
{
	uint32_t i = 0;

	while (i < f->world.node_count && strcmp(f->names[i], name) != 0)
		i++;
	assert_true(i < f->world.node_count);
	return i;
}

static void differ(const char *name, const char *node, const char *what, const json_t *got,
		   const json_t *want)
{
	char *a = json_dumps(got, JSON_ENCODE_ANY), *b = json_dumps(want, JSON_ENCODE_ANY);

	fail_msg("%s, %s, %s:\ngot  %s\nwant %s", name, node, what, a ? a : "?", b);
}

static void check_filter(const char *name, const struct fixture *f, const struct policy_view *v,
			 const char *node, const json_t *want)
{
	struct json_out j;
	json_t *got;

	json_out_init(&j);
	policy_filter(v, node_named(f, node), &j, NULL);
	assert_int_equal(j.error, 0);
	got = json_loads(j.text, 0, NULL);
	if (!got || !json_equal(got, want))
		differ(name, node, "filter", got, want);
	json_decref(got);
	json_out_fini(&j);
}

static json_t *routes_of(const struct policy_view *v, uint32_t a, uint32_t b)
{
	struct prefix routes[2 * ROUTES_MAX];
	uint32_t n = policy_routes(v, a, b, routes, 2 * ROUTES_MAX);
	json_t *list = json_array();
	char buf[PREFIX_STR_MAX];

	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(prefix_print(&routes[i], buf)));
	return list;
}

/* Routes have no order. */
static bool same_list(const json_t *a, const json_t *b)
{
	const json_t *one;
	size_t i;

	json_array_foreach(a, i, one) if (!list_has(b, json_string_value(one))) return false;
	return json_array_size(a) == json_array_size(b);
}

static void check_peers(const char *name, const struct fixture *f, const struct policy_view *v,
			const char *node, const json_t *want)
{
	uint32_t a = node_named(f, node);
	json_t *got = json_object();
	const char *peer;
	json_t *routes;
	bool same = true;

	for (uint32_t b = 0; b < f->world.node_count; b++)
		if (policy_is_peer(v, a, b))
			json_object_set_new(got, f->names[b], routes_of(v, a, b));
	json_object_foreach(got, peer, routes) same &=
		json_object_get(want, peer) && same_list(routes, json_object_get(want, peer));
	if (!same || json_object_size(got) != json_object_size(want))
		differ(name, node, "peers", got, want);
	json_decref(got);
}

static void add_name(void *arg, const char *name)
{
	json_t *list = arg;

	assert_false(list_has(list, name));
	json_array_append_new(list, json_string(name));
}

static void check_attrs(const char *name, const struct fixture *f, const struct policy *p,
			const char *node, const json_t *want)
{
	json_t *got = json_array();

	policy_attributes(p, &f->world, node_named(f, node), add_name, got);
	if (!same_list(got, want))
		differ(name, node, "attrs", got, want);
	json_decref(got);
}

/* The policy approves of what is advertised what was approved. */
static void check_approvals(const char *name, const struct fixture *f, const struct policy *p,
			    const json_t *c)
{
	const json_t *node, *route;
	size_t i, k;

	json_array_foreach(json_object_get(c, "nodes"), i, node)
		json_array_foreach(json_object_get(node, "advertised"), k, route)
	{
		struct prefix r = prefix_of(route);
		bool want = list_has(json_object_get(node, "approved"), json_string_value(route));

		if (policy_approves(p, &f->world, (uint32_t)i, &r) != want)
			fail_msg("%s: %s of %s: approved %d expected", name,
				 json_string_value(route), f->names[i], want);
	}
}

static void check_case(const json_t *c)
{
	const char *name = vector_text(c, "name"), *text = vector_text(c, "policy"), *node;
	/* The service gives addresses out of a pool; here that is refused, not passed over. */
	bool is_refused = json_object_get(c, "expect_error") || strstr(text, "\"ipPool\"");
	struct policy_report report;
	struct policy *p = NULL;
	struct policy_view *v;
	static struct fixture f;
	json_t *want;
	int rc;

	load(&f, c);
	rc = policy_parse(text, strlen(text), &p, &report);
	if (!rc) {
		policy_report_fini(&report);
		rc = policy_run_tests(p, &f.world, &report);
	}
	if ((rc == -EINVAL) != is_refused)
		fail_msg("%s: %d %s\n%s\nservice: %s", name, rc,
			 report.count ? report.messages[0].text : "", text,
			 is_refused ? vector_text(c, "expect_error") : "took it");
	for (uint32_t i = 0; i < report.count; i++) {
		assert_true(report.messages[i].line > 0 && report.messages[i].column > 0);
		assert_true(report.messages[i].text[0]);
	}
	policy_report_fini(&report);
	if (!rc) {
		check_approvals(name, &f, p, c);
		v = policy_view_new(p, &f.world);
		assert_non_null(v);
		json_object_foreach(json_object_get(c, "expect"), node, want)
		{
			if (json_object_get(want, "filter"))
				check_filter(name, &f, v, node, json_object_get(want, "filter"));
			if (json_object_get(want, "peers"))
				check_peers(name, &f, v, node, json_object_get(want, "peers"));
			if (json_object_get(want, "attrs"))
				check_attrs(name, &f, p, node, json_object_get(want, "attrs"));
		}
		policy_view_free(v);
	}
	policy_free(p);
}

static void check_file(const char *path, size_t least)
{
	json_t *root = vector_load(path), *c;
	size_t i;

	json_array_foreach(json_object_get(root, "cases"), i, c) check_case(c);
	assert_true(i >= least);
	json_decref(root);
}

static void recorded_acls(void **state)
{
	check_file(files[0], 91);
}

static void recorded_grants(void **state)
{
	check_file(files[1], 136);
}

static void recorded_routes(void **state)
{
	check_file(files[2], 42);
}

static void recorded_attributes(void **state)
{
	check_file(files[3], 29);
}

static void recorded_tests(void **state)
{
	check_file(files[4], 27);
}

static void check_sample(const char *text, bool passes)
{
	static const struct policy_user alice = {.login = "alice@example.com"};
	static const struct prefix route = {{AF_INET, {10, 1}}, 16};
	static const struct policy_node nodes[] = {
		{.id = 1, .v4 = {AF_INET, {100, 64, 0, 1}}},
		{.id = 2,
		 .user = -1,
		 .v4 = {AF_INET, {100, 64, 0, 2}},
		 .routes = &route,
		 .route_count = 1},
	};
	const struct policy_world world = {
		.users = &alice, .user_count = 1, .nodes = nodes, .node_count = 2};
	struct policy_report report;
	struct policy_view *v;
	struct policy *p;

	assert_int_equal(policy_parse(text, strlen(text), &p, &report), 0);
	assert_int_equal(report.count, 0);
	assert_int_equal(policy_run_tests(p, &world, &report), 0);
	v = policy_view_new(p, &world);
	assert_non_null(v);
	assert_int_equal(policy_is_peer(v, 0, 1), passes);
	policy_view_free(v);
	policy_free(p);
}

/*
 * What we ship reads without a word and lets nothing pass; with its examples taken out of
 * their comments it still reads, and their tests hold.
 */
static void the_sample(void **state)
{
	char *text, *at;
	size_t len;

	(void)state;
	assert_int_equal(file_read_all(files[5], 1 << 20, &text, &len), 0);
	check_sample(text, false);
	for (at = text; (at = strstr(at, "\t// ")); at++)
		if (at[4] == '"' || at[4] == '{')
			memcpy(at, "\t   ", 4);
	check_sample(text, true);
	free(text);
}

/* Every complaint says where, and names what may have been meant. */
static void places(void **state)
{
	static const struct {
		const char *text, *what;
		uint32_t line, column, count;
	} cases[] = {
		{"{\n \"grnats\": []}", "unknown key \"grnats\", the nearest is grants", 2, 2, 1},
		{"{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*\"]}]}",
		 "\"*\" has no ports: write selector:22 or selector:*", 1, 48, 1},
		{"{\"groups\":{\"group:dev\":[]},\"grants\":[{\"src\":[\"group:dve\"],\"dst\":[\"*"
		 "\"],\"ip\":[\"*\"]}]}",
		 "\"group:dve\" is not defined in \"groups\", the nearest is group:dev", 1, 46, 2},
		{"{\"hosts\":{\"a\":\"10.1.1.1/8\"}}",
		 "\"10.1.1.1/8\" is no address, and no prefix without host bits", 1, 15, 1},
		{"{\"grants\":[{\"src\":[\"10.1.1.1/8\"],\"dst\":[\"*\"],\"ip\":[\"*\"]}]}",
		 "\"10.1.1.1/8\" has bits behind its length: write 10.0.0.0/8", 1, 20, 1},
		{"{\"grants\":[1", "", 1, 13, 1},
		{"{\"ipsets\":{\"ipset:a\":[\"add ipset:b\"],\"ipset:b\":[\"add ipset:a\"]}}",
		 "ipset:a contains itself", 1, 49, 1},
		{"{\"postures\":{}}", "\"postures\": conditions on devices cannot be checked here",
		 1, 2, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct policy_message *m = NULL;
		struct policy_report report;
		struct policy *p;

		assert_int_equal(policy_parse(cases[i].text, strlen(cases[i].text), &p, &report),
				 -EINVAL);
		assert_int_equal(report.count, cases[i].count);
		for (uint32_t k = 0; k < report.count && !m; k++)
			if (!report.messages[k].is_warning)
				m = &report.messages[k];
		assert_non_null(m);
		if (m->line != cases[i].line || m->column != cases[i].column ||
		    (cases[i].what[0] && strcmp(m->text, cases[i].what) != 0))
			fail_msg("%s: %u:%u %s", cases[i].text, m->line, m->column, m->text);
		policy_report_fini(&report);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_acls),   cmocka_unit_test(recorded_grants),
		cmocka_unit_test(recorded_routes), cmocka_unit_test(recorded_attributes),
		cmocka_unit_test(recorded_tests),  cmocka_unit_test(the_sample),
		cmocka_unit_test(places),
	};

	if (argc != 7)
		return 2;
	files = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
