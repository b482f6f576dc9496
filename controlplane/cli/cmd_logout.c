/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/daemon.h"

int cmd_logout(const struct cli *cli, int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		return cli_usage(cli, "logout");
	return daemon_post(cli, "/localapi/v0/logout", "logged out");
}
