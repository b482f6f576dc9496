/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `up` and `set`, tailscale's, and the settings (Prefs;
 * docs/protocol/localapi.md) that each stands for. Values are the user's texts,
 * borrowed from argv. Pure but for mesh_flags_usage.
 */
#ifndef CONTROLPLANE_CLI_MESH_FLAGS_H
#define CONTROLPLANE_CLI_MESH_FLAGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "controlplane/cli/args.h"

enum mesh_flag {
	FLAG_LOGIN_SERVER,
	FLAG_ACCEPT_ROUTES,
	FLAG_ACCEPT_DNS,
	FLAG_EXIT_NODE,
	FLAG_ALLOW_LAN,
	FLAG_SHIELDS_UP,
	FLAG_ADVERTISE_TAGS,
	FLAG_HOSTNAME,
	FLAG_ADVERTISE_ROUTES,
	FLAG_ADVERTISE_EXIT_NODE,
	FLAG_SNAT,
	FLAG_STATEFUL,
	FLAG_NETFILTER_MODE,
	FLAG_OPERATOR,
	FLAG_COUNT,
};

enum mesh_verb { MESH_UP = 1, MESH_SET = 2 };

struct mesh_flags {
	const char *value[FLAG_COUNT]; /* NULL: not given */
	/* Of `up` alone, no settings. */
	const char *auth_key, *force_reauth, *reset, *timeout;
};

/* Words -> flags. False with err filled; other words than options are an error. */
bool mesh_flags_take(struct mesh_flags *f, enum mesh_verb verb, int argc, char **argv,
		     char err[ARGS_ERROR_MAX]);
bool mesh_flags_is_any_given(const struct mesh_flags *f);
const char *mesh_flag_name(enum mesh_flag flag);
/* `set` has no such option. */
bool mesh_flag_is_of_up_alone(enum mesh_flag flag);

/*
 * The settings of prefs with what was given over it. With defaults, what was not given
 * goes back to its default; else it stays. NULL with err filled. status: to find an exit
 * node by.
 */
json_t *mesh_flags_apply(const struct mesh_flags *f, const json_t *prefs, bool defaults,
			 const json_t *status, char err[ARGS_ERROR_MAX]);
/* MaskedPrefs that bring what was given (all: every option's settings) of prefs over. */
json_t *mesh_flags_masked(const struct mesh_flags *f, const json_t *prefs, bool all);
/*
 * The options that `up` would have to repeat, so that nothing goes back to its default
 * unsaid: " --name=value ...", after those that were given. malloc'd; NULL: none.
 */
char *mesh_flags_missing(const struct mesh_flags *f, const json_t *was, const json_t *will,
			 const json_t *status);

#endif
