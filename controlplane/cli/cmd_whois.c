/* SPDX-License-Identifier: Apache-2.0 */
/* whois: the machine and the user behind an address of the mesh. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/mesh_peer.h"

static void print_list(const char *title, const json_t *list, size_t from)
{
	const json_t *item;
	size_t i;

	if (json_array_size(list) <= from)
		return;
	printf("  %-14s [", title);
	json_array_foreach(list, i, item) if (i >= from)
		printf("%s%s", i > from ? " " : "", json_string_value(item));
	printf("]\n");
}

static void print_text(const json_t *who)
{
	const json_t *node = json_object_get(who, "Node"),
		     *user = json_object_get(who, "UserProfile");
	const json_t *tags = json_object_get(node, "Tags");
	json_t *caps = json_object_get(who, "CapMap"), *values;
	const char *name = mesh_text(node, "Name"), *cap;
	size_t len = strlen(name);

	printf("Machine:\n  %-14s %.*s\n  %-14s %s\n",
	       "Name:", (int)(len && name[len - 1] == '.' ? len - 1 : len), name,
	       "ID:", mesh_text(node, "StableID"));
	print_list("Addresses:", json_object_get(node, "Addresses"), 0);
	print_list("AllowedIPs:", json_object_get(node, "AllowedIPs"),
		   json_array_size(json_object_get(node, "Addresses")));
	if (json_array_size(tags))
		print_list("Tags:", tags, 0);
	else
		printf("User:\n  %-9s %s\n  %-9s %lld\n", "Name:", mesh_text(user, "LoginName"),
		       "ID:", (long long)json_integer_value(json_object_get(user, "ID")));
	if (json_object_size(caps))
		printf("Capabilities:\n");
	json_object_foreach(caps, cap, values) printf("  - %s\n", cap);
}

int cmd_whois(const struct cli *cli, int argc, char **argv)
{
	struct localapi_answer answer;
	char path[512];
	json_t *who = NULL;
	int code, rc;

	/* What stands in a URL otherwise than for itself is no address. */
	if (argc != 2 || strpbrk(argv[1], "&?# %\r\n") || strlen(argv[1]) > 200)
		return cli_usage(cli, "whois");
	snprintf(path, sizeof(path), "/localapi/v0/whois?addr=%s", argv[1]);
	rc = localapi_call(cli->socket, "GET", path, NULL, &answer);
	if (!rc && answer.status == 404) {
		localapi_answer_fini(&answer);
		return cli_fail(cli, CLI_FAILED, "peer not found");
	}
	code = daemon_judge(cli, "GET", path, rc, &answer);
	if (code != CLI_OK)
		return code;
	who = json_loadb(answer.body, answer.body_len, 0, NULL);
	localapi_answer_fini(&answer);
	if (!who)
		code = cli_fail(cli, CLI_FAILED, "causewayd's answer is no JSON");
	else if (cli->json)
		code = mesh_print_json(cli, who);
	else
		print_text(who);
	json_decref(who);
	return code;
}
