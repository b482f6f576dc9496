/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dp show TABLE: what the dataplane holds, {"TABLE": [row, ...]} as it comes, or
 * as a table (ports: as lines). Layouts only order and name what this release's
 * dataplane tells.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/dp_show.h"
#include "controlplane/cli/table.h"
#include "lib/base/bug.h"

static const struct table_column peers[] = {
	{"id", "ID", TABLE_PLAIN},
	{"public_key", "PUBLIC KEY", TABLE_PLAIN},
	{"endpoint", "ENDPOINT", TABLE_PLAIN},
	{"mtu", "MTU", TABLE_PLAIN},
	{"rx_bytes", "RECEIVED", TABLE_BYTES},
	{"tx_bytes", "SENT", TABLE_BYTES},
	{"rx_packets", "RX PACKETS", TABLE_PLAIN},
	{"tx_packets", "TX PACKETS", TABLE_PLAIN},
	{"last_rx_s", "LAST RX", TABLE_AGE},
	{"last_tx_s", "LAST TX", TABLE_AGE},
	{"sessions", "SESSIONS", TABLE_PLAIN},
	{0},
};
static const struct table_column sessions[] = {
	{"peer", "PEER", TABLE_PLAIN},
	{"local_index", "LOCAL INDEX", TABLE_PLAIN},
	{"remote_index", "REMOTE INDEX", TABLE_PLAIN},
	{"role", "ROLE", TABLE_PLAIN},
	{"age_s", "BORN", TABLE_AGE},
	{"send_counter", "SEND COUNTER", TABLE_PLAIN},
	{"recv_counter", "RECEIVE COUNTER", TABLE_PLAIN},
	{0},
};
static const struct table_column routes[] = {
	{"prefix", "PREFIX", TABLE_PLAIN},
	{"to", "TO", TABLE_PLAIN},
	{"peer", "PEER", TABLE_PLAIN},
	{0},
};
static const struct table_column flows[] = {
	{"proto", "PROTO", TABLE_PLAIN},      {"peer_addr", "PEER ADDRESS", TABLE_PLAIN},
	{"peer_port", "PORT", TABLE_PLAIN},   {"local_addr", "LOCAL ADDRESS", TABLE_PLAIN},
	{"local_port", "PORT", TABLE_PLAIN},  {"peer", "PEER", TABLE_PLAIN},
	{"bytes_in", "IN", TABLE_BYTES},      {"bytes_out", "OUT", TABLE_BYTES},
	{"idle_s", "LAST PACKET", TABLE_AGE}, {0},
};
static const struct table_column counters[] = {
	{"name", "COUNTER", TABLE_PLAIN},
	{"value", "VALUE", TABLE_PLAIN},
	{"fault", "FAULT", TABLE_MARK},
	{"help", "MEANING", TABLE_PLAIN},
	{0},
};

static const struct table_column workers[] = {
	{"worker", "WORKER", TABLE_PLAIN},
	{"engine", "ENGINE", TABLE_PLAIN},
	{"pinned", "PINNED", TABLE_PLAIN},
	{"sources", "SOURCES", TABLE_PLAIN},
	{"busy_percent", "BUSY %", TABLE_PLAIN},
	{"rounds", "ROUNDS", TABLE_PLAIN},
	{"sleeps", "SLEEPS", TABLE_PLAIN},
	{"naps", "NAPS", TABLE_PLAIN},
	{"rx_outside", "RX OUTSIDE", TABLE_PLAIN},
	{"rx_inside", "RX INSIDE", TABLE_PLAIN},
	{"tx_outside", "TX OUTSIDE", TABLE_PLAIN},
	{"tx_inside", "TX INSIDE", TABLE_PLAIN},
	{"busy_cycles", NULL, TABLE_HIDDEN},
	{"idle_cycles", NULL, TABLE_HIDDEN},
	{"sizes", NULL, TABLE_HIDDEN},
	{0},
};
static const struct table_column sizes[] = {
	{"up_to", "BYTES UP TO", TABLE_PLAIN}, {"many", "MANY", TABLE_PLAIN},
	{"many_ticks", "TICKS", TABLE_PLAIN},  {"alone", "ALONE", TABLE_PLAIN},
	{"alone_ticks", "TICKS", TABLE_PLAIN}, {0},
};

static const struct {
	const char *what;
	const struct table_column *layout;
} tables[] = {
	{"ports", NULL},	{"workers", workers},	{"peers", peers},
	{"sessions", sessions}, {"routes", routes},	{"rules", NULL},
	{"flows", flows},	{"counters", counters}, {"latency", NULL},
};

/* What stands beside the rows, as the mode of the filter beside its rules. */
static void print_rest(const json_t *root)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)root, key, value)
	{
		if (json_is_string(value))
			printf("%s: %s\n", key, json_string_value(value));
	}
}

/* " key=value", or nothing for what has lines of its own. */
static void print_value(const char *key, const json_t *value)
{
	if (json_is_string(value))
		printf(" %s=\"%s\"", key, json_string_value(value));
	else if (json_is_boolean(value))
		printf(" %s=%s", key, json_is_true(value) ? "yes" : "no");
	else if (json_is_integer(value))
		printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
}

/*
 * A line for the object's own values, and below it one for each object inside.
 * is_counts: it holds verdicts, of which there are many and most are zero.
 */
static void print_nested(const char *name, const json_t *object, int depth, bool is_counts)
{
	const char *key;
	json_t *value, *element;
	size_t i;

	is_counts |= strcmp(name, "verdicts") == 0 || strcmp(name, "steered") == 0;
	printf("%*s%s:", 2 * depth, "", name);
	json_object_foreach((json_t *)object, key, value)
	{
		if (!is_counts || json_integer_value(value) != 0)
			print_value(key, value);
	}
	printf("\n");
	json_object_foreach((json_t *)object, key, value)
	{
		if (json_is_object(value))
			print_nested(key, value, depth + 1, is_counts);
		json_array_foreach(value, i, element)
		{
			print_nested(key, element, depth + 1, is_counts);
		}
	}
}

/* What was probed of a port and its interfaces fits no table. */
static int print_ports(const json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		print_nested("port", row, 0, false);
	}
	return 0;
}

/* Below the table what each worker's engine gives to which other one, if it chooses. */
static int print_workers(const json_t *rows)
{
	int rc = table_print(rows, workers, stdout);
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *list = json_object_get(row, "sizes");

		if (rc < 0 || json_array_size(list) == 0)
			continue;
		printf("\nworker %zu, engines by size:\n", i);
		rc = table_print(list, sizes, stdout);
	}
	return rc;
}

static int print_table(const json_t *root, const char *what, const json_t *rows,
		       const struct table_column *layout)
{
	print_rest(root);
	if (strcmp(what, "ports") == 0)
		return print_ports(rows);
	if (strcmp(what, "workers") == 0)
		return print_workers(rows);
	return table_print(rows, layout, stdout);
}

static int print_answer(const struct cli *cli, const char *what, const char *text,
			const struct table_column *layout)
{
	json_error_t jerr;
	json_t *root = json_loads(text, 0, &jerr);
	const json_t *rows = json_object_get(root, what);
	int code = CLI_OK;

	if (root == NULL)
		return cli_fail(cli, CLI_FAILED, "the dataplane's answer is no JSON: %s",
				jerr.text);
	if (cli->json)
		printf("%s\n", text);
	else if (!json_is_array(rows))
		code = cli_fail(cli, CLI_FAILED, "the dataplane's answer has no list \"%s\"", what);
	else if (print_table(root, what, rows, layout) < 0)
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	json_decref(root);
	return code;
}

static int show(const struct cli *cli, const char *what, uint32_t limit,
		const struct table_column *layout)
{
	char reason[256];
	char *text = NULL;
	int rc = dp_show(cli->dp_socket, what, limit, &text, reason, sizeof(reason));
	int code;

	if (rc == -EREMOTEIO || rc == -EBADMSG || rc == -EFBIG || rc == -ENOMEM)
		return cli_fail(cli, CLI_FAILED, "dp show %s: %s", what,
				reason[0] != '\0' ? reason : strerror(-rc));
	if (rc < 0)
		return cli_fail(cli, CLI_UNREACHABLE,
				"cannot reach causeway-dp at %s: %s (is it running? another "
				"socket: --dp-socket)",
				cli->dp_socket, strerror(-rc));
	code = print_answer(cli, what, text, layout);
	free(text);
	return code;
}

/* --limit N: rows at most. */
static int parse_limit(const char *text, uint32_t *limit)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || n > UINT32_MAX)
		return -EINVAL;
	*limit = (uint32_t)n;
	return 0;
}

int cmd_dp(const struct cli *cli, int argc, char **argv)
{
	uint32_t limit = 0;

	if (argc != 3 && argc != 5)
		return cli_usage(cli, "dp");
	if (strcmp(argv[1], "show") != 0)
		return cli_usage(cli, "dp");
	if (argc == 5 && (strcmp(argv[3], "--limit") != 0 || parse_limit(argv[4], &limit) < 0))
		return cli_usage(cli, "dp");
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		if (strcmp(argv[2], tables[i].what) == 0)
			return show(cli, argv[2], limit, tables[i].layout);
	}
	return cli_fail(cli, CLI_USAGE, "no table \"%s\"; see causeway help dp", argv[2]);
}
