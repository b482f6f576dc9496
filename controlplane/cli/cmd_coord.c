/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway coord: the coordinator's administration. Two words name what is done, the
 * rest becomes a JSON object; the coordinator checks it and says what is wrong.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cmd_coord_doc.h"
#include "controlplane/cli/cmd_coord_policy.h"
#include "controlplane/cli/daemon.h"
#include "controlplane/cli/table.h"
#include "lib/base/bug.h"

#define PREFIX "/coord/v0/"

static const struct table_column user_columns[] = {
	{"id", "id", TABLE_PLAIN}, {"name", "name", TABLE_PLAIN}, {0}};
static const struct table_column key_columns[] = {
	{"id", "id", TABLE_PLAIN}, {"user", "user", TABLE_PLAIN}, {0}};
static const struct table_column node_columns[] = {
	{"id", "id", TABLE_PLAIN},	    {"name", "name", TABLE_PLAIN},
	{"user", "user", TABLE_PLAIN},	    {"addresses", "addresses", TABLE_PLAIN},
	{"online", "online", TABLE_PLAIN},  {"node_key", "", TABLE_HIDDEN},
	{"endpoints", "", TABLE_HIDDEN},    {"version", "", TABLE_HIDDEN},
	{"home_derp", "derp", TABLE_PLAIN}, {0}};
static const struct table_column route_columns[] = {
	{"id", "", TABLE_HIDDEN}, {"node", "node", TABLE_PLAIN}, {0}};
static const struct table_column login_columns[] = {
	{"token", "token", TABLE_PLAIN}, {"id", "", TABLE_HIDDEN}, {0}};
static const struct table_column audit_columns[] = {
	{"id", "id", TABLE_PLAIN}, {"at_ns", "at_ns", TABLE_PLAIN}, {0}};

static const struct {
	const char *name;
	const struct table_column *columns;
} lists[] = {
	{"users", user_columns},   {"keys", key_columns},     {"nodes", node_columns},
	{"routes", route_columns}, {"logins", login_columns}, {"audit", audit_columns},
};

/* Words in their order become members of these names; NULL ends. */
static const struct action {
	const char *what, *verb;
	const char *members[3];
} actions[] = {
	{"users", "create", {"name"}},
	{"users", "rename", {"user", "name"}},
	{"users", "delete", {"user"}},
	{"keys", "create", {NULL}},
	{"keys", "expire", {"id"}},
	{"keys", "delete", {"id"}},
	{"nodes", "register", {"token"}},
	{"nodes", "rename", {"node", "name"}},
	{"nodes", "expire", {"node"}},
	{"nodes", "tag", {"node", "tags"}},
	{"nodes", "delete", {"node"}},
	{"routes", "approve", {"node", "prefix"}},
	{"routes", "withdraw", {"node", "prefix"}},
	{"backup", NULL, {"file"}},
};

static int show_list(const struct cli *cli, const char *name, const struct table_column *columns)
{
	struct localapi_answer answer;
	char path[64];
	json_t *rows;
	int code;

	snprintf(path, sizeof(path), PREFIX "%s", name);
	code = daemon_request(cli, "GET", path, NULL, &answer);
	if (code != CLI_OK)
		return code;
	if (cli->json) {
		printf("%s\n", answer.body);
		localapi_answer_fini(&answer);
		return CLI_OK;
	}
	rows = json_loads(answer.body, 0, NULL);
	localapi_answer_fini(&answer);
	if (!json_is_array(rows) || table_print(rows, columns, stdout))
		code = cli_fail(cli, CLI_FAILED, "what the coordinator answered is no list");
	json_decref(rows);
	return code;
}

/* "tag:a,tag:b" */
static json_t *split(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, ",");

		if (n)
			json_array_append_new(list, json_stringn(text, n));
		text += n + (text[n] == ',');
	}
	return list;
}

/* A number and s, m, h or d. -1: no such time. */
static json_int_t seconds(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	long long unit = *end == 's'   ? 1
			 : *end == 'm' ? 60
			 : *end == 'h' ? 3600
			 : *end == 'd' ? 86400
				       : -1;

	return end == text || n <= 0 || n > 100000 || unit < 0 || end[1] ? -1 : n * unit;
}

/* The value of "--name value" or "--name=value" at *i; NULL: it is another option. */
static const char *option_value(int argc, char **argv, int *i, const char *name)
{
	size_t n = strlen(name);

	if (strncmp(argv[*i], name, n) != 0)
		return NULL;
	if (argv[*i][n] == '=')
		return argv[*i] + n + 1;
	return argv[*i][n] == 0 && *i + 1 < argc ? argv[++*i] : NULL;
}

/* False: it is no option of these, or lacks its word. */
static bool take_option(json_t *body, int argc, char **argv, int *i)
{
	const char *value;

	if (strcmp(argv[*i], "--reusable") == 0 || strcmp(argv[*i], "--ephemeral") == 0)
		return json_object_set_new(body, argv[*i] + 2, json_true()) == 0;
	if ((value = option_value(argc, argv, i, "--user")))
		return json_object_set_new(body, "user", json_string(value)) == 0;
	if ((value = option_value(argc, argv, i, "--tags")))
		return json_object_set_new(body, "tags", split(value)) == 0;
	if ((value = option_value(argc, argv, i, "--life")))
		return seconds(value) > 0 &&
		       json_object_set_new(body, "life_s", json_integer(seconds(value))) == 0;
	return false;
}

static json_t *member(const char *name, const char *word)
{
	char *path;
	json_t *v;

	if (strcmp(name, "tags") == 0)
		return split(word);
	if (strcmp(name, "id") == 0)
		return json_integer(strtoll(word, NULL, 10));
	if (strcmp(name, "file") != 0 || word[0] == '/')
		return json_string(word);
	/* The coordinator has another working directory. */
	path = getcwd(NULL, 0);
	v = path ? json_sprintf("%s/%s", path, word) : NULL;
	free(path);
	return v;
}

/* NULL: wrong words. */
static json_t *body_of(const struct action *a, int argc, char **argv)
{
	json_t *body = json_object();
	unsigned n = 0;

	for (int i = 0; i < argc; i++) {
		bool ok;

		if (strncmp(argv[i], "--", 2) == 0)
			ok = take_option(body, argc, argv, &i);
		else if (n < ARRAY_SIZE(a->members) && a->members[n])
			ok = json_object_set_new(body, a->members[n],
						 member(a->members[n], argv[i])) == 0 &&
			     ++n;
		else
			ok = false;
		if (!ok) {
			json_decref(body);
			return NULL;
		}
	}
	if (n < ARRAY_SIZE(a->members) && a->members[n]) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static void print_done(const struct cli *cli, const char *answer)
{
	json_t *root = json_loads(answer, 0, NULL);
	const char *key = json_string_value(json_object_get(root, "key"));

	if (cli->json)
		printf("%s\n", answer);
	else if (key)
		printf("%s\n", key);
	else
		printf("done\n");
	json_decref(root);
}

static int act(const struct cli *cli, const struct action *a, int argc, char **argv)
{
	json_t *body = body_of(a, argc, argv);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct localapi_answer answer;
	char path[64];
	int code;

	json_decref(body);
	if (!text)
		return cli_usage(cli, "coord");
	snprintf(path, sizeof(path), PREFIX "%s%s%s", a->what, a->verb ? "/" : "",
		 a->verb ? a->verb : "");
	code = daemon_request(cli, "POST", path, text, &answer);
	free(text);
	if (code != CLI_OK)
		return code;
	print_done(cli, answer.body);
	localapi_answer_fini(&answer);
	return CLI_OK;
}

int cmd_coord(const struct cli *cli, int argc, char **argv)
{
	struct cli here = *cli;
	const char *what = argc > 1 ? argv[1] : "", *verb = argc > 2 ? argv[2] : NULL;

	/* Another daemon, another socket. */
	if (strcmp(here.socket, CLI_SOCKET_DEFAULT) == 0)
		here.socket = CLI_COORD_SOCKET_DEFAULT;
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++)
		if (strcmp(lists[i].name, what) == 0 &&
		    (argc == 2 || (argc == 3 && strcmp(verb, "list") == 0)))
			return show_list(&here, what, lists[i].columns);
	if (strcmp(what, "policy") == 0 && verb)
		return cmd_coord_policy(&here, argc - 2, argv + 2);
	if (cmd_coord_doc_is(what) && verb)
		return cmd_coord_doc(&here, what, argc - 2, argv + 2);
	for (unsigned i = 0; i < ARRAY_SIZE(actions); i++) {
		const struct action *a = &actions[i];
		int words = a->verb ? 3 : 2;

		if (strcmp(a->what, what) == 0 && argc >= words &&
		    (!a->verb || strcmp(a->verb, verb) == 0))
			return act(&here, a, argc - words, argv + words);
	}
	return cli_usage(cli, "coord");
}
