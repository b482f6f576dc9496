/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "lib/base/bug.h"
#include "lib/base/json_out.h"

const char cli_global_options[] = "--socket --dp-socket --json --help";

#define SETTINGS                                                                                   \
	"--hostname --accept-routes --accept-dns=false --advertise-routes --advertise-exit-node "  \
	"--exit-node --exit-node-allow-lan-access --snat-subnet-routes=false --shields-up "        \
	"--stateful-filtering --netfilter-mode --operator"

const struct cli_verb cli_verbs[] = {
	{"status", "[--active] [--peers=false] [--self=false] [--header]",
	 "Show this node, its peers and what is wrong", NULL,
	 "--active --peers=false --self=false --header", cmd_status},
	{"dp", "show TABLE [--limit N]",
	 "Show a table of the dataplane: ports, workers, peers, sessions, routes, rules, flows, "
	 "counters or latency",
	 "show", "ports workers peers sessions routes rules flows counters latency --limit",
	 cmd_dp},
	{"coord",
	 "users|keys|nodes|routes|logins|audit [list] | users create NAME | users rename USER NAME "
	 "| "
	 "users delete USER | keys create --user USER [--reusable] [--ephemeral] [--tags T,T] "
	 "[--life 1h] | keys expire|delete ID | nodes register --user USER TOKEN | "
	 "nodes rename NODE NAME | nodes tag NODE T,T | nodes expire|delete NODE | "
	 "routes approve|withdraw NODE PREFIX | policy check FILE | policy set [--dry-run] FILE | "
	 "policy get | derp|dns show | derp|dns set FILE | backup FILE",
	 "Administer the coordinator (--socket " CLI_COORD_SOCKET_DEFAULT ")",
	 "policy users keys nodes routes logins audit derp dns backup", "check set get --dry-run",
	 cmd_coord},
	{"reload", "", "Read the configuration again; a bad one changes nothing", NULL, "",
	 cmd_reload},
	{"down", "", "Stop the node and take its addresses and routes away, until up", NULL, "",
	 cmd_down},
	{"up",
	 "[--login-server URL] [--auth-key KEY|file:PATH] [--hostname NAME] [--accept-routes] "
	 "[--accept-dns=false] [--advertise-routes P,P] [--advertise-exit-node] "
	 "[--exit-node NODE] [--exit-node-allow-lan-access] [--advertise-tags T,T] "
	 "[--snat-subnet-routes=false] [--shields-up] [--stateful-filtering] "
	 "[--netfilter-mode on|nodivert|off] [--operator USER] [--force-reauth] [--reset] "
	 "[--timeout 30s]",
	 "Bring the node into its mesh; without options, start it again after down", NULL,
	 "--login-server --auth-key --advertise-tags --force-reauth --reset --timeout " SETTINGS,
	 cmd_up},
	{"set",
	 "[--hostname NAME] [--accept-routes] [--exit-node NODE] ...: the options of up, but "
	 "--login-server and --advertise-tags",
	 "Change the settings that are named, and leave the others", NULL, SETTINGS, cmd_set},
	{"logout", "", "Leave the mesh: the node's key is given up", NULL, "", cmd_logout},
	{"ip", "[-1|-4|-6] [--assert IP] [NODE]", "Print the addresses of this node or of another",
	 NULL, "", cmd_ip},
	{"ping", "[--icmp] [-c N] [--timeout 5s] [--until-direct=false] [--size N] NODE",
	 "Ask a node of the mesh for an answer, and show by which way it comes", NULL,
	 "--icmp --timeout --until-direct=false --size", cmd_ping},
	{"whois", "ADDRESS|ADDRESS:PORT|nodekey:KEY", "Show the machine and user behind an address",
	 NULL, "", cmd_whois},
	{"netcheck", "", "Measure what the network lets this node do", NULL, "", cmd_netcheck},
	{"debug",
	 "import FILE [--state DIR] [--force] [--allow-all] | path NODE | prefs | derp-map | "
	 "netmap | watch-ipn",
	 "Make a node.hujson of a wg-quick file and write its keys to DIR; show each way to a node "
	 "and why it is taken; show settings, relays or the whole picture; watch changes",
	 "import path prefs derp-map netmap watch-ipn", "--state --force --allow-all", cmd_debug},
	{"completion", "bash", "Print the completion for a shell", "bash", "", cmd_completion},
	{"version", "", "Print the version", NULL, "", cmd_version},
	{"help", "[VERB]", "Print this, or what one verb takes", NULL, "", cmd_help},
};
const unsigned cli_verb_count = ARRAY_SIZE(cli_verbs);

const struct cli_verb *cli_verb_find(const char *name)
{
	for (unsigned i = 0; i < cli_verb_count; i++) {
		if (strcmp(cli_verbs[i].name, name) == 0)
			return &cli_verbs[i];
	}
	return NULL;
}

int cli_fail(const struct cli *cli, enum cli_exit code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "causeway: %s\n", text);
	if (cli->json) {
		struct json_out j;

		json_out_init(&j);
		json_out_object(&j, NULL);
		json_out_string(&j, "error", text);
		json_out_end(&j);
		if (j.error == 0)
			printf("%s\n", j.text);
		json_out_fini(&j);
	}
	return code;
}

int cli_usage(const struct cli *cli, const char *verb)
{
	const struct cli_verb *v = cli_verb_find(verb);

	return cli_fail(cli, CLI_USAGE, "usage: causeway %s %s", verb, v != NULL ? v->args : "");
}
