/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the JSON of causewayd as it is, or a line for this node, a table of its
 * peers and what is wrong. As with `tailscale status`, the text form ends 1 if the
 * node is not running, and --json ends 0 whenever there was an answer.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/table.h"

static const struct table_column layout[] = {
	{"HostName", "PEER", TABLE_PLAIN},
	{"CurAddr", "ENDPOINT", TABLE_PLAIN},
	{"Online", "ONLINE", TABLE_PLAIN},
	{"LastHandshake", "LAST HANDSHAKE", TABLE_PLAIN},
	{"RxBytes", "RECEIVED", TABLE_BYTES},
	{"TxBytes", "SENT", TABLE_BYTES},
	{"AllowedIPs", "ALLOWED IPS", TABLE_PLAIN},
	{0},
};

/* The time that Go prints for "never". */
static const char never[] = "0001-01-01T00:00:00Z";

/* The row of a peer: what the layout names, in the words of this table. */
static json_t *peer_row(const json_t *peer)
{
	json_t *row = json_object();

	for (const struct table_column *c = layout; c->key != NULL; c++) {
		json_t *value = json_object_get(peer, c->key);
		const char *text = json_string_value(value);

		if (value == NULL)
			continue;
		if (text != NULL && strcmp(text, never) == 0)
			json_object_set_new(row, c->key, json_string("never"));
		else
			json_object_set(row, c->key, value);
	}
	return row;
}

static void print_self(const json_t *root)
{
	const json_t *self = json_object_get(root, "Self");
	const json_t *addrs = json_object_get(self, "TailscaleIPs");
	const char *state = json_string_value(json_object_get(root, "BackendState"));
	const char *name = json_string_value(json_object_get(self, "HostName"));
	const char *key = json_string_value(json_object_get(self, "PublicKey"));
	const json_t *addr;
	size_t i;

	printf("%s: %s", name != NULL ? name : "this node", state != NULL ? state : "unknown");
	json_array_foreach(addrs, i, addr)
		printf(" %s", json_is_string(addr) ? json_string_value(addr) : "?");
	printf("%s%s\n", key != NULL ? " " : "", key != NULL ? key : "");
}

static void print_health(const json_t *root)
{
	const json_t *health = json_object_get(root, "Health");
	const json_t *line;
	size_t i;

	if (json_array_size(health) == 0)
		return;
	printf("\n# Health check:\n");
	json_array_foreach(health, i, line)
		printf("#     - %s\n", json_is_string(line) ? json_string_value(line) : "?");
}

static int print_status(const struct cli *cli, const json_t *root)
{
	const char *state = json_string_value(json_object_get(root, "BackendState"));
	json_t *rows = json_array();
	const char *key;
	json_t *peer;
	int code = CLI_OK;

	json_object_foreach(json_object_get(root, "Peer"), key, peer)
		json_array_append_new(rows, peer_row(peer));
	print_self(root);
	if (json_array_size(rows) == 0)
		printf("no peers\n");
	else if (table_print(rows, layout, stdout) < 0)
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	print_health(root);
	json_decref(rows);
	if (code == CLI_OK && (state == NULL || strcmp(state, "Running") != 0))
		code = CLI_FAILED;
	return code;
}

int cmd_status(const struct cli *cli, int argc, char **argv)
{
	struct localapi_answer answer;
	json_error_t jerr;
	json_t *root;
	int code;

	if (argc != 1)
		return cli_usage(cli, "status");
	code = daemon_request(cli, "GET", "/localapi/v0/status", NULL, &answer);
	if (code != CLI_OK)
		return code;
	root = json_loadb(answer.body, answer.body_len, 0, &jerr);
	if (root == NULL)
		code = cli_fail(cli, CLI_FAILED, "causewayd's answer is no JSON: %s", jerr.text);
	else if (cli->json)
		code = json_dumpf(root, stdout, JSON_INDENT(2)) == 0 && printf("\n") > 0
			       ? CLI_OK
			       : CLI_FAILED;
	else
		code = print_status(cli, root);
	json_decref(root);
	localapi_answer_fini(&answer);
	return code;
}
