/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows which addresses of a machine are told to others, and, in a network namespace of its own,
 * that a change of addresses, links or default routes is noticed once and nothing else is. The
 * latter is skipped (77) without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sched.h>
#include <string.h>

#include "controlplane/node/mesh_interfaces.h"

/* "1 10.0.0.1/24": interface 1; interface 0 is loopback. */
static size_t parse(const char *text, struct mesh_interfaces_addr *out)
{
	char copy[512], *rest = copy, *word;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((word = strsep(&rest, ","))) {
		char addr[ADDR_STR_MAX];
		unsigned ifindex, len;

		assert_int_equal(sscanf(word, "%u %45[^/]/%u", &ifindex, addr, &len), 3);
		out[n] = (struct mesh_interfaces_addr){ifindex, {0}, (uint8_t)len, ifindex == 0};
		assert_int_equal(addr_parse(addr, &out[n++].addr), 0);
	}
	return n;
}

static void print(const struct mesh_interfaces_state *s, char *out, size_t size)
{
	size_t at = (size_t)snprintf(out, size, "%d%d", s->has_v4, s->has_v6);

	for (size_t i = 0; i < s->count; i++) {
		char addr[ADDR_STR_MAX];

		at += (size_t)snprintf(out + at, size - at, " %s", addr_print(&s->at[i], addr));
	}
}

static void chooses(void **state)
{
	static const struct {
		const char *all, *chosen;
	} cases[] = {
		{"0 127.0.0.1/8,0 ::1/128", "00"},
		{"1 192.0.2.7/24,1 fe80::1/64,2 10.0.0.1/8", "10 10.0.0.1 192.0.2.7"},
		{"1 2001:db8::1/64,1 198.51.100.1/24", "11 198.51.100.1 2001:db8::1"},
		/* The mesh's own, an address beside them, and one on loopback. */
		{"1 100.64.0.1/32,1 fd7a:115c:a1e0::1/128,1 100.128.0.1/24,0 10.9.9.9/32",
		 "10 100.128.0.1"},
		{"1 100.115.92.1/23", "10 100.115.92.1"},
		{"1 127.1.2.3/8", "00"},
		/* Unique local and IPv4 link-local addresses where there is nothing else. */
		{"1 fd00::1/64,1 169.254.1.1/16,1 fe80::1/64", "01 169.254.1.1 fd00::1"},
		{"1 fd00::1/64,1 169.254.1.1/16,1 10.0.0.1/8", "11 10.0.0.1"},
		{"1 fd7a:115c:a1e0::1/64,1 fe80::1/64", "00"},
		/* Two of an IPv6 subnet and interface. */
		{"1 2001:db8::1/64,1 2001:db8::2/64,1 2001:db8::3/64,1 2001:db8:0:1::4/64,"
		 "2 2001:db8::5/64",
		 "01 2001:db8::1 2001:db8::2 2001:db8::5 2001:db8:0:1::4"},
		{"1 2001:db8::1/61,1 2001:db8:0:7::2/61,1 2001:db8:0:6::3/61,1 2001:db8:0:8::4/61",
		 "01 2001:db8::1 2001:db8:0:7::2 2001:db8:0:8::4"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mesh_interfaces_addr all[8];
		struct mesh_interfaces_state s = {0};
		char text[512];

		mesh_interfaces_choose(all, parse(cases[i].all, all), &s);
		print(&s, text, sizeof(text));
		assert_string_equal(text, cases[i].chosen);
	}
}

static void takes_so_many(void **state)
{
	struct mesh_interfaces_addr all[MESH_INTERFACES_MAX + 9];
	struct mesh_interfaces_state s = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		all[i] = (struct mesh_interfaces_addr){
			1, {AF_INET, {10, 0, 0, (uint8_t)(i + 1)}}, 8, false};
	mesh_interfaces_choose(all, sizeof(all) / sizeof(all[0]), &s);
	assert_int_equal(s.count, MESH_INTERFACES_MAX);
}

static struct rig {
	uv_loop_t loop;
	uv_timer_t limit;
	struct mesh_interfaces *m;
	unsigned changes;
	char old[2048], now[2048];
} rig;

static bool is_own(void *arg, uint32_t ifindex, const char *name)
{
	(void)arg;
	(void)ifindex;
	return strcmp(name, "own0") == 0;
}

static void on_change(void *arg, const struct mesh_interfaces_state *old,
		      const struct mesh_interfaces_state *now)
{
	(void)arg;
	rig.changes++;
	print(old, rig.old, sizeof(rig.old));
	print(now, rig.now, sizeof(rig.now));
	assert_ptr_equal(mesh_interfaces_state(rig.m), now);
}

static void on_limit(uv_timer_t *t)
{
	uv_stop(t->loop);
}

/* How many changes were told within the time. */
static unsigned after(const char *command, unsigned ms)
{
	rig.changes = 0;
	assert_int_equal(system(command), 0);
	uv_update_time(&rig.loop);
	uv_timer_start(&rig.limit, on_limit, ms, 0);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	return rig.changes;
}

static void notices(void **state)
{
	static const struct mesh_interfaces_events ev = {is_own, on_change};
	const struct mesh_interfaces_state *s;

	(void)state;
	if (geteuid() || unshare(CLONE_NEWNET)) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(system("ip link set lo up && for i in lan0 lan1 own0 zt0; do ip link add "
				"$i type veth peer name of-$i && ip link set of-$i up; done && "
				"ip addr add 10.1.0.1/24 dev lan0 && ip addr add 10.2.0.1/24 dev "
				"zt0 && for i in lan0 own0 zt0; do ip link set $i up; done"),
			 0);
	uv_loop_init(&rig.loop);
	uv_timer_init(&rig.loop, &rig.limit);
	assert_int_equal(mesh_interfaces_open(&rig.loop, 0x80000, &ev, NULL, &rig.m), 0);
	s = mesh_interfaces_state(rig.m);
	assert_true(s->count == 1 && s->has_v4 && !s->has_v6 && !s->default_v4.ifindex);

	assert_int_equal(after("ip addr add 192.0.2.9/24 dev lan0", 600), 1);
	assert_string_equal(rig.old, "10 10.1.0.1");
	assert_string_equal(rig.now, "10 10.1.0.1 192.0.2.9");
	/* Many at once are one. */
	assert_int_equal(after("ip addr add 2001:db8::1/64 dev lan0 nodad && ip addr del "
			       "192.0.2.9/24 dev lan0 && ip addr add 10.1.0.7/24 dev lan0",
			       600),
			 1);
	assert_string_equal(rig.now, "11 10.1.0.1 10.1.0.7 2001:db8::1");
	/* Ours, an overlay's, an interface that is down, routes to elsewhere: nothing. */
	assert_int_equal(after("ip addr add 198.51.100.1/24 dev own0 && ip addr add 10.2.0.2/24 "
			       "dev zt0 && ip addr add 10.3.0.1/24 dev lan1 && ip route add "
			       "10.77.0.0/16 via 10.1.0.2",
			       600),
			 0);
	assert_int_equal(after("ip link set lan1 up", 600), 1);
	assert_string_equal(rig.now, "11 10.1.0.1 10.1.0.7 10.3.0.1 2001:db8::1");
	assert_int_equal(after("ip route add default via 10.1.0.2", 600), 1);
	s = mesh_interfaces_state(rig.m);
	assert_true(s->default_v4.ifindex && s->default_v4.gateway.bytes[3] == 2);
	assert_true(s->default_v4.source.bytes[1] == 1 && !s->default_v6.ifindex);
	assert_int_equal(after("ip route replace default via 10.3.0.2", 600), 1);
	/* Without quiet the news are looked at after a second all the same. */
	assert_true(after("for i in $(seq 100); do ip addr add 10.4.0.$i/24 dev lan1; "
			  "sleep 0.02; done & exec true",
			  1300) > 0);
	assert_true(after("true", 3000) > 0);

	mesh_interfaces_close(rig.m);
	uv_close((uv_handle_t *)&rig.limit, NULL);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses),
		cmocka_unit_test(takes_so_many),
		cmocka_unit_test(notices),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed ? failed : geteuid() ? 77 : 0;
}
