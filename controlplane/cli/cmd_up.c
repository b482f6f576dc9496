/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/daemon.h"

int cmd_up(const struct cli *cli, int argc, char **argv)
{
	if (argc != 1)
		return cli_usage(cli, "up");
	return daemon_post(cli, "/localapi/v0/up", "up");
}
