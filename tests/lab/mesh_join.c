/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayd's control side alone: joins a coordinator and tells what it sees, a line
 * an event, until it is ended. For tests against coordinators that others wrote.
 *
 *   mesh_join --url URL --state DIR [--auth-key K] [--ca FILE] [--hostname H]
 *             [--route PREFIX] [--endpoint A:P] [--force] [--logout]
 *
 *   map self=NAME addr=ADDR peers=N online=N names=A,B routes=P,P filter=none|rules:N expired=0|1
 *   login in=0|1 why="..."
 *   url URL
 */
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/control/hostinfo.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/netmap/netmap_filter.h"
#include "controlplane/node/mesh_control.h"
#include "lib/base/log.h"

static struct mesh_control *mesh;
static uv_signal_t term;
static bool is_logout;

static void fill(void *ctx, void *buf, size_t len)
{
	randombytes_buf(buf, len);
}

static const struct wg_random source = {.fill = fill};

static void print_names(const struct netmap *m)
{
	const char *comma = "";

	printf(" names=");
	for (uint32_t i = 0; i < m->peer_count; i++) {
		printf("%s%.*s", comma, (int)strcspn(m->peers[i]->name, "."), m->peers[i]->name);
		comma = ",";
	}
	comma = "";
	printf(" routes=");
	for (uint32_t i = 0; i < m->peer_count; i++)
		for (uint32_t k = 0; k < m->peers[i]->allowed_count; k++) {
			char text[PREFIX_STR_MAX];

			printf("%s%s", comma, prefix_print(&m->peers[i]->allowed[k], text));
			comma = ",";
		}
}

static void on_map(void *arg, const struct netmap *old, const struct netmap *m)
{
	struct rule_list rules;
	uint32_t skipped, online = 0;
	char addr[ADDR_STR_MAX] = "";

	for (uint32_t i = 0; i < m->peer_count; i++)
		online += m->peers[i]->online == JSON_YES;
	if (m->self->address_count)
		addr_print(&m->self->addresses[0].addr, addr);
	printf("map self=%.*s addr=%s peers=%u online=%u", (int)strcspn(m->self->name, "."),
	       m->self->name, addr, m->peer_count, online);
	print_names(m);
	if (netmap_filter_make(m, &rules, &skipped))
		exit(1);
	if (rules.mode == DPAPI_FILTER_NONE)
		printf(" filter=none");
	else
		printf(" filter=rules:%u", rules.rule_count);
	rule_list_fini(&rules);
	printf(" expired=%d\n",
	       netmap_node_has_expired(m->self, (int64_t)time(NULL) * 1000000000ll));
	if (is_logout) {
		is_logout = false;
		mesh_control_log_out(mesh);
	}
}

static void on_url(void *arg, const char *url)
{
	printf("url %s\n", url);
}

static void on_login(void *arg, bool in, const char *why)
{
	printf("login in=%d why=\"%s\"\n", in, why);
}

static const struct mesh_control_events events = {
	.on_map = on_map, .on_url = on_url, .on_login = on_login};

static void on_signal(uv_signal_t *s, int number)
{
	mesh_control_close(mesh);
	uv_close((uv_handle_t *)s, NULL);
}

static int usage(void)
{
	fprintf(stderr, "usage: mesh_join --url URL --state DIR [--auth-key K] [--ca FILE] "
			"[--hostname H] [--route PREFIX] [--endpoint A:P] [--force] [--logout]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"url", 1, 0, 'u'},	 {"state", 1, 0, 's'},
						{"auth-key", 1, 0, 'k'}, {"ca", 1, 0, 'c'},
						{"hostname", 1, 0, 'h'}, {"route", 1, 0, 'r'},
						{"endpoint", 1, 0, 'e'}, {"force", 0, 0, 'f'},
						{"logout", 0, 0, 'l'},	 {0}};
	struct mesh_control_config cfg = {.random = &source};
	struct prefs_view prefs = {.hostname = "join"};
	struct control_endpoint endpoint = {.type = CONTROL_ENDPOINT_LOCAL};
	const char *auth_key = NULL, *ca = NULL;
	char err[MESH_ERROR_MAX];
	struct prefix route;
	struct key disco = {{0}};
	bool force = false;
	int opt;

	if (sodium_init() < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init("mesh_join", LOG_INFO);
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'u':
			cfg.url = optarg;
			break;
		case 's':
			cfg.state_dir = optarg;
			break;
		case 'k':
			auth_key = optarg;
			break;
		case 'c':
			ca = optarg;
			break;
		case 'h':
			prefs.hostname = optarg;
			break;
		case 'r':
			if (prefix_parse(optarg, false, &route))
				return usage();
			prefs.routes = &route;
			prefs.route_count = 1;
			break;
		case 'e':
			if (endpoint_parse(optarg, &endpoint.endpoint))
				return usage();
			break;
		case 'f':
			force = true;
			break;
		case 'l':
			is_logout = true;
			break;
		default:
			return usage();
		}
	}
	if (!cfg.url || !cfg.state_dir)
		return usage();
	cfg.loop = uv_default_loop();
	cfg.tls = net_tls_client(ca, err);
	cfg.hostinfo = hostinfo_new(&prefs);
	randombytes_buf(disco.bytes, sizeof(disco.bytes));
	cfg.disco = &disco;
	if (!cfg.tls || mesh_control_open(&cfg, &events, NULL, &mesh, err)) {
		fprintf(stderr, "mesh_join: %s\n", err);
		return 1;
	}
	SSL_CTX_free(cfg.tls);
	json_decref(cfg.hostinfo);
	uv_signal_init(cfg.loop, &term);
	uv_signal_start(&term, on_signal, SIGTERM);
	if (endpoint.endpoint.addr.family)
		mesh_control_set_endpoints(mesh, &endpoint, 1);
	if (mesh_control_has_key(mesh) && !force)
		mesh_control_start(mesh);
	else
		mesh_control_log_in(mesh, auth_key, force);
	uv_run(cfg.loop, UV_RUN_DEFAULT);
	uv_loop_close(cfg.loop);
	return 0;
}
