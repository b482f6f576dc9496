/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the DNS settings of a mesh become the DNSConfig that nodes are told, and
 * that each mistake is refused with its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/dns_doc.h"
#include "lib/base/bug.h"

static const struct {
	const char *text, *config;
} good[] = {
	{"{}", "{\"Routes\":{\"mesh.test\":[]},\"Domains\":[\"mesh.test\"],\"Proxied\":true}"},
	{"{\"magic_dns\": false}", "{\"Routes\":{},\"Domains\":[],\"Proxied\":false}"},
	{"{ // who answers\n\"resolvers\": [\"192.0.2.53\", \"[2001:db8::53]:5353\",\n"
	 " \"https://dns.example/dns-query\",],\n"
	 "\"fallback_resolvers\": [\"2001:db8::1\"],\n"
	 "\"routes\": {\"corp.example\": [\"10.0.0.53\"], \"lab.example\": []},\n"
	 "\"domains\": [\"corp.example\", \"MESH.test\"],\n"
	 "\"extra_records\": [{\"name\": \"_db.corp.example\", \"value\": \"10.0.0.7\"},\n"
	 " {\"name\": \"six.example\", \"type\": \"AAAA\", \"value\": \"2001:db8::7\"}]}",
	 "{\"Resolvers\":[{\"Addr\":\"192.0.2.53\"},{\"Addr\":\"[2001:db8::53]:5353\"},"
	 "{\"Addr\":\"https://dns.example/dns-query\"}],"
	 "\"FallbackResolvers\":[{\"Addr\":\"2001:db8::1\"}],"
	 "\"Routes\":{\"mesh.test\":[],\"corp.example\":[{\"Addr\":\"10.0.0.53\"}],"
	 "\"lab.example\":[]},\"Domains\":[\"mesh.test\",\"corp.example\"],"
	 "\"ExtraRecords\":[{\"Name\":\"_db.corp.example\",\"Type\":\"A\",\"Value\":\"10.0.0.7\"},"
	 "{\"Name\":\"six.example\",\"Type\":\"AAAA\",\"Value\":\"2001:db8::7\"}],"
	 "\"Proxied\":true}"},
};

static const struct {
	const char *text;
	unsigned line, column;
	const char *says;
} bad[] = {
	{"[]", 1, 1, "object"},
	{"{\"resolver\": []}", 1, 2, "resolvers"},
	{"{\"magic_dns\": 1}", 1, 15, "true or false"},
	{"{\"resolvers\": \"192.0.2.53\"}", 1, 15, "array"},
	{"{\"resolvers\": [\"192.0.2.53\",\n  \"dns.example\"]}", 2, 3, "dns.example"},
	{"{\"resolvers\": [\"192.0.2.53:0\"]}", 1, 16, "192.0.2.53:0"},
	{"{\"resolvers\": [\"https://\"]}", 1, 16, "https://"},
	{"{\"routes\": {\"corp..example\": []}}", 1, 13, "corp..example"},
	{"{\"routes\": {\"-a.example\": []}}", 1, 13, "-a.example"},
	{"{\"routes\": {\"a.example.\": []}}", 1, 13, "a.example."},
	{"{\"routes\": {\"Mesh.Test\": []}}", 1, 13, "own domain"},
	{"{\"routes\": {\"a.example\": [7]}}", 1, 27, "string"},
	{"{\"domains\": [\"a b\"]}", 1, 14, "a b"},
	{"{\"extra_records\": [\"a\"]}", 1, 20, "object"},
	{"{\"extra_records\": [{\"name\": \"a.example\"}]}", 1, 20, "\"value\""},
	{"{\"extra_records\": [{\"value\": \"10.0.0.1\"}]}", 1, 20, "\"name\""},
	{"{\"extra_records\": [{\"name\": \"a.b\", \"value\": \"x\"}]}", 1, 45, "no address"},
	{"{\"extra_records\": [{\"name\": \"a.b\", \"type\": \"AAAA\", \"value\": \"10.0.0.1\"}]}",
	 1, 61, "AAAA"},
	{"{\"extra_records\": [{\"name\": \"a.b\", \"type\": \"MX\", \"value\": \"10.0.0.1\"}]}", 1,
	 44, "MX"},
	{"{\"extra_records\": [{\"name\": \"a.b\", \"ttl\": 5, \"value\": \"10.0.0.1\"}]}", 1, 36,
	 "ttl"},
	{"{\"domains\": [", 1, 14, ""},
};

static void settings_become_what_nodes_are_told(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		struct hujson_error err = {0};
		char *config;

		if (dns_doc_read(good[i].text, strlen(good[i].text), "mesh.test", &config, &err))
			fail_msg("%s: %u:%u: %s", good[i].text, err.line, err.column, err.text);
		assert_string_equal(config, good[i].config);
		free(config);
	}
}

static void mistakes_have_a_place(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct hujson_error err = {0};
		char *config = NULL;

		assert_int_equal(
			dns_doc_read(bad[i].text, strlen(bad[i].text), "mesh.test", &config, &err),
			-EINVAL);
		assert_null(config);
		if (err.line != bad[i].line || err.column != bad[i].column ||
		    !strstr(err.text, bad[i].says))
			fail_msg("%s: %u:%u: %s", bad[i].text, err.line, err.column, err.text);
	}
}

static void names_have_limits(void **state)
{
	char text[512], label[80];
	struct hujson_error err;
	char *config;

	(void)state;
	memset(label, 'a', sizeof(label));
	for (int n = 63; n <= 64; n++) {
		snprintf(text, sizeof(text), "{\"domains\":[\"%.*s.example\"]}", n, label);
		assert_int_equal(dns_doc_read(text, strlen(text), "mesh.test", &config, &err),
				 n == 63 ? 0 : -EINVAL);
		if (n == 63)
			free(config);
	}
	/* 4 labels of 62 and 3 dots: 251 bytes; with more: 254. */
	for (int n = 0; n <= 2; n += 2) {
		snprintf(text, sizeof(text), "{\"domains\":[\"%.62s.%.62s.%.62s.%.62s%s\"]}", label,
			 label, label, label, n ? ".aa" : "");
		assert_int_equal(dns_doc_read(text, strlen(text), "mesh.test", &config, &err),
				 n ? -EINVAL : 0);
		if (!n)
			free(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_become_what_nodes_are_told),
		cmocka_unit_test(mistakes_have_a_place),
		cmocka_unit_test(names_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
