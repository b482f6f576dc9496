/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/daemon.h"

int cmd_reload(const struct cli *cli, int argc, char **argv)
{
	if (argc != 1)
		return cli_usage(cli, "reload");
	return daemon_post(cli, "/localapi/v0/reload", "reloaded");
}
