/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "lib/base/json_out.h"

static void verb_as_json(struct json_out *j, const struct cli_verb *v)
{
	json_out_object(j, NULL);
	json_out_string(j, "name", v->name);
	json_out_string(j, "args", v->args);
	json_out_string(j, "help", v->help);
	json_out_end(j);
}

static int help_json(const struct cli *cli, const struct cli_verb *only)
{
	struct json_out j;
	int code = CLI_OK;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_array(&j, "verbs");
	for (unsigned i = 0; i < cli_verb_count; i++) {
		if (only == NULL || only == &cli_verbs[i])
			verb_as_json(&j, &cli_verbs[i]);
	}
	json_out_end(&j);
	json_out_end(&j);
	if (j.error == 0)
		printf("%s\n", j.text);
	else
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	json_out_fini(&j);
	return code;
}

static void print_options(void)
{
	printf("\nOptions, before or behind the verb:\n"
	       "  --json           print JSON\n"
	       "  --socket S       causewayd's socket (" CLI_SOCKET_DEFAULT ")\n"
	       "  --dp-socket S    causeway-dp's socket (" CLI_DP_SOCKET_DEFAULT ")\n"
	       "  --help, -h       print help\n"
	       "  --version        print the version\n"
	       "\n"
	       "Exit code: 0 done, 1 failed, 2 wrong usage, 3 the daemon does not answer.\n");
}

static void print_verb(const struct cli_verb *v)
{
	printf("  causeway %s%s%s\n      %s.\n", v->name, v->args[0] != '\0' ? " " : "", v->args,
	       v->help);
}

int cmd_help(const struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *only = NULL;

	if (argc > 2)
		return cli_usage(cli, "help");
	if (argc == 2) {
		only = cli_verb_find(argv[1]);
		if (only == NULL)
			return cli_fail(cli, CLI_USAGE, "no verb \"%s\"; see causeway help",
					argv[1]);
	}
	if (cli->json)
		return help_json(cli, only);
	printf("causeway: speak to the daemons of a Causeway gateway.\n\n");
	for (unsigned i = 0; i < cli_verb_count; i++) {
		if (only == NULL || only == &cli_verbs[i])
			print_verb(&cli_verbs[i]);
	}
	print_options();
	return CLI_OK;
}
