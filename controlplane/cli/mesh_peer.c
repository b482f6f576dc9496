/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/mesh_peer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "controlplane/cli/daemon.h"

json_t *mesh_status(const struct cli *cli, const char *query, int *code)
{
	char path[64];

	snprintf(path, sizeof(path), "/localapi/v0/status%s", query);
	return daemon_json(cli, "GET", path, NULL, code);
}

const char *mesh_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

const char *mesh_address(const json_t *node)
{
	const char *text =
		json_string_value(json_array_get(json_object_get(node, "TailscaleIPs"), 0));

	return text ? text : "";
}

const char *mesh_short_name(const json_t *node, const char *suffix, char *buf, size_t len)
{
	size_t suffix_len = strlen(suffix), n;

	snprintf(buf, len, "%s", mesh_text(node, "DNSName"));
	n = strlen(buf);
	if (n && buf[n - 1] == '.')
		buf[--n] = 0;
	if (suffix_len && n > suffix_len + 1 && strcmp(buf + n - suffix_len, suffix) == 0 &&
	    buf[n - suffix_len - 1] == '.')
		buf[n - suffix_len - 1] = 0;
	return buf;
}

static bool has_address(const json_t *node, const char *who)
{
	const json_t *addr;
	size_t i;

	json_array_foreach(json_object_get(node, "TailscaleIPs"), i,
			   addr) if (json_is_string(addr) &&
				     strcmp(json_string_value(addr), who) == 0) return true;
	return false;
}

static bool is_called(const json_t *node, const char *suffix, const char *who)
{
	char name[256];
	size_t len = strlen(who);

	if (!len)
		return false;
	if (has_address(node, who) || strcmp(mesh_text(node, "ID"), who) == 0 ||
	    strcasecmp(mesh_text(node, "DNSName"), who) == 0 ||
	    strcasecmp(mesh_short_name(node, suffix, name, sizeof(name)), who) == 0)
		return true;
	/* The whole name, without its last dot. */
	return strncasecmp(mesh_text(node, "DNSName"), who, len) == 0 &&
	       strcmp(mesh_text(node, "DNSName") + len, ".") == 0;
}

json_t *mesh_find(const json_t *status, const char *who)
{
	const char *suffix = mesh_text(status, "MagicDNSSuffix"), *key;
	json_t *self = json_object_get(status, "Self"), *peer;

	json_object_foreach(json_object_get(status, "Peer"), key,
			    peer) if (is_called(peer, suffix, who)) return peer;
	return is_called(self, suffix, who) ? self : NULL;
}

const char *mesh_not_running(const json_t *status, char *buf, size_t len)
{
	const char *state = mesh_text(status, "BackendState"), *url = mesh_text(status, "AuthURL");

	if (strcmp(state, "Running") == 0 || strcmp(state, "Starting") == 0)
		return NULL;
	if (strcmp(state, "Stopped") == 0)
		snprintf(buf, len, "Causeway is stopped.");
	else if (strcmp(state, "NeedsLogin") == 0)
		snprintf(buf, len, "Logged out.%s%s", url[0] ? "\nLog in at: " : "", url);
	else if (strcmp(state, "NeedsMachineAuth") == 0)
		snprintf(buf, len, "Machine is not yet approved by tailnet admin.");
	else
		snprintf(buf, len, "unexpected state: %s", state);
	return buf;
}

int mesh_print_json(const struct cli *cli, const json_t *value)
{
	if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0 && printf("\n") > 0)
		return CLI_OK;
	return cli_fail(cli, CLI_FAILED, "cannot write the answer");
}
