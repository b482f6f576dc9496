/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows the kernel's side of a node in a network namespace of its own: routes to
 * the TUN, unreachable ones that stay when the TUN vanishes, policy rules only
 * with a default route, nothing left after down. Skipped (77) without root.
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

/* Lines that a command prints. */
static int lines(const char *command)
{
	FILE *f = popen(command, "r");
	char line[512];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n++;
	pclose(f);
	return n;
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
	assert_int_equal(lines("ip route get 10.2.0.1 2>&1 | grep -i 'no route\\|unreachable'"), 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_kernel),
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
