/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayd's netcheck alone, over sockets of its own: asks the relays of a map and tells what it
 * makes of the answers, a line an event, until so many reports have ended.
 *
 *   mesh_netcheck --map FILE --port PORT [--reports N] [--ca FILE]
 *
 *   endpoints A:P/TYPE ...      home REGION      netinfo JSON      report JSON
 *   nat KIND                    link addresses=N v4=0|1 v6=0|1
 */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/derp_client/derp_latency.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/node/mesh_netcheck.h"
#include "lib/base/fileio.h"
#include "lib/base/log.h"

struct sock {
	int fd;
	uv_poll_t poll;
};

static uv_loop_t loop;
static struct sock v4, v6;
static SSL_CTX *tls;
static struct mesh_netcheck *netcheck;
static struct mesh_interfaces *interfaces;
static unsigned long reports_left = 1;

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

static int on_send(void *ctx, const struct endpoint *to, const void *data, size_t len)
{
	struct sockaddr_storage ss;
	socklen_t n = endpoint_to_sockaddr(to, &ss);
	int fd = to->addr.family == AF_INET ? v4.fd : v6.fd;

	return sendto(fd, data, len, 0, (struct sockaddr *)&ss, n) < 0 ? -errno : 0;
}

static void on_latency(void *arg, uint16_t region, uint64_t latency_ns,
		       const struct endpoint *remote, const char *why)
{
	if (!latency_ns)
		fprintf(stderr, "mesh_netcheck: region %u: %s\n", region, why);
	mesh_netcheck_on_https(netcheck, region, latency_ns ? remote->addr.family : 0, latency_ns);
}

static void on_https(void *ctx, const struct derp_map_region *region)
{
	struct derp_dial_env env = {.loop = &loop, .tls = tls};
	char why[DERP_DIAL_WHY_MAX];
	struct derp_latency *l;

	if (derp_latency_start(&env, region, on_latency, NULL, &l, why))
		fprintf(stderr, "mesh_netcheck: region %u: %s\n", region->id, why);
}

static uint64_t on_frame(void *ctx, uint16_t region)
{
	return 0;
}

static bool on_heard(void *ctx)
{
	return true;
}

static const struct mesh_netcheck_env env = {.send = on_send,
					     .https = on_https,
					     .last_frame_ns = on_frame,
					     .is_heard = on_heard,
					     .random = &source};

static void print_json(const char *what, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	printf("%s %s\n", what, text);
	free(text);
}

static void on_endpoints(void *arg, const struct endpoint_list *list)
{
	char text[ENDPOINT_STR_MAX];

	printf("endpoints");
	for (size_t i = 0; i < list->count; i++)
		printf(" %s/%d", endpoint_print(&list->at[i].at, text), list->at[i].type);
	printf("\n");
}

static void on_home(void *arg, uint16_t region)
{
	printf("home %u\n", region);
}

static void on_netinfo(void *arg, json_t *netinfo)
{
	print_json("netinfo", netinfo);
}

static void on_report(void *arg, const struct netcheck_report *report)
{
	const struct mesh_interfaces_state *s = mesh_interfaces_state(interfaces);
	json_t *json = mesh_netcheck_report_json(report);

	print_json("report", json);
	json_decref(json);
	printf("nat %s\n", netcheck_nat_type(report, s->at, s->count));
	if (--reports_left == 0)
		uv_stop(&loop);
}

static const struct mesh_netcheck_events events = {on_endpoints, on_home, on_netinfo, on_report};

static void on_link(void *arg, const struct mesh_interfaces_state *old,
		    const struct mesh_interfaces_state *now)
{
	printf("link addresses=%zu v4=%d v6=%d\n", now->count, now->has_v4, now->has_v6);
	mesh_netcheck_set_interfaces(netcheck, now);
}

static const struct mesh_interfaces_events link_events = {.on_change = on_link};

static void on_readable(uv_poll_t *p, int status, int what)
{
	struct sock *s = p->data;
	struct sockaddr_storage ss;
	socklen_t ss_len = sizeof(ss);
	uint8_t buf[2048];
	struct endpoint from;
	ssize_t n;

	while ((n = recvfrom(s->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&ss,
			     &ss_len)) >= 0) {
		if (stun_is(buf, (size_t)n) &&
		    !endpoint_from_sockaddr((struct sockaddr *)&ss, ss_len, &from))
			mesh_netcheck_on_stun(netcheck, buf, (size_t)n, &from);
		ss_len = sizeof(ss);
	}
}

static void listen_on(struct sock *s, int family, uint16_t port)
{
	struct endpoint any = {{(uint8_t)family, {0}}, port};
	struct sockaddr_storage ss;
	socklen_t len = endpoint_to_sockaddr(&any, &ss);
	int one = 1;

	s->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (family == AF_INET6)
		setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&ss, len)) {
		perror("mesh_netcheck: bind");
		exit(1);
	}
	uv_poll_init(&loop, &s->poll, s->fd);
	s->poll.data = s;
	uv_poll_start(&s->poll, UV_READABLE, on_readable);
}

static struct derp_map *read_map(const char *path)
{
	char *text = NULL;
	size_t len;
	struct json_in in = {0};
	struct derp_map *map = NULL;
	json_t *json;

	if (file_read_all(path, 1u << 20, &text, &len)) {
		fprintf(stderr, "mesh_netcheck: cannot read %s\n", path);
		exit(1);
	}
	json = json_in_parse(&in, text, len);
	free(text);
	if (!json || derp_map_parse(json, &map, &in)) {
		fprintf(stderr, "mesh_netcheck: %s: %s\n", path, in.error);
		exit(1);
	}
	json_decref(json);
	return map;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"map", 1, 0, 'm'},
						{"port", 1, 0, 'p'},
						{"reports", 1, 0, 'n'},
						{"ca", 1, 0, 'c'},
						{0}};
	const char *map_file = NULL, *ca = NULL;
	char err[NET_TLS_ERROR_MAX];
	struct derp_map *map;
	uint16_t port = 0;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init("mesh_netcheck", LOG_DEBUG);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'm')
			map_file = optarg;
		else if (opt == 'p')
			port = (uint16_t)strtoul(optarg, NULL, 10);
		else if (opt == 'n')
			reports_left = strtoul(optarg, NULL, 10);
		else if (opt == 'c')
			ca = optarg;
		else
			return 2;
	}
	if (sodium_init() < 0 || !map_file || !port || !reports_left) {
		fprintf(stderr, "usage: mesh_netcheck --map FILE --port PORT [--reports N] "
				"[--ca FILE]\n");
		return 2;
	}
	tls = net_tls_client(ca, err);
	map = read_map(map_file);
	uv_loop_init(&loop);
	listen_on(&v4, AF_INET, port);
	listen_on(&v6, AF_INET6, port);
	if (!tls || mesh_interfaces_open(&loop, 0, &link_events, NULL, &interfaces) ||
	    mesh_netcheck_open(&loop, &env, &events, NULL, &netcheck))
		return 1;
	mesh_netcheck_set_interfaces(netcheck, mesh_interfaces_state(interfaces));
	mesh_netcheck_set_ports(netcheck, port, port, true);
	mesh_netcheck_set_map(netcheck, map);
	mesh_netcheck_set_active(netcheck, true);
	uv_run(&loop, UV_RUN_DEFAULT);

	mesh_netcheck_close(netcheck);
	mesh_interfaces_close(interfaces);
	uv_close((uv_handle_t *)&v4.poll, NULL);
	uv_close((uv_handle_t *)&v6.poll, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	derp_map_free(map);
	SSL_CTX_free(tls);
	return 0;
}
