/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the kernel's side of a node in a network namespace of its own: routes to
 * the TUN, unreachable ones that stay when the TUN vanishes, policy rules only
 * with a default route or an exit node, translation as it is wanted, nothing left
 * after down. Skipped (77) without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sodium.h>
#include <sys/ioctl.h>

#include "controlplane/node/link.h"
#include "controlplane/node/link_plan.h"
#include "tests/unit/command_lines.h"

#define KEY_A "ERERERERERERERERERERERERERERERERERERERERERE="
#define KEY_B "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI="

static struct node_config *config(const char *allowed_a, const char *allowed_b)
{
	char text[1024], err[CONFIG_ERROR_MAX];
	struct node_config *cfg;

	snprintf(text, sizeof(text),
		 "{\"addresses\": [\"10.9.0.1/24\"], \"mtu\": 1400, \"peers\": ["
		 "{\"public_key\": \"" KEY_A "\", \"allowed_ips\": [%s]},"
		 "{\"public_key\": \"" KEY_B "\", \"allowed_ips\": [%s], \"mtu\": 1280}]}",
		 allowed_a, allowed_b);
	if (config_parse(text, strlen(text), NULL, NULL, &cfg, err))
		fail_msg("%s", err);
	return cfg;
}

static int tun_open(uint32_t *ifindex)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "cw0"};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	*ifindex = if_nametoindex("cw0");
	return fd;
}

/* An unreachable route has it, whichever way iproute2 words that. */
static bool is_closed(const char *address)
{
	char command[128];

	snprintf(command, sizeof(command),
		 "ip route get %s 2>&1 | grep -i 'no route\\|unreachable'", address);
	return lines(command) == 1;
}

/* Puts an address in front of the others. */
static void serve(struct node_config *cfg, const char *address)
{
	struct config_address *a = realloc(cfg->addresses, (cfg->address_count + 1) * sizeof(*a));

	assert_non_null(a);
	memmove(a + 1, a, cfg->address_count * sizeof(*a));
	*a = (struct config_address){.is_service = true};
	assert_int_equal(addr_parse(address, &a->addr), 0);
	a->prefix_len = a->addr.family == AF_INET ? 32 : 128;
	cfg->addresses = a;
	cfg->address_count++;
}

static void test_plan(void **state)
{
	struct node_config *cfg = config("\"10.2.0.0/16\", \"0.0.0.0/0\"", "\"10.9.0.0/24\"");
	struct link_plan plan;
	unsigned on_tun = 0, unreachable = 0;

	(void)state;
	assert_int_equal(link_plan_make(cfg, 5, 1350, &plan), 0);
	assert_int_equal(plan.tun_mtu, 1350);
	assert_true(plan.default_v4);
	assert_false(plan.default_v6);
	for (uint32_t i = 0; i < plan.route_count; i++) {
		const struct netlink_route *r = &plan.routes[i];

		on_tun += r->ifindex == 5;
		unreachable += r->ifindex == 0;
		assert_int_equal(r->table, r->dst.len ? 254 : LINK_TABLE);
		/* The peer with the smaller MTU has it on its routes. */
		if (r->ifindex)
			assert_int_equal(r->mtu, r->dst.len == 24 ? 1280 : 0);
	}
	assert_int_equal(on_tun, 3);
	/* 10.9.0.0/24 is a peer's and the node's own subnet: once. */
	assert_int_equal(unreachable, 3);
	link_plan_fini(&plan);
	config_free(cfg);
}

static void test_kernel(void **state)
{
	struct node_config *cfg = config("\"10.2.0.0/16\", \"10.3.0.0/16\"", "\"10.4.0.0/16\"");
	struct node_config *fewer = config("\"10.2.0.0/16\"", "");
	struct node_config *other = config("\"10.2.0.0/16\"", "\"0.0.0.0/0\"");
	struct link *l;
	uint32_t ifindex;
	int tun;

	(void)state;
	assert_int_equal(link_open(&l), 0);
	/* Before there is a dataplane: closed. */
	link_apply(l, cfg, "", 0, 0);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route show type unreachable"), 4);

	tun = tun_open(&ifindex);
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route show dev cw0 proto 202"), 3);
	assert_int_equal(lines("ip route show dev cw0 | grep 'mtu 1280'"), 1);
	assert_int_equal(lines("ip link show cw0 | grep 'mtu 1400'"), 1);
	assert_int_equal(lines("ip -o addr show dev cw0 | grep 10.9.0.1/24"), 1);
	assert_int_equal(lines("ip route get 10.2.0.1 | grep cw0"), 1);
	assert_int_equal(lines("ip rule | grep -c 527 | grep -v 0"), 0);
	/* Twice is as once. */
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route show dev cw0 proto 202"), 3);

	/* causewayd alone was restarted: until it knows the dataplane, traffic flows on. */
	link_apply(l, cfg, "", 0, 0);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route show dev cw0 proto 202"), 3);
	/* With two prefixes taken from the configuration meanwhile, these go. */
	link_apply(l, fewer, "", 0, 0);
	assert_int_equal(lines("ip route show dev cw0 proto 202"), 1);
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_int_equal(lines("ip route show dev cw0 proto 202"), 3);

	/* The dataplane dies: its TUN goes, and nothing falls through. */
	close(tun);
	assert_int_equal(lines("ip route show dev cw0 2>/dev/null"), 0);
	assert_true(is_closed("10.2.0.1"));
	assert_int_equal(lines("ip route show type unreachable"), 4);

	/* Another configuration: what left it goes, the default route comes. */
	tun = tun_open(&ifindex);
	link_apply(l, other, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route show | grep '^unreachable'"), 2);
	assert_int_equal(lines("ip route show table 52"), 2);
	assert_int_equal(lines("ip rule | grep '^52[67]0'"), 2);
	assert_int_equal(lines("ip route get 8.8.8.8 | grep cw0"), 1);
	assert_int_equal(lines("ip route get 8.8.8.8 mark 0x80000 2>&1 | grep cw0"), 0);

	/* An address that is only served is no source, wherever it stands in the list. */
	serve(other, "100.100.100.100");
	serve(other, "fd09::53");
	serve(other, "fd09::1");
	other->addresses[0].is_service = false;
	link_apply(l, other, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip -o addr show dev cw0 | grep '100.100.100.100/32 scope host'"),
			 1);
	assert_int_equal(lines("ip route get 10.2.0.1 | grep 'src 10.9.0.1'"), 1);
	assert_int_equal(lines("ip route get 100.100.100.100 | grep '^local'"), 1);
	assert_int_equal(lines("ip -6 route add fd09::/64 dev cw0"), 0);
	assert_int_equal(lines("ip route get fd09::52 | grep 'src fd09::1 '"), 1);

	link_down(l, ifindex);
	assert_int_equal(lines("ip route show proto 202"), 0);
	assert_int_equal(lines("ip route show table 52 2>/dev/null"), 0);
	assert_int_equal(lines("ip rule | grep '^52'"), 0);
	assert_int_equal(lines("ip -o -4 addr show dev cw0"), 0);
	close(tun);
	link_close(l);
	config_free(cfg);
	config_free(fewer);
	config_free(other);
}

/* A way to the internet, which answers nothing. */
static void add_wan(void)
{
	assert_int_equal(system("ip link add wan0 type veth peer name wan1 && "
				"ip link set wan0 up && ip link set wan1 up && "
				"ip addr add 192.0.2.2/24 dev wan0 && "
				"ip addr add 2001:db8::2/64 dev wan0 nodad && "
				"ip route add default via 192.0.2.1 && "
				"ip route add default via 2001:db8::1"),
			 0);
}

/* An exit node that is chosen but not there, or has one family: nothing leaves beside it. */
static void test_exit_closes(void **state)
{
	struct node_config *cfg = config("\"10.2.0.0/16\"", "\"0.0.0.0/0\"");
	struct node_config *without = config("\"10.2.0.0/16\"", "");
	struct link *l;
	uint32_t ifindex;
	int tun = tun_open(&ifindex);

	assert_int_equal(link_open(&l), 0);
	add_wan();
	assert_int_equal(system("echo 1 >/proc/sys/net/ipv4/ip_forward"), 0);
	cfg->has_exit = without->has_exit = true;
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route get 8.8.8.8 | grep cw0"), 1);
	assert_int_equal(lines("ip route get 8.8.8.8 mark 0x80000 | grep wan0"), 1);
	assert_true(is_closed("2600::1"));
	assert_int_equal(lines("ip route get 2600::1 mark 0x80000 | grep wan0"), 1);
	/* The network this host is in is reached as ever. */
	assert_int_equal(lines("ip route get 192.0.2.9 | grep wan0"), 1);

	/* It may be shut, too, for what this host sends; what it forwards goes on. */
	cfg->exit_shuts_lan = true;
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_int_equal(lines("ip route get 192.0.2.9 | grep cw0"), 1);
	assert_int_equal(lines("ip route get 192.0.2.9 mark 0x80000 | grep wan0"), 1);
	assert_int_equal(lines("ip route get 192.0.2.9 from 10.9.0.7 iif cw0 | grep wan0"), 1);
	assert_true(is_closed("2001:db8::9"));
	assert_int_equal(lines("ip route get 10.2.0.1 | grep cw0"), 1);

	link_apply(l, without, "cw0", ifindex, 9000);
	assert_null(link_problem(l));
	assert_true(is_closed("8.8.8.8"));
	assert_int_equal(lines("ip route get 192.0.2.9 | grep wan0"), 1);

	without->has_exit = false;
	link_apply(l, without, "cw0", ifindex, 9000);
	assert_int_equal(lines("ip route get 8.8.8.8 | grep wan0"), 1);
	assert_int_equal(lines("ip rule | grep '^52'"), 0);
	assert_int_equal(lines("ip -6 rule | grep '^52'"), 0);
	link_down(l, ifindex);
	assert_int_equal(system("ip link del wan0"), 0);
	close(tun);
	link_close(l);
	config_free(cfg);
	config_free(without);
}

/* Of a mesh: what is sealed never goes where it is sealed, also not with an exit node. */
static void test_outer_shuns_tunnel(void **state)
{
	struct node_config *cfg = config("\"10.2.0.0/16\", \"fd02::/64\"", "\"10.4.0.0/16\"");
	struct link *l;
	uint32_t ifindex;
	int tun = tun_open(&ifindex);

	assert_int_equal(link_open(&l), 0);
	add_wan();
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_int_equal(lines("ip route get 10.2.0.1 mark 0x80000 | grep cw0"), 1);
	cfg->outer_shuns_tunnel = true;
	for (unsigned exit = 0; exit < 2; exit++) {
		cfg->has_exit = cfg->exit_shuts_lan = exit;
		link_apply(l, cfg, "cw0", ifindex, 9000);
		assert_null(link_problem(l));
		assert_int_equal(lines("ip rule | grep '^52[34][05]'"), 3);
		assert_true(exit || lines("ip route get 10.2.0.1 | grep cw0") == 1);
		assert_true(is_closed("10.2.0.1 mark 0x80000"));
		assert_true(is_closed("fd02::1 mark 0x80000"));
		assert_int_equal(lines("ip route get 192.0.2.9 mark 0x80000 | grep wan0"), 1);
		assert_int_equal(lines("ip route get 8.8.8.8 mark 0x80000 | grep wan0"), 1);
		assert_int_equal(lines("ip route get 2600::1 mark 0x80000 | grep wan0"), 1);
		assert_int_equal(lines("ip route get 192.0.2.2 mark 0x80000 | grep ^local"), 1);
	}
	link_down(l, ifindex);
	assert_int_equal(lines("ip rule | grep '^52'"), 0);
	assert_int_equal(lines("ip -6 rule | grep '^52'"), 0);
	assert_int_equal(system("ip link del wan0"), 0);
	close(tun);
	link_close(l);
	config_free(cfg);
}

static void test_translation(void **state)
{
	static const char ours[] = "nft list table inet causeway 2>/dev/null | grep masquerade";
	struct prefix route = {.addr = {.family = AF_INET, .bytes = {192, 168}}, .len = 16};
	struct node_config *cfg = config("\"10.2.0.0/16\"", "");
	struct link *l;
	uint32_t ifindex;
	int tun = tun_open(&ifindex);

	assert_int_equal(system("echo 0 >/proc/sys/net/ipv4/ip_forward"), 0);
	cfg->masquerade = malloc(sizeof(route));
	assert_non_null(cfg->masquerade);
	*cfg->masquerade = route;
	cfg->masquerade_count = 1;
	cfg->forwards4 = true;
	assert_int_equal(link_open(&l), 0);
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_int_equal(lines(ours), 1);
	assert_non_null(strstr(link_problem(l), "net.ipv4.ip_forward"));
	assert_int_equal(system("echo 1 >/proc/sys/net/ipv4/ip_forward"), 0);
	assert_null(link_problem(l));
	/* Without its TUN it stays; told to leave netfilter alone, what it made goes. */
	link_apply(l, cfg, "", 0, 0);
	assert_int_equal(lines(ours), 1);
	cfg->leaves_netfilter = true;
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_int_equal(lines(ours), 0);
	/* And then nothing is touched, not even a table of our name. */
	assert_int_equal(system("nft add table inet causeway"), 0);
	link_apply(l, cfg, "cw0", ifindex, 9000);
	link_down(l, ifindex);
	assert_int_equal(lines("nft list tables | grep causeway"), 1);
	cfg->leaves_netfilter = false;
	link_apply(l, cfg, "cw0", ifindex, 9000);
	assert_int_equal(lines(ours), 1);
	link_down(l, ifindex);
	assert_int_equal(lines(ours), 0);
	link_apply(l, cfg, "cw0", ifindex, 9000);
	link_close(l);
	assert_int_equal(lines(ours), 0);
	close(tun);
	config_free(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),	    cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_exit_closes), cmocka_unit_test(test_outer_shuns_tunnel),
		cmocka_unit_test(test_translation),
	};

	if (sodium_init() < 0)
		return 1;
	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0)
		return 77;
	/* So that the main table is asked at all. */
	if (system("ip link set lo up"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
