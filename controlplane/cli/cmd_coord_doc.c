/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/cmd_coord_doc.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "lib/base/bug.h"
#include "lib/base/fileio.h"

#define PREFIX "/coord/v0/"
/* A request of the coordinator's socket is at most 64 KiB, with the text escaped. */
#define DOC_MAX (48u << 10)

static const char *const docs[] = {"derp", "dns"};

bool cmd_coord_doc_is(const char *what)
{
	for (unsigned i = 0; i < ARRAY_SIZE(docs); i++)
		if (strcmp(docs[i], what) == 0)
			return true;
	return false;
}

/* As it was set, with its comments; else what nodes are told without. */
static void print_doc(const char *answer)
{
	json_t *root = json_loads(answer, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "text"));
	char *told =
		text ? NULL
		     : json_dumps(json_object_get(root, "told"), JSON_INDENT(2) | JSON_ENCODE_ANY);

	if (!text)
		text = told ? told : "";
	printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
	free(told);
	json_decref(root);
}

static int show(const struct cli *cli, const char *what)
{
	struct localapi_answer answer;
	char path[64];
	int code;

	snprintf(path, sizeof(path), PREFIX "%s", what);
	code = daemon_request(cli, "GET", path, NULL, &answer);
	if (code != CLI_OK)
		return code;
	if (cli->json)
		printf("%s\n", answer.body);
	else
		print_doc(answer.body);
	localapi_answer_fini(&answer);
	return CLI_OK;
}

json_t *cmd_coord_doc_read(const struct cli *cli, const char *file)
{
	json_t *body;
	size_t len;
	char *text;
	int rc = file_read_all(file, DOC_MAX, &text, &len);

	if (rc) {
		cli_fail(cli, CLI_FAILED, "%s: cannot read: %s", file, strerror(-rc));
		return NULL;
	}
	body = json_pack("{s:s, s:s%}", "file", file, "text", text, len);
	free(text);
	if (!body)
		cli_fail(cli, CLI_FAILED, "%s: no text in UTF-8", file);
	return body;
}

static int set(const struct cli *cli, const char *what, const char *file)
{
	struct localapi_answer answer;
	json_t *body = cmd_coord_doc_read(cli, file);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	char path[64];
	int code;

	json_decref(body);
	if (!text)
		return CLI_FAILED;
	snprintf(path, sizeof(path), PREFIX "%s/set", what);
	code = daemon_request(cli, "POST", path, text, &answer);
	free(text);
	if (code != CLI_OK)
		return code;
	printf("%s\n", cli->json ? answer.body : "done");
	localapi_answer_fini(&answer);
	return CLI_OK;
}

int cmd_coord_doc(const struct cli *cli, const char *what, int argc, char **argv)
{
	if (argc == 1 && strcmp(argv[0], "show") == 0)
		return show(cli, what);
	if (argc == 2 && strcmp(argv[0], "set") == 0)
		return set(cli, what, argv[1]);
	return cli_usage(cli, "coord");
}
