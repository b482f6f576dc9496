/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many machines that register at a coordinator, each with a connection and keys of
 * its own, so many at a time, until all are in or the coordinator is gone. For tests
 * that kill it: a line is written when, and only when, a machine was told that it is in.
 *
 *   coord_join --url URL --auth-key K [--count N] [--parallel N] [--name PREFIX]
 *
 *   in NODEKEY HOST          64 hexadecimal digits, the name that was asked for
 *   refused HOST why="..."
 *   gone HOST why="..."      the connection failed: perhaps in, nobody said so
 */
#include <getopt.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/noise/blake2s.h"
#include "controlplane/tailcfg/key_text.h"
#include "controlplane/ts2021/ts2021_client.h"
#include "lib/base/log.h"

#define VERSION	   142
#define TIMEOUT_MS 20000
#define ANSWER_MAX 8192

struct machine {
	struct ts2021_client *client;
	struct key node;
	char host[64], answer[ANSWER_MAX];
	size_t len;
	unsigned status;
	struct machine *next_done;
};

static struct {
	const char *url, *auth_key, *name;
	int count, parallel;
} o = {.name = "n", .count = 1000, .parallel = 32};

static uv_loop_t loop;
static uv_idle_t idle;
static struct machine *done; /* to be freed outside of their own callbacks */
static struct ts2021_url url;
static int started, running;
static bool is_over;

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

static void start_more(void);

static void on_idle(uv_idle_t *h)
{
	while (done) {
		struct machine *m = done;

		done = m->next_done;
		ts2021_client_free(m->client);
		free(m);
		running--;
	}
	uv_idle_stop(h);
	start_more();
}

static void on_head(void *arg, unsigned status, unsigned retry_after_s)
{
	((struct machine *)arg)->status = status;
}

static void on_body(void *arg, const uint8_t *data, size_t len)
{
	struct machine *m = arg;

	if (m->len + len < ANSWER_MAX) {
		memcpy(m->answer + m->len, data, len);
		m->len += len;
	}
}

static void tell(const struct machine *m)
{
	json_t *root = json_loadb(m->answer, m->len, 0, NULL);
	const char *error = json_string_value(json_object_get(root, "Error"));
	char hex[KEY_HEX_MAX];

	if (m->status == 200 && error && !error[0] &&
	    json_is_true(json_object_get(root, "MachineAuthorized")))
		printf("in %s %s\n", key_print_hex(&m->node, hex), m->host);
	else
		printf("refused %s why=\"%u %s\"\n", m->host, m->status, error ? error : "");
	json_decref(root);
}

static void on_end(void *arg, const char *why)
{
	struct machine *m = arg;

	if (why) {
		printf("gone %s why=\"%s\"\n", m->host, why);
		is_over = true;
	} else {
		tell(m);
	}
	fflush(stdout);
	m->next_done = done;
	done = m;
	uv_idle_start(&idle, on_idle);
}

static const struct ts2021_events events = {on_head, on_body, on_end};

static void start_one(void)
{
	struct ts2021_client_config cfg = {
		.loop = &loop, .url = url, .version = VERSION, .random = &source};
	struct machine *m = calloc(1, sizeof(*m));
	char node[KEY_TEXT_MAX], body[1024];
	int n;

	if (!m)
		exit(1);
	randombytes_buf(cfg.machine_private.bytes, KEY_BYTES);
	randombytes_buf(m->node.bytes, KEY_BYTES);
	snprintf(m->host, sizeof(m->host), "%s%d", o.name, started++);
	n = snprintf(body, sizeof(body),
		     "{\"Version\":%d,\"NodeKey\":\"%s\",\"Auth\":{\"AuthKey\":\"%s\"},"
		     "\"Hostinfo\":{\"Hostname\":\"%s\",\"OS\":\"linux\","
		     "\"RoutableIPs\":[\"10.9.0.0/16\"]}}",
		     VERSION, key_text_print(&m->node, KEY_TEXT_NODE, node), o.auth_key, m->host);
	running++;
	if (ts2021_client_new(&cfg, &m->client) ||
	    ts2021_post(m->client, "/machine/register", body, (size_t)n, TIMEOUT_MS, &events, m) <=
		    0)
		exit(1);
}

static void start_more(void)
{
	while (!is_over && started < o.count && running < o.parallel)
		start_one();
	if (!running)
		uv_close((uv_handle_t *)&idle, NULL);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"url", required_argument, NULL, 'u'},	 {"auth-key", required_argument, NULL, 'a'},
		{"count", required_argument, NULL, 'c'}, {"parallel", required_argument, NULL, 'p'},
		{"name", required_argument, NULL, 'n'},	 {0},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'u')
			o.url = optarg;
		else if (opt == 'a')
			o.auth_key = optarg;
		else if (opt == 'n')
			o.name = optarg;
		else if (opt == 'c')
			o.count = atoi(optarg);
		else if (opt == 'p')
			o.parallel = atoi(optarg);
		else
			return 2;
	}
	if (!o.url || !o.auth_key || ts2021_url_parse(o.url, &url))
		return 2;
	log_init("coord_join", LOG_ERROR);
	if (sodium_init() < 0 || blake2s_init())
		return 1;
	uv_loop_init(&loop);
	uv_idle_init(&loop, &idle);
	start_more();
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
