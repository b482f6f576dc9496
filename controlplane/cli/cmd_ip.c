/* SPDX-License-Identifier: Apache-2.0 */
/* ip: addresses of this node or of another, one a line. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/args.h"
#include "controlplane/cli/mesh_peer.h"

struct ip_options {
	const char *one, *v4, *v6, *assert_ip;
};

static bool is_wanted(const struct ip_options *o, const char *addr)
{
	bool is_v6 = strchr(addr, ':') != NULL;

	return is_v6 ? !o->v4 : !o->v6;
}

static int print(const struct cli *cli, const struct ip_options *o, const json_t *node)
{
	const json_t *all = json_object_get(node, "TailscaleIPs"), *addr;
	json_t *list = json_array();
	size_t i;
	int code = CLI_OK;

	json_array_foreach(
		all, i, addr) if (json_is_string(addr) && is_wanted(o, json_string_value(addr)) &&
				  !(o->one && i)) json_array_append(list, (json_t *)addr);
	if (!json_array_size(list))
		code = cli_fail(cli, CLI_FAILED, "no Tailscale %saddress",
				o->v4	? "IPv4 "
				: o->v6 ? "IPv6 "
					: "");
	else if (cli->json)
		code = mesh_print_json(cli, list);
	else
		json_array_foreach(list, i, addr) printf("%s\n", json_string_value(addr));
	json_decref(list);
	return code;
}

static int show(const struct cli *cli, const struct ip_options *o, const json_t *status,
		const char *who)
{
	const json_t *self = json_object_get(status, "Self"), *node = self;

	if (o->assert_ip) {
		if (mesh_find(status, o->assert_ip) == self)
			return CLI_OK;
		return cli_fail(cli, CLI_FAILED, "assertion failed: %s is not an address of ours",
				o->assert_ip);
	}
	if (who)
		node = mesh_find(status, who);
	if (!node)
		return cli_fail(cli, CLI_FAILED, "no node is called %s", who);
	if (!mesh_address(node)[0])
		return cli_fail(cli, CLI_FAILED, "no current Tailscale IPs; state: %s",
				mesh_text(status, "BackendState"));
	return print(cli, o, node);
}

int cmd_ip(const struct cli *cli, int argc, char **argv)
{
	struct ip_options o = {0};
	const struct arg args[] = {{"1", true, &o.one},
				   {"4", true, &o.v4},
				   {"6", true, &o.v6},
				   {"assert", false, &o.assert_ip},
				   {NULL, false, NULL}};
	char err[ARGS_ERROR_MAX];
	int words = args_take(args, argc, argv, err), code;
	json_t *status;

	if (words < 0)
		return cli_fail(cli, CLI_USAGE, "%s", err);
	if (words > 1 || !!o.one + !!o.v4 + !!o.v6 > 1)
		return cli_usage(cli, "ip");
	status = mesh_status(cli, "", &code);
	if (code == CLI_OK)
		code = show(cli, &o, status, words ? argv[1] : NULL);
	json_decref(status);
	return code;
}
