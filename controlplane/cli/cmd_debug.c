/* SPDX-License-Identifier: Apache-2.0 */
/* debug: what is of use to somebody who looks into a node; a row a word. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/localapi_stream.h"
#include "controlplane/cli/mesh_peer.h"
#include "lib/base/bug.h"

/* The daemon's JSON as it is. */
static int print_answer(const struct cli *cli, const char *method, const char *path)
{
	int code;
	json_t *answer = daemon_json(cli, method, path, NULL, &code);

	if (code == CLI_OK)
		code = mesh_print_json(cli, answer);
	json_decref(answer);
	return code;
}

static int debug_prefs(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	return argc == 2 ? print_answer(cli, "GET", "/localapi/v0/prefs") : cli_usage(cli, "debug");
}

static int debug_derp_map(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	return argc == 2 ? print_answer(cli, "GET", "/localapi/v0/derpmap")
			 : cli_usage(cli, "debug");
}

static int debug_netmap(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	return argc == 2 ? print_answer(cli, "POST", "/localapi/v0/debug?action=current-netmap")
			 : cli_usage(cli, "debug");
}

/* Until the daemon ends or the reader goes. */
static int debug_watch(const struct cli *cli, int argc, char **argv)
{
	struct localapi_stream *s;
	json_t *message;
	int rc;

	(void)argv;
	if (argc != 2)
		return cli_usage(cli, "debug");
	/* State, settings, health and peers, first as they are and then as they change. */
	rc = localapi_stream_open(cli->socket, "/localapi/v0/watch-ipn-bus?mask=12422",
				  LOCALAPI_NEVER, &s);
	if (rc)
		return cli_fail(cli, CLI_UNREACHABLE, "cannot watch the daemon at %s: %s",
				cli->socket, strerror(-rc));
	while (!(rc = localapi_stream_next(s, LOCALAPI_NEVER, &message))) {
		bool printed = mesh_print_json(cli, message) == CLI_OK && fflush(stdout) == 0;

		json_decref(message);
		if (!printed)
			break;
	}
	localapi_stream_close(s);
	return rc ? cli_fail(cli, CLI_FAILED, "the daemon ended the watch: %s", strerror(-rc))
		  : CLI_FAILED;
}

static const struct {
	const char *word;
	int (*run)(const struct cli *cli, int argc, char **argv);
} words[] = {
	{"import", cmd_debug_import}, {"path", cmd_debug_path}, {"prefs", debug_prefs},
	{"derp-map", debug_derp_map}, {"netmap", debug_netmap}, {"watch-ipn", debug_watch},
};

int cmd_debug(const struct cli *cli, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(words); i++)
		if (strcmp(argv[1], words[i].word) == 0)
			return words[i].run(cli, argc, argv);
	return cli_usage(cli, "debug");
}
