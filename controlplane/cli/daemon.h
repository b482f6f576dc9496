/* SPDX-License-Identifier: Apache-2.0 */
/* A verb's request to causewayd, with the failures already told to the user. */
#ifndef CONTROLPLANE_CLI_DAEMON_H
#define CONTROLPLANE_CLI_DAEMON_H

#include "controlplane/cli/cli.h"
#include "controlplane/cli/localapi_client.h"

/* body: JSON, NULL: none. CLI_OK with an answer of status 200; else what failed has been said. */
int daemon_request(const struct cli *cli, const char *method, const char *path, const char *body,
		   struct localapi_answer *answer);
/* A POST whose answer is only "done"; prints {"ok":true} with --json, else text. */
int daemon_post(const struct cli *cli, const char *path, const char *text);

#endif
