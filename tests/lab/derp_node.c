/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's DERP client alone, driven by lines on stdin, which tells what it sees, a line an event.
 * For tests against relays that others wrote.
 *
 *   derp_node [--key FILE] [--ca FILE] [--plain] [--idle-ms N]
 *
 *   map JSON        home REGION        send REGION KEY TEXT      burst REGION KEY COUNT BYTES
 *   heard KEY       latency REGION     changed        list       counters        quit
 *
 *   key HEX                                   packet region=R from=HEX len=N text="..."
 *   sent rc=N                                 gone region=R key=HEX reason=N
 *   state region=R connected=0|1 why="..."    health region=R text="..."
 *   latency region=R ns=N remote=A:P why="..."
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/derp_client/derp_latency.h"
#include "controlplane/derp_client/derp_map.h"
#include "controlplane/derp_client/derp_regions.h"
#include "controlplane/net/net_tls.h"
#include "lib/base/log.h"

#define LINE_MAX_BYTES 65536
#define SHOWN_MAX      64

static uv_loop_t loop;
static uv_poll_t input;
static SSL_CTX *tls;
static struct derp_regions *regions;
static struct derp_map *map;

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

static void on_packet(void *arg, uint16_t region, const struct key *from, const uint8_t *data,
		      size_t len)
{
	char hex[KEY_HEX_MAX];

	printf("packet region=%u from=%s len=%zu text=\"%.*s\"\n", region, key_print_hex(from, hex),
	       len, (int)(len < SHOWN_MAX ? len : SHOWN_MAX), (const char *)data);
}

static void on_gone(void *arg, uint16_t region, const struct key *peer,
		    enum derp_gone_reason reason)
{
	char hex[KEY_HEX_MAX];

	printf("gone region=%u key=%s reason=%d\n", region, key_print_hex(peer, hex), reason);
}

static void on_state(void *arg, uint16_t region, bool is_connected, const char *why)
{
	printf("state region=%u connected=%d why=\"%s\"\n", region, is_connected, why);
}

static void on_health(void *arg, uint16_t region, const char *text)
{
	printf("health region=%u text=\"%s\"\n", region, text);
}

static const struct derp_regions_events events = {.on_packet = on_packet,
						  .on_peer_gone = on_gone,
						  .on_state = on_state,
						  .on_health = on_health};

static void on_latency(void *arg, uint16_t region, uint64_t latency_ns,
		       const struct endpoint *remote, const char *why)
{
	char text[ENDPOINT_STR_MAX] = "";

	if (remote->addr.family)
		endpoint_print(remote, text);
	printf("latency region=%u ns=%llu remote=%s why=\"%s\"\n", region,
	       (unsigned long long)latency_ns, text, why);
}

static void set_map(const char *text)
{
	struct json_in in = {0};
	json_t *json = json_in_parse(&in, text, strlen(text));
	struct derp_map *next = NULL;

	if (!json || derp_map_parse(json, &next, &in)) {
		printf("bad map: %s\n", in.error);
		exit(1);
	}
	json_decref(json);
	printf("map regions=%zu passed_over=%zu\n", next->region_count, next->passed_over);
	derp_regions_set_map(regions, next);
	derp_map_free(map);
	map = next;
}

static void latency(uint16_t region)
{
	struct derp_dial_env env = {.loop = &loop, .tls = tls, .env = getenv};
	const struct derp_map_region *m = derp_map_region(map, region);
	char why[DERP_DIAL_WHY_MAX] = "no such region";
	const struct endpoint none = {0};
	struct derp_latency *l;

	if (!m || derp_latency_start(&env, m, on_latency, NULL, &l, why))
		on_latency(NULL, region, 0, &none, why);
}

static void list(void)
{
	struct derp_region_info info[DERP_MAP_REGIONS_MAX];
	size_t n = derp_regions_list(regions, info, DERP_MAP_REGIONS_MAX);

	for (size_t i = 0; i < n; i++)
		printf("region %u home=%d connected=%d node=%s health=\"%s\" error=\"%s\" "
		       "queued=%zu\n",
		       info[i].region, info[i].is_home, info[i].is_connected, info[i].node,
		       info[i].health, info[i].last_error, info[i].queued_bytes);
	printf("listed\n");
}

static void counters(void)
{
	struct derp_counters c;

	derp_regions_counters(regions, &c);
	printf("counters rx=%llu tx=%llu queue=%llu age=%llu rate=%llu closed=%llu connects=%llu "
	       "fails=%llu breaks=%llu bad=%llu\n",
	       (unsigned long long)c.rx_packets, (unsigned long long)c.tx_packets,
	       (unsigned long long)c.drop_queue, (unsigned long long)c.drop_age,
	       (unsigned long long)c.drop_rate, (unsigned long long)c.drop_closed,
	       (unsigned long long)c.connects, (unsigned long long)c.connect_fails,
	       (unsigned long long)c.breaks, (unsigned long long)c.bad_frames);
}

static void burst(uint16_t region, const struct key *to, unsigned count, size_t bytes)
{
	static uint8_t data[DERP_PACKET_MAX + 1];
	int rc = 0;

	for (unsigned i = 0; i < count && rc >= 0; i++) {
		snprintf((char *)data, 16, "%u", i);
		rc = derp_regions_send(regions, region, to, data,
				       bytes < sizeof(data) ? bytes : sizeof(data));
	}
	printf("sent rc=%d\n", rc);
}

static void quit(void)
{
	uv_poll_stop(&input);
	uv_close((uv_handle_t *)&input, NULL);
	derp_regions_close(regions);
}

static void command(char *line)
{
	char *rest = line, *verb = strsep(&rest, " "), hex[KEY_HEX_MAX] = "";
	unsigned region = 0, count = 0;
	size_t bytes = 0;
	int text_at = 0;
	struct key key = {0};

	if (strcmp(verb, "map") == 0) {
		set_map(rest);
	} else if (strcmp(verb, "send") == 0) {
		sscanf(rest, "%u %64s %n", &region, hex, &text_at);
		key_parse_hex(hex, &key);
		printf("sent rc=%d\n", derp_regions_send(regions, (uint16_t)region, &key,
							 rest + text_at, strlen(rest + text_at)));
	} else if (strcmp(verb, "burst") == 0) {
		sscanf(rest, "%u %64s %u %zu", &region, hex, &count, &bytes);
		key_parse_hex(hex, &key);
		burst((uint16_t)region, &key, count, bytes);
	} else if (strcmp(verb, "home") == 0) {
		derp_regions_set_home(regions, (uint16_t)strtoul(rest, NULL, 10));
	} else if (strcmp(verb, "heard") == 0) {
		key_parse_hex(rest, &key);
		printf("heard %u\n", derp_regions_heard(regions, &key));
	} else if (strcmp(verb, "latency") == 0) {
		latency((uint16_t)strtoul(rest, NULL, 10));
	} else if (strcmp(verb, "changed") == 0) {
		derp_regions_network_changed(regions);
	} else if (strcmp(verb, "list") == 0) {
		list();
	} else if (strcmp(verb, "counters") == 0) {
		counters();
	} else {
		quit();
	}
}

static void on_input(uv_poll_t *p, int status, int what)
{
	static char text[LINE_MAX_BYTES];
	static size_t len;
	ssize_t n = read(0, text + len, sizeof(text) - len);
	char *end;

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			quit();
		return;
	}
	len += (size_t)n;
	while (!uv_is_closing((uv_handle_t *)&input) && (end = memchr(text, '\n', len))) {
		size_t used = (size_t)(end - text) + 1;

		*end = 0;
		command(text);
		len -= used;
		memmove(text, text + used, len);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: derp_node [--key FILE] [--ca FILE] [--plain] [--idle-ms N]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"key", 1, 0, 'k'},
						{"ca", 1, 0, 'c'},
						{"plain", 0, 0, 'p'},
						{"idle-ms", 1, 0, 'i'},
						{0}};
	char err[NET_TLS_ERROR_MAX], hex[KEY_HEX_MAX];
	struct derp_regions_config cfg = {.loop = &loop, .random = &source, .env = getenv};
	struct key private_key, public_key;
	const char *ca = NULL;
	bool is_plain = false;
	int c;

	log_init("derp_node", LOG_DEBUG);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (sodium_init() < 0)
		return 1;
	randombytes_buf(&private_key, sizeof(private_key));
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k' && key_read_file(optarg, &private_key))
			return usage();
		if (c == 'c')
			ca = optarg;
		else if (c == 'p')
			is_plain = true;
		else if (c == 'i')
			cfg.idle_ms = strtoull(optarg, NULL, 10);
		else if (c != 'k')
			return usage();
	}
	tls = is_plain ? NULL : net_tls_client(ca, err);
	if (!is_plain && !tls) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	crypto_scalarmult_base(public_key.bytes, private_key.bytes);
	cfg.tls = tls;
	cfg.node_private = &private_key;
	uv_loop_init(&loop);
	fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
	if (derp_regions_open(&cfg, &events, NULL, &regions) || uv_poll_init(&loop, &input, 0))
		return 1;
	uv_poll_start(&input, UV_READABLE, on_input);
	printf("key %s\n", key_print_hex(&public_key, hex));
	uv_run(&loop, UV_RUN_DEFAULT);
	SSL_CTX_free(tls);
	derp_map_free(map);
	return uv_loop_close(&loop) == 0 ? 0 : 1;
}
