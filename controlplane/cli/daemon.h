/* SPDX-License-Identifier: Apache-2.0 */
/* A verb's request to causewayd, with the failures already told to the user. */
#ifndef CONTROLPLANE_CLI_DAEMON_H
#define CONTROLPLANE_CLI_DAEMON_H

#include <jansson.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/localapi_client.h"

/* body: JSON, NULL: none. CLI_OK with an answer of status 200; else what failed has been said. */
int daemon_request(const struct cli *cli, const char *method, const char *path, const char *body,
		   struct localapi_answer *answer);
/* What localapi_call returned: CLI_OK if it is a success, else it has been told and freed. */
int daemon_judge(const struct cli *cli, const char *method, const char *path, int rc,
		 struct localapi_answer *answer);
/* As above, and the answer's JSON, the caller's; NULL: *code says how it failed. */
json_t *daemon_json(const struct cli *cli, const char *method, const char *path, const json_t *body,
		    int *code);
/* The same for an answer without one: how it ended. */
int daemon_do(const struct cli *cli, const char *method, const char *path, const json_t *body);
/* A POST whose answer is only "done"; prints {"ok":true} with --json, else text. */
int daemon_post(const struct cli *cli, const char *path, const char *text);

#endif
