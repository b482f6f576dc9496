/* SPDX-License-Identifier: Apache-2.0 */
/* Shows which texts are addresses, endpoints and prefixes, and that printing is parsing reversed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/bug.h"

static void addresses(void **state)
{
	static const char *const good[] = {"0.0.0.0", "255.255.255.255", "10.1.2.3",
					   "::",      "fd7a:115c::1",	 "::ffff:1.2.3.4"};
	static const char *const bad[] = {"",	       "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4 ",
					  "fe80::1%1", "::1::", "host",	     "1.2.3.4.5"};
	char buf[ADDR_STR_MAX];
	struct ip_addr a;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(addr_parse(good[i], &a), 0);
		assert_string_equal(addr_print(&a, buf), good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (addr_parse(bad[i], &a) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	}
	assert_string_equal(addr_print(&(struct ip_addr){0}, buf), "none");
}

static void endpoints(void **state)
{
	static const char *const good[] = {"1.2.3.4:1", "203.0.113.2:65535", "[::1]:41641"};
	static const char *const bad[] = {"1.2.3.4",	"1.2.3.4:",   "1.2.3.4:0",  "1.2.3.4:65536",
					  "1.2.3.4:01", "1.2.3.4:+1", "::1:5",	    "[1.2.3.4]:5",
					  "[::1]5",	"[::1]:5x",   ":5",	    "[]:5",
					  "host:5",	"[::1:5",     "1.2.3.4: 5", "["};
	char buf[ENDPOINT_STR_MAX];
	struct sockaddr_storage ss;
	struct endpoint e, back;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		socklen_t len;

		assert_int_equal(endpoint_parse(good[i], &e), 0);
		assert_string_equal(endpoint_print(&e, buf), good[i]);
		len = endpoint_to_sockaddr(&e, &ss);
		assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&ss, len, &back), 0);
		assert_true(endpoint_equal(&e, &back));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (endpoint_parse(bad[i], &e) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
	}
}

static void mapped_addresses_become_ipv4(void **state)
{
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
	char buf[ENDPOINT_STR_MAX];
	struct endpoint e;

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &sin6.sin6_addr), 1);
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sin6, sizeof(sin6), &e), 0);
	assert_string_equal(endpoint_print(&e, buf), "192.0.2.1:7");
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sin6, 8, &e), -EAFNOSUPPORT);
	sin6.sin6_family = AF_UNIX;
	assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&sin6, sizeof(sin6), &e),
			 -EAFNOSUPPORT);
}

static void prefixes(void **state)
{
	static const struct {
		const char *text;
		bool mask;
		const char *want; /* NULL: refused */
	} cases[] = {
		{"10.0.0.0/8", false, "10.0.0.0/8"},
		{"10.0.0.1/8", false, NULL},
		{"10.255.255.255/9", true, "10.128.0.0/9"},
		{"10.0.0.1", false, "10.0.0.1/32"},
		{"0.0.0.0/0", false, "0.0.0.0/0"},
		{"1.2.3.4/0", true, "0.0.0.0/0"},
		{"::/0", false, "::/0"},
		{"fd09::1/64", true, "fd09::/64"},
		{"fd09::1/64", false, NULL},
		{"fd09::1/128", false, "fd09::1/128"},
		{"10.0.0.0/33", true, NULL},
		{"::/129", true, NULL},
		{"10.0.0.0/", true, NULL},
		{"10.0.0.0/08", true, NULL},
		{"10.0.0.0/-1", true, NULL},
		{"10.0.0.0/8/8", true, NULL},
		{"/8", true, NULL},
		{"*", true, NULL},
	};
	char buf[PREFIX_STR_MAX];
	struct prefix p;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = prefix_parse(cases[i].text, cases[i].mask, &p);

		if ((rc == 0) != (cases[i].want != NULL))
			fail_msg("%s: %d", cases[i].text, rc);
		if (rc == 0)
			assert_string_equal(prefix_print(&p, buf), cases[i].want);
	}
}

static void containment(void **state)
{
	static const struct {
		const char *prefix;
		const char *addr;
		bool inside;
	} cases[] = {
		{"10.2.0.0/15", "10.3.255.255", true},
		{"10.2.0.0/15", "10.4.0.0", false},
		{"10.2.0.0/15", "::a02:0", false},
		{"::/0", "fd00::1", true},
		{"::/0", "1.2.3.4", false},
		{"fd00::/9", "fd7f::1", true},
		{"fd00::/9", "fd80::1", false},
		{"1.2.3.4/32", "1.2.3.4", true},
		{"1.2.3.4/32", "1.2.3.5", false},
		{"0.0.0.0/0", "255.255.255.255", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct prefix p;
		struct ip_addr a;

		assert_int_equal(prefix_parse(cases[i].prefix, false, &p), 0);
		assert_int_equal(addr_parse(cases[i].addr, &a), 0);
		if (prefix_contains(&p, &a) != cases[i].inside)
			fail_msg("%s in %s", cases[i].addr, cases[i].prefix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(mapped_addresses_become_ipv4),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(containment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
