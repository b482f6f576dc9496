/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that each kind of mistake in node.hujson is refused with its exact place
 * and a reason, and that a good file becomes what it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>
#include <sys/stat.h>

#include "controlplane/node/config.h"
#include "lib/base/bug.h"
#include "lib/base/fileio.h"

#define KEY_A "ERERERERERERERERERERERERERERERERERERERERERE="
#define KEY_B "IiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiI="

#define KEY_ONE	 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static char dir[] = "/tmp/causeway-config-XXXXXX";
static char path[64];

static int parse(const char *text, struct node_config **cfg, char *err)
{
	err[0] = 0;
	return config_parse(text, strlen(text), path, dir, cfg, err);
}

struct mistake {
	const char *text;
	const char *place; /* line:column */
	const char *reason;
};

static void test_mistakes(void **state)
{
	static const struct mistake rows[] = {
		{"{", "1:2", ""},
		{"[]", "1:1", "object"},
		{"{\n  \"peer\": []\n}", "2:3", "\"peers\""},
		{"{\n\"mtu\": \"x\"}", "2:8", ""},
		{"{\"mtu\": 575}", "1:9", ""},
		{"{\"mtu\": 9001}", "1:9", ""},
		{"{\"addresses\": [\"fd09::1/64\"],\n \"mtu\": 1279}", "2:9", "1280"},
		{"{\"addresses\": [\"10.9.0.1\"]}", "1:16", "prefix length"},
		{"{\"addresses\": [\"10.9.0.1/33\"]}", "1:16", "10.9.0.1/33"},
		{"{\"addresses\": [\"10.9.0.1/24\",\n\"10.9.0.1/16\"]}", "2:1", "twice"},
		{"{\"masquerade\": \"10.1.0.0/16\"}", "1:16", ""},
		{"{\"masquerade\": [\"10.1.0.0/16\",\n\"10.1.0.1/16\"]}", "2:1", "10.1.0.0/16"},
		{"{\"private_key_file\": \"none\"}", "1:22", "No such file"},
		{"{\"private_key_file\": \"junk\"}", "1:22", "holds no key"},
		{"{\"private_key_file\": \"zeros\"}", "1:22", "holds no key"},
		{"{\"filter\": \"allow\"}", "1:12", "allow-all"},
		{"{\"filter\": [{\"src\": [\"*\"]}]}", "1:13", "\"dst\""},
		{"{\"filter\": [{\"src\": [\"10.0.0.1/8\"], \"dst\": [\"*:*\"]}]}", "1:22",
		 "host bits"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"*\"]}]}", "1:36", "ports"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"*:9-8\"]}]}", "1:36", "9-8"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"*:65536\"]}]}", "1:36", "65536"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"fd00::/8:1\"]}]}", "1:36", "IPv6"},
		{"{\"filter\": [{\"src\": [], \"dst\": [\"*:*\"]}]}", "1:21", "empty"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"*:*\"],\n\"proto\": [\"tpc\"]}]}",
		 "2:11", "tpc"},
		{"{\"filter\": [{\"src\": [\"*\"], \"dst\": [\"*:*\"], \"proto\": [255]}]}", "1:54",
		 ""},
		{"{\"filter\": [{\"source\": [\"*\"]}]}", "1:14", "\"src\""},
		{"{\"peers\": [\n{}]}", "2:1", "public_key"},
		{"{\"peers\": [{\"public_key\": \"xyz\"}]}", "1:27", "base64"},
		{"{\"peers\": [{\"public_key\": \"" KEY_ONE "\"}]}", "1:27", "nobody"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A
		 "\",\n\"preshared_key_file\": \"zeros\"}]}",
		 "2:23", "holds no key"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\", \"endpont\": \"\"}]}", "1:75",
		 "\"endpoint\""},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"endpoint\": \"a.example:1\"}]}",
		 "2:13", "not a name"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"endpoint\": \"1.2.3.4\"}]}",
		 "2:13", "port"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"endpoint\": \"1.2.3.4:0\"}]}",
		 "2:13", "port"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A
		 "\",\n\"allowed_ips\": [\"10.2.0.1/16\"]}]}",
		 "2:17", "\"10.2.0.0/16\""},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"allowed_ips\": [\"x\"]}]}",
		 "2:17", "no prefix"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"persistent_keepalive\": 65536}]}",
		 "2:25", ""},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"persistent_keepalive\": -1}]}",
		 "2:25", ""},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\",\n\"name\": \"a b\"}]}", "2:9",
		 "spaces"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A
		 "\",\n\"preshared_key_file\": \"none\"}]}",
		 "2:23", "No such file"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\", \"mtu\": 1000,\n\"allowed_ips\": "
		 "[\"fd00::/8\"]}]}",
		 "1:82", "1280"},
		{"{\"peers\": [{\"public_key\": \"" KEY_A "\"},\n{\"public_key\": \"" KEY_A "\"}]}",
		 "2:16", "peer \"peer1\""},
		{"{\"peers\": [{\"name\": \"n\", \"public_key\": \"" KEY_A
		 "\"},\n{\"name\": \"n\", \"public_key\": \"" KEY_B "\"}]}",
		 "2:10", "\"n\""},
		{"{\"peers\": [{\"public_key\": \"" KEY_A
		 "\", \"allowed_ips\": [\"10.2.0.0/16\"]},\n{\"public_key\": \"" KEY_B
		 "\", \"allowed_ips\": [\"10.2.0.0/16\"]}]}",
		 "2:80", "\"peer1\""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char err[CONFIG_ERROR_MAX], want[128];
		struct node_config *cfg = NULL;

		snprintf(want, sizeof(want), "%s:%s: ", path, rows[i].place);
		if (parse(rows[i].text, &cfg, err) == 0) {
			config_free(cfg);
			fail_msg("accepted: %s", rows[i].text);
		}
		if (strncmp(err, want, strlen(want)) != 0 || !strstr(err, rows[i].reason))
			fail_msg("\n%s\nsays: %s\nwanted: %s...%s", rows[i].text, err, want,
				 rows[i].reason);
	}
}

static void test_own_key_is_no_peer(void **state)
{
	char err[CONFIG_ERROR_MAX], text[256], key[KEY_BASE64_MAX];
	struct node_config *cfg;

	(void)state;
	assert_int_equal(parse("{}", &cfg, err), 0);
	snprintf(text, sizeof(text), "{\"peers\": [{\"public_key\": \"%s\"}]}",
		 key_print_base64(&cfg->public_key, key));
	config_free(cfg);
	assert_int_not_equal(parse(text, &cfg, err), 0);
	assert_non_null(strstr(err, ":1:27: this is the node's own public key"));
}

static void test_key_is_made_once(void **state)
{
	char err[CONFIG_ERROR_MAX], file[96];
	struct node_config *one, *two;
	struct stat st;

	(void)state;
	assert_int_equal(parse("{}", &one, err), 0);
	assert_int_equal(config_load(NULL, dir, &two, err), 0);
	assert_true(key_equal(&one->private_key, &two->private_key));
	assert_false(key_is_zero(&one->private_key));
	snprintf(file, sizeof(file), "%s/node.key", dir);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	config_free(one);
	config_free(two);
}

static void test_good_file(void **state)
{
	static const char text[] =
		"{ // two sites\n"
		"\"addresses\": [\"10.9.0.1/24\", \"fd09::1/64\"], \"mtu\": 1400,\n"
		"\"masquerade\": [\"192.168.0.0/16\", \"::/0\"],\n"
		"\"filter\": [{\"src\": [\"10.1.0.0/16\", \"10.3.0.1-10.3.0.9\"],\n"
		"  \"dst\": [\"10.2.0.0/16:80,443\", \"[fd00::/8]:1-1024\", \"*:*\"],\n"
		"  \"proto\": [\"tcp\", 17]}],\n"
		"\"peers\": [{\"name\": \"b\", \"public_key\": \"" KEY_A "\",\n"
		"  \"endpoint\": \"[2001:db8::2]:41641\", \"persistent_keepalive\": 25,\n"
		"  \"allowed_ips\": [\"10.2.0.0/16\", \"fd02::/48\",]},\n"
		"  {\"public_key\": \"" KEY_B "\", \"mtu\": 1280}],}";
	char err[CONFIG_ERROR_MAX];
	struct node_config *cfg;

	(void)state;
	if (parse(text, &cfg, err))
		fail_msg("%s", err);
	assert_int_equal(cfg->address_count, 2);
	assert_int_equal(cfg->addresses[0].addr.bytes[3], 1); /* host bits are kept */
	assert_int_equal(cfg->peer_count, 2);
	assert_string_equal(cfg->peers[0].name, "b");
	assert_int_equal(cfg->peers[0].mtu, 1400);
	assert_int_equal(cfg->peers[0].keepalive_s, 25);
	assert_int_equal(cfg->peers[0].endpoint.port, 41641);
	assert_int_equal(cfg->peers[0].allowed_count, 2);
	assert_string_equal(cfg->peers[1].name, "peer2");
	assert_int_equal(cfg->peers[1].mtu, 1280);
	assert_int_equal(cfg->masquerade_count, 2);
	assert_int_equal(cfg->masquerade[0].addr.bytes[1], 168);
	assert_int_equal(cfg->masquerade[1].len, 0);
	assert_true(cfg->forwards4 && cfg->forwards6);
	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_RULES);
	assert_int_equal(cfg->filter.rule_count, 1);
	assert_int_equal(cfg->filter.rules[0].src_count, 2);
	assert_int_equal(cfg->filter.rules[0].dst_count, 5); /* 80, 443, 1-1024, "*" twice */
	assert_int_equal(cfg->filter.rules[0].protos[0], 6);
	assert_int_equal(cfg->filter.rules[0].protos[1], 17);
	assert_int_equal(cfg->filter.ranges[0].last[2], 255);
	assert_int_equal(cfg->filter.ranges[1].last[3], 9);
	assert_int_equal(cfg->filter.ranges[3].port_first, 443);
	assert_int_equal(cfg->filter.ranges[4].family, AF_INET6);
	config_free(cfg);
}

static void test_key_as_status_shows_it(void **state)
{
	char err[CONFIG_ERROR_MAX];
	struct node_config *cfg;
	struct key a;

	(void)state;
	assert_int_equal(key_parse_base64(KEY_A, &a), 0);
	if (parse("{\"peers\": [{\"public_key\": \"nodekey:1111111111111111111111111111111111111111"
		  "111111111111111111111111\"}]}",
		  &cfg, err))
		fail_msg("%s", err);
	assert_true(key_equal(&cfg->peers[0].public_key, &a));
	config_free(cfg);
	assert_int_not_equal(parse("{\"peers\": [{\"public_key\": \"nodekey:11\"}]}", &cfg, err),
			     0);
}

static void test_no_filter_is_none(void **state)
{
	char err[CONFIG_ERROR_MAX];
	struct node_config *cfg;

	(void)state;
	assert_int_equal(parse("{}", &cfg, err), 0);
	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_NONE);
	config_free(cfg);
	assert_int_equal(parse("{\"filter\": \"allow-all\"}", &cfg, err), 0);
	assert_int_equal(cfg->filter.mode, DPAPI_FILTER_ALLOW_ALL);
	config_free(cfg);
}

static int put_file(const char *name, const char *text)
{
	char file[96];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return file_write_atomic(file, text, strlen(text), 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_own_key_is_no_peer),
		cmocka_unit_test(test_key_is_made_once),
		cmocka_unit_test(test_good_file),
		cmocka_unit_test(test_no_filter_is_none),
		cmocka_unit_test(test_key_as_status_shows_it),
	};
	char cmd[64];
	int rc;

	if (sodium_init() < 0 || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/n.hujson", dir);
	if (put_file("junk", "junk\n") || put_file("zeros", KEY_ZERO "\n"))
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) || rc;
}
