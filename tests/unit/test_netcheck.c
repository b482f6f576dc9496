/* SPDX-License-Identifier: Apache-2.0 */
/* Shows what a look at the network asks, as recorded, and what it makes of the answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/path/netcheck.h"
#include "tests/unit/vector_json.h"

#define MS    NS_PER_MS
#define START (100 * NS_PER_SEC)

static const char *vectors_path;
static const struct netcheck_region regions[5] = {
	{1, 2, 3, 3}, {2, 2, 3, 3}, {3, 2, 3, 3}, {4, 2, 3, 3}, {5, 2, 3, 3}};

/* The recorded five plans. */
static void plans_as_recorded(void **state)
{
	static const struct {
		bool has_v6, is_again, had_v6;
		uint16_t home;
	} given[] = {{true, false, false, 0},
		     {false, false, false, 0},
		     {true, true, false, 1},
		     {true, true, true, 5},
		     {true, true, true, 0}};
	json_t *root = vector_load(vectors_path), *rec, *set, *probe;
	struct netcheck_set out[NETCHECK_SETS_MAX];
	size_t i, k, n;

	(void)state;
	json_array_foreach(json_object_get(root, "probe_plans"), i, rec)
	{
		struct netcheck_report last = {.ipv4 = true, .ipv6 = given[i].had_v6};
		struct netcheck_ask ask = {regions,	  5,	given[i].is_again ? &last : NULL,
					   given[i].home, true, given[i].has_v6};
		json_t *plan = json_object_get(rec, "plan");

		for (uint16_t r = 1; r <= 5; r++)
			last.region[last.region_count++] =
				(struct netcheck_latency){r, r * 10 * MS, 0, 0};
		assert_int_equal(netcheck_plan(&ask, out), json_array_size(plan));
		json_array_foreach(plan, k, set)
		{
			json_t *probes = json_object_get(set, "probes");
			char name[32];

			snprintf(name, sizeof(name), "region-%u-v%d", out[k].region,
				 out[k].is_v6 ? 6 : 4);
			assert_string_equal(name, vector_text(set, "set"));
			assert_int_equal(out[k].count, json_array_size(probes));
			json_array_foreach(probes, n, probe)
			{
				snprintf(name, sizeof(name), "%u%c", out[k].region,
					 'a' + out[k].probe[n].node);
				assert_string_equal(name, vector_text(probe, "node"));
				assert_int_equal(
					out[k].probe[n].at_ns / MS,
					json_integer_value(json_object_get(probe, "delay_ms")));
			}
		}
	}
	assert_int_equal(i, ARRAY_SIZE(given));
	json_decref(root);
}

static struct rig {
	struct netcheck n;
	struct netcheck_env env;
	uint64_t now_ns;
	unsigned sent, https, done, noise;
	struct netcheck_action last[64];
} rig;

static void fill(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	memset(buf, (int)++rig.noise, len);
}

static void act(void *ctx, const struct netcheck_action *a)
{
	(void)ctx;
	if (a->type == NETCHECK_SEND)
		rig.last[rig.sent++] = *a;
	rig.https += a->type == NETCHECK_HTTPS;
	rig.done += a->type == NETCHECK_DONE;
}

static void start(bool has_v6)
{
	struct netcheck_ask ask = {regions, 5, NULL, 0, true, has_v6};

	memset(&rig, 0, sizeof(rig));
	rig.env = (struct netcheck_env){NULL, fill, act};
	rig.now_ns = START;
	netcheck_start(&rig.n, &rig.env, &ask, START);
	netcheck_on_timer(&rig.n, START);
}

static void run_to(uint64_t ns)
{
	while (netcheck_next_ns(&rig.n) <= ns) {
		rig.now_ns = netcheck_next_ns(&rig.n);
		netcheck_on_timer(&rig.n, rig.now_ns);
	}
	rig.now_ns = ns;
}

static int answer(unsigned which, uint16_t port)
{
	struct endpoint e = {{AF_INET, {203, 0, 113, 1}}, port};
	uint8_t buf[STUN_RESPONSE_BYTES_MAX];
	size_t len = stun_response(buf, rig.last[which].request + 8, &e);

	return netcheck_on_stun(&rig.n, buf, len, rig.now_ns);
}

/* Three regions answer: the report ends early, and says how the NAT maps. */
static void reports(void **state)
{
	struct ip_addr own = {AF_INET, {203, 0, 113, 1}};
	struct home_report home;

	(void)state;
	for (int varies = 0; varies < 2; varies++) {
		start(false);
		assert_int_equal(rig.sent, 5);
		run_to(START + 10 * MS);
		assert_int_equal(answer(1, 7000), STUN_OK);
		assert_int_equal(answer(1, 7000), STUN_NOT_RESPONSE); /* once only */
		assert_string_equal(netcheck_nat_type(&rig.n.report, NULL, 0), "unknown");
		run_to(START + 20 * MS);
		assert_int_equal(answer(0, varies ? 7001 : 7000), STUN_OK);
		run_to(START + 30 * MS);
		assert_int_equal(answer(2, 7000), STUN_OK);
		assert_int_equal(rig.done, 0);
		run_to(START + 91 * MS);
		assert_int_equal(rig.done, 1);
		assert_int_equal(rig.https, 0);
		assert_true(rig.n.report.udp && rig.n.report.ipv4 && !rig.n.report.ipv6);
		assert_int_equal(rig.n.report.mapping_varies_by_dest_ip,
				 varies ? NETCHECK_YES : NETCHECK_NO);
		assert_int_equal(rig.n.report.mapped[0].count, varies ? 2 : 3);
		assert_string_equal(netcheck_nat_type(&rig.n.report, NULL, 0),
				    varies ? "varies by destination" : "endpoint-independent");
		assert_string_equal(netcheck_nat_type(&rig.n.report, &own, 1), "none");
		netcheck_home_report(&rig.n.report, &home);
		assert_int_equal(home.count, 3);
		assert_int_equal(home.at[1].latency_ns / MS, 10);
	}
}

/* No answer within 3 s: HTTPS; the whole ends after 5 s. */
static void falls_back_to_https(void **state)
{
	(void)state;
	start(true);
	run_to(START + 2999 * MS);
	assert_int_equal(rig.sent, 30);
	assert_int_equal(rig.https, 0);
	run_to(START + 3000 * MS);
	assert_int_equal(rig.https, 5);
	netcheck_on_https(&rig.n, 4, AF_INET, 80 * MS, rig.now_ns);
	netcheck_on_https(&rig.n, 99, AF_INET6, 80 * MS, rig.now_ns);
	run_to(START + 5000 * MS);
	assert_int_equal(rig.done, 1);
	assert_string_equal(netcheck_nat_type(&rig.n.report, NULL, 0), "udp blocked");
	assert_int_equal(rig.n.report.region[3].any_ns / MS, 80);
	assert_true(rig.n.report.ipv4 && !rig.n.report.ipv6 && !rig.n.report.udp);
	assert_true(netcheck_next_ns(&rig.n) == NETCHECK_NEVER);
}

/* With every region timed or failed, nothing is left to wait for. */
static void ends_when_all_are_timed(void **state)
{
	(void)state;
	start(false);
	run_to(START + 3000 * MS);
	for (uint16_t id = 1; id < 5; id++)
		netcheck_on_https(&rig.n, id, id % 2 ? AF_INET : 0, 80 * MS, rig.now_ns);
	assert_int_equal(rig.done, 0);
	netcheck_on_https(&rig.n, 5, 0, 0, rig.now_ns);
	assert_int_equal(rig.done, 1);
	assert_int_equal(rig.n.report.region[1].any_ns, 0);
	assert_int_equal(rig.n.report.region[2].any_ns / MS, 80);
}

/* Nodes without the family are not asked; a set all of whose requests cannot leave is over. */
static void asks_who_can_be_asked(void **state)
{
	static const struct netcheck_region odd[] = {{1, 2, 2, 0}, {2, 1, 1, 1}, {3, 2, 0, 0}};
	struct netcheck_ask ask = {odd, 3, NULL, 0, true, true};

	(void)state;
	start(false);
	memset(&rig, 0, sizeof(rig));
	rig.env = (struct netcheck_env){NULL, fill, act};
	rig.now_ns = START;
	netcheck_start(&rig.n, &rig.env, &ask, START);
	assert_int_equal(rig.n.set_count, 3);
	netcheck_on_timer(&rig.n, START);
	assert_int_equal(rig.sent, 2);
	assert_true(!rig.last[0].is_v6 && rig.last[1].is_v6 && rig.last[0].region == 2);
	netcheck_on_unsent(&rig.n, 2, 0, true);
	run_to(START + 100 * MS);
	assert_int_equal(rig.sent, 4); /* not again over IPv6 */
	assert_int_equal(rig.last[2].region, 1);
	assert_int_equal(rig.last[2].node, 1);
	assert_int_equal(answer(2, 7000), STUN_OK);
	assert_int_equal(rig.done, 0);
	assert_int_equal(answer(0, 7000), STUN_OK);
	assert_int_equal(rig.done, 1);
	assert_true(rig.n.report.ended_ns == START + 100 * MS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans_as_recorded),	 cmocka_unit_test(reports),
		cmocka_unit_test(falls_back_to_https),	 cmocka_unit_test(ends_when_all_are_timed),
		cmocka_unit_test(asks_who_can_be_asked),
	};

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
