/* SPDX-License-Identifier: Apache-2.0 */
/* debug path PEER: each way to a peer that is known, and why it is, or is not, taken. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/mesh_peer.h"
#include "controlplane/cli/table.h"

static const struct table_column layout[] = {
	{"Endpoint", "ENDPOINT", TABLE_PLAIN},
	{"From", "FROM", TABLE_PLAIN},
	{"PingedAgo", "PINGED", TABLE_AGE},
	{"AnsweredAgo", "ANSWERED", TABLE_AGE},
	{"Latency", "LATENCY", TABLE_PLAIN},
	{"Points", "POINTS", TABLE_PLAIN},
	{"BestPoints", "BEST HAS", TABLE_PLAIN},
	{"Verdict", "VERDICT", TABLE_PLAIN},
	{"HeardAgo", "", TABLE_HIDDEN},
	{"LatencySeconds", "", TABLE_HIDDEN},
	{0},
};

/* Latency as people read it. */
static json_t *rows_of(const json_t *path)
{
	json_t *rows = json_array(), *candidate;
	char text[32];
	size_t i;

	json_array_foreach(json_object_get(path, "Candidates"), i, candidate)
	{
		const json_t *latency = json_object_get(candidate, "LatencySeconds");
		json_t *row = json_copy(candidate);

		text[0] = 0;
		if (json_is_number(latency))
			snprintf(text, sizeof(text), "%.1f ms", json_number_value(latency) * 1000);
		json_object_set_new(row, "Latency", json_string(text));
		json_array_append_new(rows, row);
	}
	return rows;
}

static int print_path(const struct cli *cli, const json_t *path)
{
	const char *direct = mesh_text(path, "Direct"), *relay = mesh_text(path, "DERPRegionCode");
	json_t *rows = rows_of(path);
	int code = CLI_OK;

	printf("%s: ", mesh_text(path, "Peer"));
	if (direct[0])
		printf("direct %s (trusted for %.1f s); ", direct,
		       json_number_value(json_object_get(path, "TrustedForSeconds")));
	printf("relay %s%s\n", relay[0] ? relay : "none",
	       json_is_true(json_object_get(path, "SpeaksDisco")) ? "" : "; it speaks no disco");
	if (table_print(rows, layout, stdout) < 0)
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	json_decref(rows);
	return code;
}

static int show(const struct cli *cli, const char *ip)
{
	char query[128];
	json_t *path;
	int code;

	snprintf(query, sizeof(query), "/localapi/v0/path?ip=%s", ip);
	path = daemon_json(cli, "GET", query, NULL, &code);
	if (code == CLI_OK)
		code = cli->json ? mesh_print_json(cli, path) : print_path(cli, path);
	json_decref(path);
	return code;
}

int cmd_debug_path(const struct cli *cli, int argc, char **argv)
{
	json_t *status, *node;
	int code;

	if (argc != 3)
		return cli_usage(cli, "debug");
	status = mesh_status(cli, "", &code);
	if (code != CLI_OK)
		return code;
	node = mesh_find(status, argv[2]);
	if (!node || node == json_object_get(status, "Self"))
		code = cli_fail(cli, CLI_FAILED, node ? "%s is this node" : "no node is called %s",
				argv[2]);
	else
		code = show(cli, mesh_address(node));
	json_decref(status);
	return code;
}
