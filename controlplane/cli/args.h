/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb's own options, written as Go's flag package takes them: -name, --name,
 * --name=value, --name value; a switch is --name or --name=false. Words that are no
 * options stay, in order. An option that is given twice is an error, as is one that
 * nobody knows: the error names the nearest.
 */
#ifndef CONTROLPLANE_CLI_ARGS_H
#define CONTROLPLANE_CLI_ARGS_H

#include <stdbool.h>

#define ARGS_ERROR_MAX 256

struct arg {
	const char *name;
	bool is_switch;	    /* *value becomes "true" or "false" */
	const char **value; /* NULL in it: not given */
};

/*
 * args ends with a NULL name. argv[1..] -> values; argv[1] and on: the other words.
 * Their number, or -1 with err filled.
 */
int args_take(const struct arg *args, int argc, char **argv, char err[ARGS_ERROR_MAX]);
/* A switch that was given and not as false; `otherwise` if it was not given. */
bool args_is_on(const char *value, bool otherwise);
/* "0", "30s", "1m30s", "500ms", "1h" -> ns. False: no such duration. */
bool args_duration(const char *text, unsigned long long *ns);

#endif
