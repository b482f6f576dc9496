/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a policy; one that reads is applied to a small tailnet. */
#include "controlplane/policy/policy.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct policy_user users[] = {{"odin@example.com", POLICY_OWNER | POLICY_ADMIN},
					   {"thor@example.org", 0}};
static const char *const tags[] = {"tag:router", "tag:exit"};
static const struct prefix routes[] = {{{AF_INET, {10, 33}}, 16}, {{AF_INET6, {0xfd, 1}}, 48}};
static const struct policy_node nodes[] = {
	{.id = 1,
	 .user = 0,
	 .v4 = {AF_INET, {100, 64, 0, 1}},
	 .v6 = {AF_INET6, {0xfd, 0x7a, [15] = 1}}},
	{.id = 2, .user = 0, .v4 = {AF_INET, {100, 64, 0, 2}}},
	{.id = 3, .user = 1, .v4 = {AF_INET, {100, 64, 0, 3}}, .is_exit = true},
	{.id = 4,
	 .user = -1,
	 .tags = tags,
	 .tag_count = 2,
	 .v4 = {AF_INET, {100, 64, 0, 4}},
	 .routes = routes,
	 .route_count = 2,
	 .primary = routes,
	 .primary_count = 1},
};
#define NODES (sizeof(nodes) / sizeof(nodes[0]))

static void count(void *arg, const char *name)
{
	++*(unsigned *)arg;
}

static void apply(const struct policy *p, const struct policy_world *world)
{
	struct policy_view *v = policy_view_new(p, world);
	struct policy_report report;
	unsigned attributes = 0;

	BUG_ON(!v);
	for (uint32_t a = 0; a < NODES; a++) {
		struct json_out j;

		json_out_init(&j);
		policy_filter(v, a, &j, NULL);
		BUG_ON(j.error || !j.len);
		json_out_fini(&j);
		policy_attributes(p, world, a, count, &attributes);
		policy_approves(p, world, a, &routes[0]);
		for (uint32_t b = 0; b < NODES; b++) {
			struct prefix out[4];

			BUG_ON(policy_is_peer(v, a, b) != policy_is_peer(v, b, a));
			BUG_ON(a != b && policy_routes(v, a, b, out, 4) > 4);
		}
	}
	policy_may_tag(p, world, 0, "tag:router");
	policy_view_free(v);
	policy_run_tests(p, world, &report);
	policy_report_fini(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct policy_world world = {
		.users = users, .user_count = 2, .nodes = nodes, .node_count = NODES};
	struct policy_report report;
	struct policy *p = NULL;
	int rc = policy_parse((const char *)data, size, &p, &report);

	BUG_ON((rc == 0) != (p != NULL) || (rc && !report.count));
	policy_report_fini(&report);
	if (!rc)
		apply(p, &world);
	policy_free(p);
	return 0;
}
