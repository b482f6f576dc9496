/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the JSON of causewayd as it is, or its nodes and what is wrong: in the
 * columns of `tailscale status`, or for static peers in our own. As there, the text
 * form ends 1 if the node is not running, and --json ends 0 whenever there was an
 * answer.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/args.h"
#include "controlplane/cli/mesh_peer.h"
#include "controlplane/cli/status_mesh.h"
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

/* Of a node with static peers, where there are no names and owners. */
static int print_static(const struct cli *cli, const json_t *root)
{
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
	if (code == CLI_OK && strcmp(mesh_text(root, "BackendState"), "Running") != 0)
		code = CLI_FAILED;
	return code;
}

static int print_mesh(const struct cli *cli, const json_t *root, const struct status_options *o)
{
	char why[512];

	if (mesh_not_running(root, why, sizeof(why))) {
		printf("%s\n", why);
		return CLI_FAILED;
	}
	if (status_mesh_print(root, o))
		return cli_fail(cli, CLI_FAILED, "out of memory");
	print_health(root);
	return CLI_OK;
}

int cmd_status(const struct cli *cli, int argc, char **argv)
{
	const char *self = NULL, *peers = NULL, *active = NULL, *header = NULL;
	const struct arg args[] = {{"self", true, &self},
				   {"peers", true, &peers},
				   {"active", true, &active},
				   {"header", true, &header},
				   {NULL, false, NULL}};
	struct status_options o;
	char err[ARGS_ERROR_MAX];
	json_t *root;
	int words = args_take(args, argc, argv, err), code;

	if (words < 0)
		return cli_fail(cli, CLI_USAGE, "%s", err);
	if (words)
		return cli_usage(cli, "status");
	o = (struct status_options){args_is_on(self, true), args_is_on(peers, true),
				    args_is_on(active, false), args_is_on(header, false)};
	root = mesh_status(cli, o.peers ? "" : "?peers=false", &code);
	if (code != CLI_OK)
		return code;
	if (cli->json)
		code = mesh_print_json(cli, root);
	/* Counters are in the status of static nodes alone. */
	else if (json_object_get(root, "Counters"))
		code = print_static(cli, root);
	else
		code = print_mesh(cli, root, &o);
	json_decref(root);
	return code;
}
