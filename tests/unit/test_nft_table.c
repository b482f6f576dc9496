/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the table of translation in a network namespace of its own: made whole,
 * replaced whole, taken over from a process that was killed, gone when nothing is
 * wanted; and that a refusal is told. Skipped (77) without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/node/nft_table.h"
#include "tests/unit/command_lines.h"

static int with(const char *what)
{
	char command[256];

	snprintf(command, sizeof(command), "nft list ruleset | grep -F -- '%s'", what);
	return lines(command);
}

static uint32_t prefixes(struct prefix *out, const char *const *texts)
{
	uint32_t n = 0;

	for (; texts[n]; n++)
		assert_int_equal(prefix_parse(texts[n], false, &out[n]), 0);
	return n;
}

static struct nft_wanted wanted(struct prefix *room, const char *const *texts)
{
	return (struct nft_wanted){
		.tun = "cw0", .routes = room, .route_count = prefixes(room, texts)};
}

static void subnets_are_translated(void **state)
{
	/* One inside another, as routes of two sites may be. */
	static const char *const texts[] = {"10.1.0.0/16", "10.1.2.0/24", "192.168.0.0/24",
					    "fd01::/64", NULL};
	static const char *const fewer[] = {"10.3.0.0/16", NULL};
	struct prefix room[8];
	struct nft_wanted w = wanted(room, texts);
	struct nft_table *t;

	assert_int_equal(nft_table_open(&t), 0);
	if (nft_table_apply(t, &w))
		fail_msg("%s", nft_table_problem(t));
	assert_int_equal(with("table inet causeway"), 1);
	assert_int_equal(with("elements = { 10.1.0.0/16, 192.168.0.0/24 }"), 1);
	assert_int_equal(with("elements = { fd01::/64 }"), 1);
	assert_int_equal(with("iifname \"cw0\" ip daddr @routes4 meta mark set "
			      "meta mark & 0xff04ffff | 0x00040000"),
			 1);
	assert_int_equal(with("iifname \"cw0\" ip6 daddr @routes6"), 1);
	assert_int_equal(with("oifname != \"cw0\" meta mark & 0x00ff0000 == 0x00040000 "
			      "masquerade"),
			 1);
	/* The same again is no command at all: the table, gone meanwhile, stays so. */
	assert_int_equal(system("nft flush ruleset"), 0);
	assert_int_equal(nft_table_apply(t, &w), 0);
	assert_int_equal(with("causeway"), 0);
	/* Something else replaces all of it. */
	w = wanted(room, fewer);
	assert_int_equal(nft_table_apply(t, &w), 0);
	assert_int_equal(with("elements = { 10.3.0.0/16 }"), 1);
	assert_int_equal(with("routes6"), 0);
	assert_int_equal(nft_table_remove(t), 0);
	assert_int_equal(lines("nft list ruleset"), 0);
	nft_table_close(t);
}

/* As an exit node: without a set, by family alone. */
static void default_routes_are_all(void **state)
{
	static const char *const texts[] = {"0.0.0.0/0", "10.1.0.0/16", "::/0", NULL};
	struct prefix room[8];
	struct nft_wanted w = wanted(room, texts);
	struct nft_table *t;

	assert_int_equal(nft_table_open(&t), 0);
	assert_int_equal(nft_table_apply(t, &w), 0);
	assert_int_equal(with("elements"), 0);
	assert_int_equal(with("iifname \"cw0\" meta nfproto ipv4 meta mark set"), 1);
	assert_int_equal(with("iifname \"cw0\" meta nfproto ipv6 meta mark set"), 1);
	/* Closing is no removal: kill -9 would not do more. */
	nft_table_close(t);
	assert_int_equal(with("table inet causeway"), 1);
	/* Tables of others are none of ours. */
	assert_int_equal(system("nft add table inet other"), 0);
	assert_int_equal(nft_table_open(&t), 0);
	w.route_count = 1;
	assert_int_equal(nft_table_apply(t, &w), 0);
	assert_int_equal(with("masquerade"), 1);
	assert_int_equal(with("nfproto ipv6"), 0);
	nft_table_close(t);
	assert_int_equal(nft_table_open(&t), 0);
	assert_int_equal(nft_table_remove(t), 0);
	assert_int_equal(with("causeway"), 0);
	assert_int_equal(with("table inet other"), 1);
	nft_table_close(t);
	assert_int_equal(system("nft delete table inet other"), 0);
}

static void a_refusal_is_told_and_changes_nothing(void **state)
{
	static const char *const texts[] = {"10.1.0.0/16", NULL};
	struct prefix room[8];
	struct nft_wanted w = wanted(room, texts);
	struct nft_table *t;

	assert_int_equal(nft_table_open(&t), 0);
	assert_int_equal(nft_table_apply(t, &w), 0);
	w.tun = "cw0\" drop";
	assert_int_equal(nft_table_apply(t, &w), -EINVAL);
	assert_non_null(nft_table_problem(t));
	w.tun = "a-name-that-no-interface-can-have";
	assert_int_equal(nft_table_apply(t, &w), -EIO);
	assert_non_null(strstr(nft_table_problem(t), "nftables refused it"));
	assert_int_equal(with("iifname \"cw0\""), 1);
	w.tun = "cw1";
	assert_int_equal(nft_table_apply(t, &w), 0);
	assert_null(nft_table_problem(t));
	assert_int_equal(with("iifname \"cw1\""), 1);
	assert_int_equal(nft_table_remove(t), 0);
	nft_table_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subnets_are_translated),
		cmocka_unit_test(default_routes_are_all),
		cmocka_unit_test(a_refusal_is_told_and_changes_nothing),
	};

	if (unshare(CLONE_NEWNET) < 0 || system("nft list ruleset") != 0)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
