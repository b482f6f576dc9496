/* SPDX-License-Identifier: Apache-2.0 */
/* set: changes what is named and leaves the rest. */
#include <stdio.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/mesh_flags.h"
#include "controlplane/cli/mesh_peer.h"

static int patch(const struct cli *cli, const struct mesh_flags *f, const json_t *will)
{
	json_t *masked = mesh_flags_masked(f, will, false), *answer;
	int code;

	answer = daemon_json(cli, "POST", "/localapi/v0/check-prefs", will, &code);
	if (code == CLI_OK && mesh_text(answer, "Error")[0])
		code = cli_fail(cli, CLI_FAILED, "%s", mesh_text(answer, "Error"));
	json_decref(answer);
	if (code == CLI_OK) {
		answer = daemon_json(cli, "PATCH", "/localapi/v0/prefs", masked, &code);
		if (code == CLI_OK && cli->json)
			code = mesh_print_json(cli, answer);
		json_decref(answer);
	}
	json_decref(masked);
	return code;
}

int cmd_set(const struct cli *cli, int argc, char **argv)
{
	char err[ARGS_ERROR_MAX];
	struct mesh_flags f;
	json_t *status, *prefs = NULL, *will = NULL;
	int code;

	if (!mesh_flags_take(&f, MESH_SET, argc, argv, err))
		return cli_fail(cli, CLI_USAGE, "%s", err);
	if (!mesh_flags_is_any_given(&f))
		return cli_usage(cli, "set");
	status = mesh_status(cli, "", &code);
	if (code == CLI_OK)
		prefs = daemon_json(cli, "GET", "/localapi/v0/prefs", NULL, &code);
	if (code == CLI_OK) {
		will = mesh_flags_apply(&f, prefs, false, status, err);
		code = will ? patch(cli, &f, will) : cli_fail(cli, CLI_FAILED, "%s", err);
	}
	json_decref(will);
	json_decref(prefs);
	json_decref(status);
	return code;
}
