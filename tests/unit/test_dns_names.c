/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows which names MagicDNS gives for a picture of the mesh, for which it says that
 * there are none, and whom it asks for the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "controlplane/dns/dns_names.h"

#define SELF                                                                                       \
	"\"Node\":{\"ID\":1,\"Name\":\"gate.tail.example.\",\"Addresses\":[\"100.64.0.1/32\","     \
	"\"fd7a:115c:a1e0::1/128\"]"
#define PEERS                                                                                      \
	"\"Peers\":[{\"ID\":2,\"Name\":\"Node-B.tail.example.\",\"Addresses\":[\"100.64.0.2/32\"," \
	"\"fd7a:115c:a1e0::2/128\"]},{\"ID\":3,\"Name\":\"six.tail.example.\","                    \
	"\"Addresses\":[\"fd7a:115c:a1e0::3/128\"],\"CapMap\":{\"dns-subdomain-resolve\":null}}]"
#define CONFIG                                                                                     \
	"\"DNSConfig\":{\"Proxied\":true,\"ExtraRecords\":["                                       \
	"{\"Name\":\"web.corp.example\",\"Value\":\"10.1.0.1\"},"                                  \
	"{\"Name\":\"api.tail.example\",\"Type\":\"A\",\"Value\":\"100.64.0.2\"},"                 \
	"{\"Name\":\"WEB.corp.example.\",\"Type\":\"AAAA\",\"Value\":\"fd00::1\"},"                \
	"{\"Name\":\"web.corp.example\",\"Value\":\"10.1.0.2\"},"                                  \
	"{\"Name\":\"mail.corp.example\",\"Type\":\"MX\",\"Value\":\"10.1.0.9\"},"                 \
	"{\"Name\":\"wrong.corp.example\",\"Type\":\"AAAA\",\"Value\":\"10.1.0.9\"},"              \
	"{\"Name\":\"bad\",\"Value\":\"10.1.0\"},{\"Name\":7,\"Value\":\"10.1.0.1\"}],"            \
	"\"Routes\":{\"corp.example\":[{\"Addr\":\"10.9.0.53\"},{\"Addr\":\"10.9.0.54:5353\"}],"   \
	"\"lab.corp.example.\":[{\"Addr\":\"10.8.0.53\"}],\"home.example\":[],"                    \
	"\"doh.example\":[{\"Addr\":\"https://dns.example/dns-query\"}]},"                         \
	"\"Resolvers\":[{\"Addr\":\"9.9.9.9\"},{\"Addr\":\"100.100.100.100\"}],"                   \
	"\"FallbackResolvers\":[{\"Addr\":\"1.1.1.1\"}]}"

static struct netmap *map_of(const char *text)
{
	struct json_in in = {0};
	json_t *message = json_in_parse(&in, text, strlen(text));
	struct netmap *m = NULL;

	if (!message || netmap_apply(NULL, message, 1, &m, &in))
		fail_msg("%s", in.error);
	json_decref(message);
	return m;
}

static struct dns_names *names_of(const char *text, bool accept_dns)
{
	struct netmap *m = map_of(text);
	struct dns_names *n;

	assert_int_equal(dns_names_make(m, accept_dns, 1, &n), 0);
	/* Nothing is borrowed from the map. */
	netmap_free(m);
	return n;
}

/* "HERE 10.1.0.1 fd00::1", "NOT_HERE", ... */
static const char *found(const struct dns_names *n, const char *name, uint16_t type)
{
	static char text[512];
	static const char *const verdicts[] = {"HERE", "NOT_HERE", "NOT_MADE", "ELSEWHERE"};
	struct dns_found f;
	int at = snprintf(text, sizeof(text), "%s", verdicts[dns_names_find(n, name, type, &f)]);

	for (uint32_t i = 0; i < f.addr_count; i++) {
		char addr[ADDR_STR_MAX];

		at += snprintf(text + at, sizeof(text) - (size_t)at, " %s",
			       addr_print(&f.addrs[i], addr));
	}
	if (f.pointer)
		snprintf(text + at, sizeof(text) - (size_t)at, " %s", f.pointer);
	return text;
}

static const char *zone(const struct dns_names *n, const char *name)
{
	struct dns_found f;

	dns_names_find(n, name, DNS_TYPE_A, &f);
	return f.zone ? f.zone : "none";
}

static const char *asked(const struct dns_names *n, const char *name)
{
	static char text[256];
	struct dns_resolvers r = dns_names_resolvers(n, name);
	int at = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < r.count; i++) {
		char e[ENDPOINT_STR_MAX];

		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s ",
			       endpoint_print(&r.at[i], e));
	}
	snprintf(text + at, sizeof(text) - (size_t)at, "%u", r.unusable);
	return text;
}

static void nodes_have_names(void **state)
{
	struct dns_names *n = names_of("{" SELF "}," PEERS "," CONFIG "}", true);

	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_A), "HERE 100.64.0.1");
	assert_string_equal(found(n, "node-b.tail.example", DNS_TYPE_A), "HERE 100.64.0.2");
	/* One without IPv4 has its IPv6 address, and names below it. */
	assert_string_equal(found(n, "six.tail.example", DNS_TYPE_AAAA), "HERE fd7a:115c:a1e0::3");
	assert_string_equal(found(n, "a.b.six.tail.example", DNS_TYPE_A), "HERE fd7a:115c:a1e0::3");
	assert_string_equal(found(n, "a.gate.tail.example", DNS_TYPE_A), "NOT_HERE");
	assert_string_equal(found(n, "none.tail.example", DNS_TYPE_A), "NOT_HERE");
	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_SRV), "HERE 100.64.0.1");
	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_SOA), "NOT_MADE 100.64.0.1");
	assert_string_equal(found(n, "gate", DNS_TYPE_A), "ELSEWHERE");
	assert_string_equal(found(n, "x.onion", DNS_TYPE_A), "NOT_HERE");
	assert_string_equal(zone(n, "none.tail.example"), "tail.example");
	assert_string_equal(zone(n, "www.example"), "none");
	dns_names_free(n);
}

static void ipv6_addresses_want_the_attribute(void **state)
{
	struct dns_names *n =
		names_of("{" SELF ",\"CapMap\":{\"magicdns-aaaa\":null}}," PEERS "}", true);

	assert_string_equal(found(n, "node-b.tail.example", DNS_TYPE_AAAA),
			    "HERE 100.64.0.2 fd7a:115c:a1e0::2");
	dns_names_free(n);
	n = names_of("{\"Node\":{\"ID\":1,\"Name\":\"gate.tail.example.\",\"Addresses\":"
		     "[\"fd7a:115c:a1e0::1/128\"]}," PEERS "}",
		     true);
	assert_string_equal(found(n, "node-b.tail.example", DNS_TYPE_A), "HERE fd7a:115c:a1e0::2");
	dns_names_free(n);
}

static void addresses_have_names(void **state)
{
	static const char six[] = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
				  "0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa";
	struct dns_names *n = names_of("{" SELF "}," PEERS "," CONFIG "}", true);

	assert_string_equal(found(n, "1.0.64.100.in-addr.arpa", DNS_TYPE_PTR),
			    "HERE gate.tail.example");
	/* A node's own name, though a record points to it, too. */
	assert_string_equal(found(n, "2.0.64.100.in-addr.arpa", DNS_TYPE_PTR),
			    "HERE node-b.tail.example");
	assert_string_equal(found(n, six, DNS_TYPE_PTR), "HERE node-b.tail.example");
	assert_string_equal(found(n, "1.0.1.10.in-addr.arpa", DNS_TYPE_PTR),
			    "HERE web.corp.example");
	assert_string_equal(found(n, "100.100.100.100.in-addr.arpa", DNS_TYPE_PTR),
			    "HERE magicdns.localhost-tailscale-daemon");
	assert_string_equal(found(n, "9.0.64.100.in-addr.arpa", DNS_TYPE_PTR), "NOT_HERE");
	assert_string_equal(found(n, "9.0.128.100.in-addr.arpa", DNS_TYPE_PTR), "ELSEWHERE");
	assert_string_equal(found(n, "64.100.in-addr.arpa", DNS_TYPE_PTR), "ELSEWHERE");
	assert_string_equal(found(n, "lb._dns-sd._udp.0.1.10.in-addr.arpa", DNS_TYPE_PTR),
			    "NOT_HERE");
	dns_names_free(n);
}

static void extra_records_are_names(void **state)
{
	struct dns_names *n = names_of("{" SELF "}," PEERS "," CONFIG "}", true);

	assert_string_equal(found(n, "web.corp.example", DNS_TYPE_A),
			    "HERE 10.1.0.1 fd00::1 10.1.0.2");
	assert_string_equal(found(n, "api.tail.example", DNS_TYPE_A), "HERE 100.64.0.2");
	/* What does not read, or is of a type that nobody makes, is no record. */
	assert_string_equal(found(n, "mail.corp.example", DNS_TYPE_A), "ELSEWHERE");
	assert_string_equal(found(n, "wrong.corp.example", DNS_TYPE_AAAA), "ELSEWHERE");
	assert_string_equal(found(n, "bad", DNS_TYPE_A), "ELSEWHERE");
	assert_int_equal(dns_names_count(n), 5);
	dns_names_free(n);
}

static void a_record_replaces_a_node_of_its_name(void **state)
{
	struct dns_names *n =
		names_of("{" SELF "}," PEERS ",\"DNSConfig\":{\"ExtraRecords\":["
			 "{\"Name\":\"node-b.tail.example\",\"Value\":\"10.1.0.1\"}]}}",
			 true);

	assert_string_equal(found(n, "node-b.tail.example", DNS_TYPE_A), "HERE 10.1.0.1");
	dns_names_free(n);
}

static void names_are_asked_where_routes_say(void **state)
{
	struct dns_names *n = names_of("{" SELF "}," PEERS "," CONFIG "}", true);

	assert_string_equal(asked(n, "x.corp.example"), "10.9.0.53:53 10.9.0.54:5353 0");
	assert_string_equal(asked(n, "corp.example"), "10.9.0.53:53 10.9.0.54:5353 0");
	assert_string_equal(asked(n, "a.lab.corp.example"), "10.8.0.53:53 0");
	assert_string_equal(asked(n, "xcorp.example"), "9.9.9.9:53 1");
	assert_string_equal(asked(n, "a.doh.example"), "1");
	/* A route without resolvers is ours to answer. */
	assert_string_equal(found(n, "x.home.example", DNS_TYPE_A), "NOT_HERE");
	assert_string_equal(zone(n, "x.home.example"), "home.example");
	dns_names_free(n);
}

static void fallbacks_count_without_resolvers(void **state)
{
	struct dns_names *n = names_of(
		"{" SELF "},\"DNSConfig\":{\"FallbackResolvers\":[{\"Addr\":\"[fd00::5]:54\"}]}}",
		true);

	assert_string_equal(asked(n, "www.example"), "[fd00::5]:54 0");
	/* Not proxied: names are there, the zone is not ours. */
	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_A), "HERE 100.64.0.1");
	assert_string_equal(found(n, "none.tail.example", DNS_TYPE_A), "ELSEWHERE");
	dns_names_free(n);
}

static void without_accept_dns_only_names_are_left(void **state)
{
	struct dns_names *n = names_of("{" SELF "}," PEERS "," CONFIG "}", false);

	assert_string_equal(found(n, "node-b.tail.example", DNS_TYPE_A), "HERE 100.64.0.2");
	assert_string_equal(found(n, "none.tail.example", DNS_TYPE_A), "ELSEWHERE");
	assert_string_equal(asked(n, "x.corp.example"), "0");
	dns_names_free(n);
}

static void nothing_is_known_without_a_map_or_with_an_expired_key(void **state)
{
	struct netmap *m =
		map_of("{" SELF ",\"KeyExpiry\":\"2026-01-01T00:00:00Z\"}," PEERS "," CONFIG "}");
	struct dns_names *n;

	assert_int_equal(dns_names_make(m, true, INT64_MAX, &n), 0);
	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_A), "ELSEWHERE");
	dns_names_free(n);
	netmap_free(m);
	assert_int_equal(dns_names_make(NULL, true, 1, &n), 0);
	assert_string_equal(found(n, "gate.tail.example", DNS_TYPE_A), "ELSEWHERE");
	assert_string_equal(asked(n, "www.example"), "0");
	dns_names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_have_names),
		cmocka_unit_test(ipv6_addresses_want_the_attribute),
		cmocka_unit_test(addresses_have_names),
		cmocka_unit_test(extra_records_are_names),
		cmocka_unit_test(a_record_replaces_a_node_of_its_name),
		cmocka_unit_test(names_are_asked_where_routes_say),
		cmocka_unit_test(fallbacks_count_without_resolvers),
		cmocka_unit_test(without_accept_dns_only_names_are_left),
		cmocka_unit_test(nothing_is_known_without_a_map_or_with_an_expired_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
