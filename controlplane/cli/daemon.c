/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The body as one line of text: what causewayd says is printed, not obeyed by a terminal. */
static const char *cleaned(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = text[i] == '\n' ? ' ' : '?';
	}
	return text;
}

/* {"Error": text} or a text. */
static const char *reason(struct localapi_answer *answer)
{
	json_t *root = json_loadb(answer->body, answer->body_len, 0, NULL);
	const char *text = json_string_value(json_object_get(root, "Error"));

	if (text)
		snprintf(answer->body, answer->body_len + 1, "%s", text);
	json_decref(root);
	return cleaned(answer->body);
}

int daemon_judge(const struct cli *cli, const char *method, const char *path, int rc,
		 struct localapi_answer *answer)
{
	int code;

	if (rc == -EBADMSG || rc == -EFBIG || rc == -ENOMEM)
		return cli_fail(cli, CLI_FAILED, "%s does not answer as our daemons do: %s",
				cli->socket, strerror(-rc));
	if (rc < 0)
		return cli_fail(cli, CLI_UNREACHABLE,
				"cannot reach the daemon at %s: %s (is it running? another socket: "
				"--socket)",
				cli->socket, strerror(-rc));
	if (answer->status == 200 || answer->status == 201 || answer->status == 204)
		return CLI_OK;
	if (answer->body_len > 0)
		code = cli_fail(cli, CLI_FAILED, "%s", reason(answer));
	else
		code = cli_fail(cli, CLI_FAILED, "the daemon answered %d to %s %s", answer->status,
				method, path);
	localapi_answer_fini(answer);
	return code;
}

int daemon_request(const struct cli *cli, const char *method, const char *path, const char *body,
		   struct localapi_answer *answer)
{
	int rc = localapi_call(cli->socket, method, path, body, answer);

	return daemon_judge(cli, method, path, rc, answer);
}

static int request_json(const struct cli *cli, const char *method, const char *path,
			const json_t *body, struct localapi_answer *answer)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	int code;

	if (body && !text)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	code = daemon_request(cli, method, path, text, answer);
	free(text);
	return code;
}

json_t *daemon_json(const struct cli *cli, const char *method, const char *path, const json_t *body,
		    int *code)
{
	struct localapi_answer answer;
	json_error_t err;
	json_t *root;

	*code = request_json(cli, method, path, body, &answer);
	if (*code != CLI_OK)
		return NULL;
	root = json_loadb(answer.body, answer.body_len, JSON_DECODE_ANY, &err);
	if (!root)
		*code = cli_fail(cli, CLI_FAILED, "causewayd's answer is no JSON: %s", err.text);
	localapi_answer_fini(&answer);
	return root;
}

int daemon_do(const struct cli *cli, const char *method, const char *path, const json_t *body)
{
	struct localapi_answer answer;
	int code = request_json(cli, method, path, body, &answer);

	if (code == CLI_OK)
		localapi_answer_fini(&answer);
	return code;
}

int daemon_post(const struct cli *cli, const char *path, const char *text)
{
	struct localapi_answer answer;
	int code = daemon_request(cli, "POST", path, NULL, &answer);

	if (code != CLI_OK)
		return code;
	localapi_answer_fini(&answer);
	printf("%s\n", cli->json ? "{\"ok\":true}" : text);
	return CLI_OK;
}
