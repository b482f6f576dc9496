/* SPDX-License-Identifier: Apache-2.0 */
/*
 * up: brings the node into the mesh, in the steps of `tailscale up`
 * (docs/protocol/localapi.md, "up"). On a node with static peers a bare up starts it
 * again after down.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/localapi_stream.h"
#include "controlplane/cli/mesh_flags.h"
#include "controlplane/cli/mesh_peer.h"
#include "lib/base/clock.h"
#include "lib/base/fileio.h"

#define BUS		   "/localapi/v0/watch-ipn-bus?mask=0"
#define RUNNING		   6
#define NEEDS_MACHINE_AUTH 3
#define KEY_FILE_MAX	   4096

struct up {
	const struct cli *cli;
	struct mesh_flags flags;
	json_t *status, *was, *will;
	struct localapi_stream *bus;
	uint64_t until_ns;
	char key[KEY_FILE_MAX]; /* the auth key */
	bool has_shown_url, is_reauth;
};

static int say(const struct up *u, const char *text)
{
	return cli_fail(u->cli, CLI_FAILED, "%s", text);
}

/* "file:PATH": what stands there. */
static int read_auth_key(struct up *u)
{
	const char *given = u->flags.auth_key ? u->flags.auth_key : "";
	char *text;
	size_t len;
	int rc;

	if (strncmp(given, "file:", 5) != 0) {
		snprintf(u->key, sizeof(u->key), "%s", given);
		return CLI_OK;
	}
	rc = file_read_all(given + 5, sizeof(u->key) - 1, &text, &len);
	if (rc)
		return cli_fail(u->cli, CLI_FAILED, "%s: %s", given + 5, strerror(-rc));
	snprintf(u->key, sizeof(u->key), "%.*s", (int)strcspn(text, "\r\n"), text);
	free(text);
	return CLI_OK;
}

static bool is_state(const struct up *u, const char *state)
{
	return strcmp(mesh_text(u->status, "BackendState"), state) == 0;
}

static bool is_other_server(const struct up *u)
{
	return strcmp(mesh_text(u->was, "ControlURL"), mesh_text(u->will, "ControlURL")) != 0;
}

static void warn_of_forwarding(const struct up *u)
{
	json_t *answer;
	int code;

	if (!json_array_size(json_object_get(u->will, "AdvertiseRoutes")))
		return;
	answer = daemon_json(u->cli, "GET", "/localapi/v0/check-ip-forwarding", NULL, &code);
	if (mesh_text(answer, "Warning")[0])
		fprintf(stderr, "causeway: warning: %s\n", mesh_text(answer, "Warning"));
	json_decref(answer);
}

/* Settings that go back to a default only because nobody said otherwise. */
static int refuse_reverts(const struct up *u)
{
	char *missing;
	int code;

	if (u->flags.reset || !mesh_text(u->was, "ControlURL")[0])
		return CLI_OK;
	missing = mesh_flags_missing(&u->flags, u->was, u->will, u->status);
	if (!missing)
		return CLI_OK;
	code = cli_fail(u->cli, CLI_FAILED,
			"changing settings via 'causeway up' requires mentioning all non-default "
			"flags. Either use --reset, which takes the others back to their defaults, "
			"or `causeway set`, or this command:\n\n\tcauseway up%s\n",
			missing);
	free(missing);
	return code;
}

/* The daemon's answer to the edit is its new settings: nothing more to wait for. */
static int edit(const struct up *u)
{
	json_t *masked = mesh_flags_masked(&u->flags, u->will, u->flags.reset != NULL);
	int code;

	json_object_set_new(masked, "WantRunning", json_true());
	json_object_set_new(masked, "WantRunningSet", json_true());
	code = daemon_do(u->cli, "PATCH", "/localapi/v0/prefs", masked);
	json_decref(masked);
	return code;
}

static int check_prefs(const struct up *u)
{
	int code;
	json_t *answer = daemon_json(u->cli, "POST", "/localapi/v0/check-prefs", u->will, &code);
	const char *error = mesh_text(answer, "Error");

	if (code == CLI_OK && error[0])
		code = say(u, error);
	json_decref(answer);
	return code;
}

static int start(struct up *u)
{
	json_t *options;
	int code = check_prefs(u);

	if (code != CLI_OK)
		return code;
	options = json_pack("{s:s, s:O, s:s}", "FrontendLogID", "", "UpdatePrefs", u->will,
			    "AuthKey", u->key);
	code = daemon_do(u->cli, "POST", "/localapi/v0/start", options);
	json_decref(options);
	if (code == CLI_OK &&
	    (u->is_reauth || !json_is_true(json_object_get(u->status, "HaveNodeKey"))))
		code = daemon_do(u->cli, "POST", "/localapi/v0/login-interactive", NULL);
	return code;
}

static void show_url(struct up *u, const char *url)
{
	json_t *json;

	if (!url[0] || u->key[0])
		return;
	u->has_shown_url = true;
	if (u->cli->json) {
		json = json_pack("{s:s, s:s}", "AuthURL", url, "BackendState", "NeedsLogin");
		mesh_print_json(u->cli, json);
		json_decref(json);
		fflush(stdout);
	} else {
		fprintf(stderr, "\nTo authenticate, visit:\n\n\t%s\n\n", url);
	}
}

static bool is_new_key(const struct up *u, const json_t *message)
{
	const char *key = mesh_text(json_object_get(message, "SelfChange"), "Key");

	return key[0] &&
	       strcmp(key, mesh_text(json_object_get(u->status, "Self"), "PublicKey")) != 0;
}

/* What a message means for us. 1: that was it; 0: go on; -1: it failed, and was told. */
static int on_message(struct up *u, const json_t *message, bool *is_running, bool *has_new_key)
{
	json_t *state = json_object_get(message, "State");
	const char *error = mesh_text(message, "ErrMessage");

	if (error[0]) {
		cli_fail(u->cli, CLI_FAILED, "backend error: %s", error);
		return -1;
	}
	show_url(u, mesh_text(message, "BrowseToURL"));
	if (json_is_integer(state))
		*is_running = json_integer_value(state) == RUNNING;
	if (json_is_integer(state) && json_integer_value(state) == NEEDS_MACHINE_AUTH) {
		u->has_shown_url = true;
		fprintf(stderr, "\nTo approve your machine, visit (as admin):\n\n\t%s/admin\n\n",
			mesh_text(u->will, "ControlURL"));
	}
	*has_new_key |= is_new_key(u, message);
	return *is_running && (*has_new_key || !u->is_reauth);
}

static int wait_running(struct up *u)
{
	bool is_running = is_state(u, "Running"), has_new_key = false;

	for (;;) {
		json_t *message;
		int rc = localapi_stream_next(u->bus, u->until_ns, &message);

		if (rc == -ETIMEDOUT)
			return say(u, "timeout waiting for causewayd to enter a Running state; "
				      "check health with \"causeway status\"");
		if (rc)
			return cli_fail(u->cli, CLI_FAILED, "the daemon ended the watch: %s",
					strerror(-rc));
		rc = on_message(u, message, &is_running, &has_new_key);
		json_decref(message);
		if (rc)
			return rc < 0 ? CLI_FAILED : CLI_OK;
	}
}

static int open_bus(struct up *u)
{
	int rc = localapi_stream_open(u->cli->socket, BUS, u->until_ns, &u->bus);

	return rc ? cli_fail(u->cli, CLI_UNREACHABLE, "cannot watch the daemon at %s: %s",
			     u->cli->socket, strerror(-rc))
		  : CLI_OK;
}

static int finish(const struct up *u)
{
	json_t *json;
	int code = CLI_OK;

	if (u->has_shown_url && !u->cli->json)
		fprintf(stderr, "Success.\n");
	if (u->cli->json) {
		json = json_pack("{s:s}", "BackendState", "Running");
		code = mesh_print_json(u->cli, json);
		json_decref(json);
	}
	return code;
}

/* Bare: bring up what is there. */
static bool is_simple(const struct up *u)
{
	const json_t *user = json_object_get(json_object_get(u->was, "Config"), "UserProfile");

	return !mesh_flags_is_any_given(&u->flags) && mesh_text(user, "LoginName")[0] &&
	       !is_state(u, "NeedsLogin");
}

static bool is_edit_enough(const struct up *u)
{
	return is_state(u, "Running") && !u->is_reauth && !u->key[0] && !is_other_server(u) &&
	       json_equal(json_object_get(u->was, "AdvertiseTags"),
			  json_object_get(u->will, "AdvertiseTags"));
}

static int bring_up(struct up *u)
{
	bool simple = is_simple(u);
	int code = simple ? CLI_OK : refuse_reverts(u);

	if (code == CLI_OK && !simple && is_other_server(u) && is_state(u, "Running") &&
	    !u->is_reauth)
		code = say(u, "can't change --login-server without --force-reauth");
	if (code != CLI_OK)
		return code;
	warn_of_forwarding(u);
	if (!simple && is_edit_enough(u)) {
		code = check_prefs(u);
		return code != CLI_OK ? code : edit(u) == CLI_OK ? finish(u) : CLI_FAILED;
	}
	/* Before anything is started, so that nothing is missed. */
	code = open_bus(u);
	if (code == CLI_OK)
		code = simple ? edit(u) : start(u);
	if (code == CLI_OK && !(simple && is_state(u, "Running")))
		code = wait_running(u);
	return code == CLI_OK ? finish(u) : code;
}

static int prepare(struct up *u, char err[ARGS_ERROR_MAX])
{
	int code;

	u->status = mesh_status(u->cli, "", &code);
	if (code == CLI_OK)
		u->was = daemon_json(u->cli, "GET", "/localapi/v0/prefs", NULL, &code);
	if (code == CLI_OK)
		code = read_auth_key(u);
	if (code != CLI_OK)
		return code;
	u->will = mesh_flags_apply(&u->flags, u->was, true, u->status, err);
	if (!u->will)
		return say(u, err);
	json_object_set_new(u->will, "WantRunning", json_true());
	json_object_set_new(u->will, "LoggedOut", json_false());
	u->is_reauth = args_is_on(u->flags.force_reauth, false);
	return CLI_OK;
}

int cmd_up(const struct cli *cli, int argc, char **argv)
{
	struct up u = {.cli = cli, .until_ns = LOCALAPI_NEVER};
	unsigned long long timeout = 0;
	char err[ARGS_ERROR_MAX];
	int code;

	if (!mesh_flags_take(&u.flags, MESH_UP, argc, argv, err))
		return cli_fail(cli, CLI_USAGE, "%s", err);
	if (u.flags.timeout && !args_duration(u.flags.timeout, &timeout))
		return cli_fail(cli, CLI_USAGE, "--timeout is a time like 30s, not \"%s\"",
				u.flags.timeout);
	if (timeout)
		u.until_ns = clock_now_ns() + timeout;
	code = prepare(&u, err);
	/* A static node says so itself: its status has what ours alone has. */
	if (code == CLI_OK && json_object_get(u.status, "Counters") &&
	    !mesh_flags_is_any_given(&u.flags))
		code = daemon_post(cli, "/localapi/v0/up", "up");
	else if (code == CLI_OK)
		code = bring_up(&u);
	localapi_stream_close(u.bus);
	explicit_bzero(u.key, sizeof(u.key));
	json_decref(u.status);
	json_decref(u.was);
	json_decref(u.will);
	return code;
}
