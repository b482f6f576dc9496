/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all verbs of `causeway` share: the options given before or behind the verb,
 * the exit codes and the table of verbs (cli_verbs.c). A verb is one row there and
 * one file cmd_<verb>.c; help and completion come from the row. One thread.
 */
#ifndef CONTROLPLANE_CLI_CLI_H
#define CONTROLPLANE_CLI_CLI_H

#include <stdbool.h>

#define CLI_SOCKET_DEFAULT	 "/run/causeway/causewayd.sock"
#define CLI_COORD_SOCKET_DEFAULT "/run/causeway-coord/coord.sock"
#define CLI_DP_SOCKET_DEFAULT	 "/run/causeway/dp.sock"
#define CLI_STATE_DEFAULT	 "/var/lib/causeway"

/* Promised to scripts, in causeway(1). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3, /* the daemon does not answer */
};

struct cli {
	const char *socket;
	const char *dp_socket;
	bool json;
};

struct cli_verb {
	const char *name;
	const char *args;  /* for help */
	const char *help;  /* a sentence without a full stop */
	const char *sub;   /* second words, NULL = none; for completion */
	const char *words; /* what may follow the first of them, or the verb; for completion */
	/* argv[0] is the verb. Returns an enum cli_exit. */
	int (*run)(const struct cli *cli, int argc, char **argv);
};

extern const struct cli_verb cli_verbs[];
extern const unsigned cli_verb_count;
/* Options that every verb takes, for help and completion. */
extern const char cli_global_options[];

/* NULL: no such verb. */
const struct cli_verb *cli_verb_find(const char *name);

/*
 * Says on stderr "causeway: ..." and, with --json, {"error": ...} on stdout.
 * Returns code.
 */
int cli_fail(const struct cli *cli, enum cli_exit code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The verb was called with wrong words: its line of help. Returns CLI_USAGE. */
int cli_usage(const struct cli *cli, const char *verb);

int cmd_status(const struct cli *cli, int argc, char **argv);
int cmd_coord(const struct cli *cli, int argc, char **argv);
int cmd_dp(const struct cli *cli, int argc, char **argv);
int cmd_reload(const struct cli *cli, int argc, char **argv);
int cmd_down(const struct cli *cli, int argc, char **argv);
int cmd_up(const struct cli *cli, int argc, char **argv);
int cmd_set(const struct cli *cli, int argc, char **argv);
int cmd_logout(const struct cli *cli, int argc, char **argv);
int cmd_ping(const struct cli *cli, int argc, char **argv);
int cmd_ip(const struct cli *cli, int argc, char **argv);
int cmd_whois(const struct cli *cli, int argc, char **argv);
int cmd_netcheck(const struct cli *cli, int argc, char **argv);
int cmd_debug(const struct cli *cli, int argc, char **argv);
/* What `debug` is followed by: argv[1] is the word. */
int cmd_debug_import(const struct cli *cli, int argc, char **argv);
int cmd_debug_path(const struct cli *cli, int argc, char **argv);
int cmd_completion(const struct cli *cli, int argc, char **argv);
int cmd_version(const struct cli *cli, int argc, char **argv);
int cmd_help(const struct cli *cli, int argc, char **argv);

#endif
