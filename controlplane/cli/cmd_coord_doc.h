/* SPDX-License-Identifier: Apache-2.0 */
/* Documents that the coordinator keeps whole: `causeway coord WHAT show`, `set FILE`. */
#ifndef CONTROLPLANE_CLI_CMD_COORD_DOC_H
#define CONTROLPLANE_CLI_CMD_COORD_DOC_H

#include <jansson.h>

#include "controlplane/cli/cli.h"

bool cmd_coord_doc_is(const char *what);
/* argv[0] is "show" or "set". Returns an enum cli_exit. */
int cmd_coord_doc(const struct cli *cli, const char *what, int argc, char **argv);

/* {"file": its name, for errors, "text": what it holds}; the caller's. NULL: said why. */
json_t *cmd_coord_doc_read(const struct cli *cli, const char *file);

#endif
