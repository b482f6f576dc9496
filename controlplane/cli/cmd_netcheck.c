/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netcheck: what the network lets this node do, in the words of `tailscale netcheck`.
 * It is the daemon that measures, from the sockets that carry the traffic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/daemon.h"
#include "controlplane/cli/mesh_peer.h"

#define REGIONS_MAX 1024

struct region {
	const char *code, *name;
	json_int_t latency_ns; /* 0: none */
};

static const char *yes_no(const json_t *value)
{
	return json_is_true(value) ? "true" : json_is_false(value) ? "false" : "";
}

static void print_family(const char *name, const json_t *report, const char *global_key,
			 const char *none)
{
	const char *global = mesh_text(report, global_key);

	if (global[0])
		printf("\t* %s: yes, %s\n", name, global);
	else if (json_is_true(json_object_get(report, name)))
		printf("\t* %s: (no addr found)\n", name);
	else
		printf("\t* %s: %s\n", name, none);
}

static int by_latency(const void *a, const void *b)
{
	const struct region *x = a, *y = b;

	if (!x->latency_ns || !y->latency_ns)
		return (x->latency_ns == 0) - (y->latency_ns == 0);
	return (x->latency_ns > y->latency_ns) - (x->latency_ns < y->latency_ns);
}

/* Rounded to 0.1 ms, as Go writes a duration. */
static void latency_text(json_int_t ns, char *out, size_t len)
{
	long long tenths = (ns + 50000) / 100000;

	if (tenths < 1)
		snprintf(out, len, "%s", ns ? "0s" : "");
	else if (tenths < 10)
		snprintf(out, len, "%lldµs", tenths * 100);
	else
		snprintf(out, len, "%gms", (double)tenths / 10);
}

static void print_regions(const json_t *report, const json_t *map)
{
	json_t *regions = json_object_get(map, "Regions"), *region;
	const json_t *latencies = json_object_get(report, "RegionLatency");
	struct region list[REGIONS_MAX];
	char text[32];
	const char *id;
	size_t n = 0;

	json_object_foreach(regions, id, region) if (n < REGIONS_MAX) list[n++] =
		(struct region){mesh_text(region, "RegionCode"), mesh_text(region, "RegionName"),
				json_integer_value(json_object_get(latencies, id))};
	qsort(list, n, sizeof(*list), by_latency);
	printf("\t* DERP latency:\n");
	for (size_t i = 0; i < n; i++) {
		latency_text(list[i].latency_ns, text, sizeof(text));
		/* The micro sign is two bytes wide and one column. */
		printf("\t\t- %3s: %-*s (%s)\n", list[i].code, strchr(text, (char)0xc2) ? 8 : 7,
		       text, list[i].name);
	}
}

static void print_text(const json_t *report, const json_t *map)
{
	json_int_t home = json_integer_value(json_object_get(report, "PreferredDERP"));
	const json_t *region;
	char id[24];

	snprintf(id, sizeof(id), "%lld", (long long)home);
	region = json_object_get(json_object_get(map, "Regions"), id);
	printf("\nReport:\n\t* Time: %s\n\t* UDP: %s\n", mesh_text(report, "Now"),
	       yes_no(json_object_get(report, "UDP")));
	print_family("IPv4", report, "GlobalV4", "(no addr found)");
	print_family("IPv6", report, "GlobalV6",
		     json_is_true(json_object_get(report, "OSHasIPv6")) ? "no, but OS has support"
									: "no, unavailable in OS");
	printf("\t* MappingVariesByDestIP: %s\n\t* PortMapping: not checked\n",
	       yes_no(json_object_get(report, "MappingVariesByDestIP")));
	if (home)
		printf("\t* Nearest DERP: %s\n", mesh_text(region, "RegionName"));
	else
		printf("\t* Nearest DERP: unknown (no response to latency probes)\n");
	print_regions(report, map);
}

int cmd_netcheck(const struct cli *cli, int argc, char **argv)
{
	json_t *report, *map = NULL;
	int code;

	(void)argv;
	if (argc != 1)
		return cli_usage(cli, "netcheck");
	report = daemon_json(cli, "GET", "/localapi/v0/netcheck", NULL, &code);
	if (code == CLI_OK)
		map = daemon_json(cli, "GET", "/localapi/v0/derpmap", NULL, &code);
	if (code == CLI_OK && cli->json)
		code = mesh_print_json(cli, report);
	else if (code == CLI_OK)
		print_text(report, map);
	json_decref(report);
	json_decref(map);
	return code;
}
