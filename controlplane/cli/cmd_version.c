/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "controlplane/cli/cli.h"

int cmd_version(const struct cli *cli, int argc, char **argv)
{
	if (argc != 1)
		return cli_usage(cli, "version");
	/* The version is ours: nothing in it needs escaping. */
	printf(cli->json ? "{\"version\":\"%s\"}\n" : "causeway %s\n", CAUSEWAY_VERSION);
	return CLI_OK;
}
