/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway: the command line. Options that all verbs share may stand anywhere
 * before "--"; the rest goes to the verb.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "lib/base/log.h"

/* A global option that takes a word: where to put it, or NULL. */
static const char **option_target(struct cli *cli, const char *name, size_t len)
{
	if (len == strlen("--socket") && memcmp(name, "--socket", len) == 0)
		return &cli->socket;
	if (len == strlen("--dp-socket") && memcmp(name, "--dp-socket", len) == 0)
		return &cli->dp_socket;
	return NULL;
}

/*
 * Takes the global options out of argv, which keeps the rest in order. Returns
 * how many words are left, or -1 if an option lacks its word (then said).
 */
static int take_options(struct cli *cli, int argc, char **argv, bool *help, bool *version)
{
	int kept = 0;

	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const char **target = option_target(cli, argv[i], len);

		if (strcmp(argv[i], "--") == 0) {
			for (i++; i < argc; i++)
				argv[kept++] = argv[i];
		} else if (target != NULL && equals != NULL) {
			*target = equals + 1;
		} else if (target != NULL) {
			if (i + 1 == argc) {
				cli_fail(cli, CLI_USAGE, "%s wants a path", argv[i]);
				return -1;
			}
			*target = argv[++i];
		} else if (strcmp(argv[i], "--json") == 0) {
			cli->json = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			*help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			*version = true;
		} else {
			argv[kept++] = argv[i];
		}
	}
	argv[kept] = NULL;
	return kept;
}

int main(int argc, char **argv)
{
	struct cli cli = {.socket = CLI_SOCKET_DEFAULT, .dp_socket = CLI_DP_SOCKET_DEFAULT};
	const struct cli_verb *verb;
	bool help = false;
	bool version = false;

	log_init("causeway", LOG_WARN);
	/* A reader that leaves (| head) ends us by a failed write, told below. */
	signal(SIGPIPE, SIG_IGN);
	argc = take_options(&cli, argc, argv, &help, &version);
	if (argc < 0)
		return CLI_USAGE;
	if (version)
		return cmd_version(&cli, 1, argv);
	if (help)
		return cmd_help(&cli, argc > 0 ? 2 : 1, (char *[]){"help", argv[0], NULL});
	if (argc == 0) {
		cmd_help(&cli, 1, (char *[]){"help", NULL});
		return CLI_USAGE;
	}
	verb = cli_verb_find(argv[0]);
	if (verb == NULL)
		return cli_fail(&cli, CLI_USAGE, "no verb \"%s\"; see causeway help", argv[0]);
	int code = verb->run(&cli, argc, argv);

	/* A full disk or a closed pipe must not look like success. */
	if ((fflush(stdout) != 0 || ferror(stdout) != 0) && code == CLI_OK)
		code = CLI_FAILED;
	return code;
}
