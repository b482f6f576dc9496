/* SPDX-License-Identifier: Apache-2.0 */
/* The mesh's policy: `causeway coord policy check FILE`, `set [--dry-run] FILE`, `get`. */
#ifndef CONTROLPLANE_CLI_CMD_COORD_POLICY_H
#define CONTROLPLANE_CLI_CMD_COORD_POLICY_H

#include "controlplane/cli/cli.h"

/* argv[0] is the verb. Returns an enum cli_exit. */
int cmd_coord_policy(const struct cli *cli, int argc, char **argv);

#endif
