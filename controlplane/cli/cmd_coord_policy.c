/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/cmd_coord_policy.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cmd_coord_doc.h"
#include "controlplane/cli/daemon.h"
#include "controlplane/policy/policy.h"
#include "lib/base/fileio.h"
#include "lib/base/json_out.h"

#define SET_PATH   "/coord/v0/policy/set"
#define POLICY_MAX (1u << 20)

static void print_messages(const char *file, const struct policy_report *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		fprintf(stderr, "%s:%u:%u: %s%s\n", file, r->messages[i].line,
			r->messages[i].column, r->messages[i].is_warning ? "warning: " : "",
			r->messages[i].text);
}

static void print_json(const char *file, const struct policy_report *r)
{
	struct json_out j;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_bool(&j, "ok", !r->errors);
	json_out_array(&j, "messages");
	for (uint32_t i = 0; i < r->count; i++) {
		json_out_object(&j, NULL);
		json_out_string(&j, "file", file);
		json_out_u64(&j, "line", r->messages[i].line);
		json_out_u64(&j, "column", r->messages[i].column);
		json_out_bool(&j, "warning", r->messages[i].is_warning);
		json_out_string(&j, "text", r->messages[i].text);
		json_out_end(&j);
	}
	json_out_end(&j);
	json_out_end(&j);
	if (!j.error)
		printf("%s\n", j.text);
	json_out_fini(&j);
}

/* Without a coordinator; so its tests, which are about nodes, are not run. */
static int check(const struct cli *cli, const char *file)
{
	struct policy_report report;
	struct policy *p = NULL;
	size_t len;
	char *text;
	int rc = file_read_all(file, POLICY_MAX, &text, &len);

	if (rc)
		return cli_fail(cli, CLI_FAILED, "%s: cannot read: %s", file, strerror(-rc));
	rc = policy_parse(text, len, &p, &report);
	free(text);
	policy_free(p);
	if (rc == -ENOMEM)
		cli_fail(cli, CLI_FAILED, "out of memory");
	else if (cli->json)
		print_json(file, &report);
	else
		print_messages(file, &report);
	if (!rc && !cli->json)
		printf("ok; tests in it are run by: causeway coord policy set --dry-run %s\n",
		       file);
	policy_report_fini(&report);
	return rc ? CLI_FAILED : CLI_OK;
}

/* A line an error, as they came, but for what a terminal would obey. */
static int print_refusal(const struct cli *cli, struct localapi_answer *answer)
{
	json_t *error = cli->json ? json_pack("{s:s}", "error", answer->body) : NULL;

	while (answer->body_len && answer->body[answer->body_len - 1] == '\n')
		answer->body[--answer->body_len] = 0;
	for (char *c = answer->body; *c; c++)
		if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "%s\n", answer->body);
	if (error)
		json_dumpf(error, stdout, JSON_COMPACT);
	json_decref(error);
	localapi_answer_fini(answer);
	return CLI_FAILED;
}

static int post(const struct cli *cli, const char *text, struct localapi_answer *answer)
{
	int rc = localapi_call(cli->socket, "POST", SET_PATH, text, answer);

	if (rc >= 0 && answer->status == 400)
		return print_refusal(cli, answer);
	return daemon_judge(cli, "POST", SET_PATH, rc, answer);
}

static int set(const struct cli *cli, const char *file, bool is_dry_run)
{
	json_t *body = cmd_coord_doc_read(cli, file), *root;
	struct localapi_answer answer;
	const char *warnings;
	char *text;
	int code;

	if (!body)
		return CLI_FAILED;
	json_object_set_new(body, "dry_run", json_boolean(is_dry_run));
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (!text)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	code = post(cli, text, &answer);
	free(text);
	if (code != CLI_OK)
		return code;
	root = json_loads(answer.body, 0, NULL);
	warnings = json_string_value(json_object_get(root, "warnings"));
	if (warnings && !cli->json)
		fputs(warnings, stderr);
	printf("%s\n", cli->json ? answer.body : is_dry_run ? "ok, not set" : "done");
	json_decref(root);
	localapi_answer_fini(&answer);
	return CLI_OK;
}

int cmd_coord_policy(const struct cli *cli, int argc, char **argv)
{
	char *show[] = {(char *)"show"};

	if (argc == 2 && argv[1][0] == '-')
		return cli_usage(cli, "coord");
	if (argc == 2 && strcmp(argv[0], "check") == 0)
		return check(cli, argv[1]);
	if (argc == 2 && strcmp(argv[0], "set") == 0)
		return set(cli, argv[1], false);
	if (argc == 3 && strcmp(argv[0], "set") == 0 && strcmp(argv[1], "--dry-run") == 0)
		return set(cli, argv[2], true);
	if (argc == 1 && strcmp(argv[0], "get") == 0)
		return cmd_coord_doc(cli, "policy", 1, show);
	return cli_usage(cli, "coord");
}
