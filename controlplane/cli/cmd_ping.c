/* SPDX-License-Identifier: Apache-2.0 */
/* ping: is a node of the mesh there, and by which way, as `tailscale ping` asks it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controlplane/cli/args.h"
#include "controlplane/cli/daemon.h"
#include "controlplane/cli/mesh_peer.h"
#include "lib/base/clock.h"

#define TRIES	  10
#define TIMEOUT_S 5

struct ping {
	const struct cli *cli;
	const char *ip;
	const char *icmp, *until_direct, *count_text, *timeout_text, *size;
	unsigned long count;
	unsigned long long timeout_ns;
};

/* Go's text of a duration that is whole milliseconds. */
static void print_latency(double seconds, char *out, size_t len)
{
	long ms = (long)(seconds * 1000 + 0.5);

	if (ms < 1)
		snprintf(out, len, "0s");
	else if (ms < 1000)
		snprintf(out, len, "%ldms", ms);
	else
		snprintf(out, len, "%gs", (double)ms / 1000);
}

static void print_pong(const struct ping *p, const json_t *r)
{
	const char *endpoint = mesh_text(r, "Endpoint"), *code = mesh_text(r, "DERPRegionCode");
	char latency[32], via[96];

	print_latency(json_number_value(json_object_get(r, "LatencySeconds")), latency,
		      sizeof(latency));
	if (endpoint[0])
		snprintf(via, sizeof(via), "%s", endpoint);
	else if (json_integer_value(json_object_get(r, "DERPRegionID")))
		snprintf(via, sizeof(via), "DERP(%s)", code);
	else
		snprintf(via, sizeof(via), "%s", p->icmp ? "ICMP" : "disco");
	printf("pong from %s (%s) via %s in %s\n", mesh_text(r, "NodeName"), mesh_text(r, "NodeIP"),
	       via, latency);
	fflush(stdout);
}

enum outcome { LOST, PONG, DIRECT, LOCAL, FAILED };

static enum outcome judge(const struct ping *p, const json_t *r)
{
	const char *error = mesh_text(r, "Err");

	if (json_is_true(json_object_get(r, "IsLocalIP"))) {
		printf("%s\n", error);
		return LOCAL;
	}
	if (error[0]) {
		cli_fail(p->cli, CLI_FAILED, "%s", error);
		return FAILED;
	}
	if (p->cli->json)
		mesh_print_json(p->cli, r);
	else
		print_pong(p, r);
	return mesh_text(r, "Endpoint")[0] ? DIRECT : PONG;
}

/* One try; *code: where it is FAILED. */
static enum outcome try_once(const struct ping *p, int *code)
{
	struct localapi_answer answer;
	enum outcome outcome;
	char path[256];
	json_t *r;
	int rc;

	snprintf(path, sizeof(path), "/localapi/v0/ping?ip=%s&type=%s&size=%s", p->ip,
		 p->icmp ? "ICMP" : "disco", p->size ? p->size : "0");
	rc = localapi_call_within(p->cli->socket, "POST", path, NULL, p->timeout_ns, &answer);
	if (rc == -ETIMEDOUT) {
		printf("ping \"%s\" timed out\n", p->ip);
		fflush(stdout);
		return LOST;
	}
	*code = daemon_judge(p->cli, "POST", path, rc, &answer);
	if (*code != CLI_OK)
		return FAILED;
	r = json_loadb(answer.body, answer.body_len, 0, NULL);
	outcome = r ? judge(p, r) : FAILED;
	*code = CLI_FAILED;
	json_decref(r);
	localapi_answer_fini(&answer);
	return outcome;
}

static int run(const struct ping *p)
{
	const struct timespec second = {.tv_sec = 1};
	bool any = false, wants_direct = args_is_on(p->until_direct, true) && !p->icmp;
	int code = CLI_FAILED;

	for (unsigned long n = 1;; n++) {
		enum outcome o = try_once(p, &code);

		if (o == LOCAL)
			return CLI_OK;
		if (o == FAILED)
			return code;
		any |= o != LOST;
		if ((o == DIRECT && wants_direct) || (o != LOST && p->icmp))
			return CLI_OK;
		if (n == p->count)
			break;
		if (o != LOST)
			nanosleep(&second, NULL);
	}
	if (!any)
		return cli_fail(p->cli, CLI_FAILED, "no reply");
	if (wants_direct)
		return cli_fail(p->cli, CLI_FAILED, "direct connection not established");
	return CLI_OK;
}

static int find(struct ping *p, const char *who)
{
	char why[512];
	json_t *status, *node;
	int code;

	status = mesh_status(p->cli, "", &code);
	if (code != CLI_OK)
		return code;
	node = mesh_find(status, who);
	if (mesh_not_running(status, why, sizeof(why)))
		code = cli_fail(p->cli, CLI_FAILED, "%s", why);
	else if (!node && !strchr(who, '.') && !strchr(who, ':'))
		code = cli_fail(p->cli, CLI_FAILED, "no node is called %s", who);
	else if (node && node == json_object_get(status, "Self"))
		printf("%s is local Tailscale IP\n", mesh_address(node));
	else {
		/* An address that no node has may be behind one. */
		p->ip = node ? mesh_address(node) : who;
		code = run(p);
	}
	json_decref(status);
	return code;
}

int cmd_ping(const struct cli *cli, int argc, char **argv)
{
	struct ping p = {.cli = cli, .count = TRIES, .timeout_ns = TIMEOUT_S * NS_PER_SEC};
	const struct arg args[] = {
		{"icmp", true, &p.icmp},     {"until-direct", true, &p.until_direct},
		{"c", false, &p.count_text}, {"timeout", false, &p.timeout_text},
		{"size", false, &p.size},    {NULL, false, NULL}};
	char err[ARGS_ERROR_MAX], *end = NULL;
	int words = args_take(args, argc, argv, err);

	if (words < 0)
		return cli_fail(cli, CLI_USAGE, "%s", err);
	if (p.count_text)
		p.count = strtoul(p.count_text, &end, 10);
	if (words != 1 || (end && *end) ||
	    (p.timeout_text && !args_duration(p.timeout_text, &p.timeout_ns)) ||
	    (p.size && strspn(p.size, "0123456789") != strlen(p.size)))
		return cli_usage(cli, "ping");
	return find(&p, argv[1]);
}
