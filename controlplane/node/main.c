/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayd: the control process of a node. One thread, one loop (libuv); what
 * it does is in node.h. Options, start and end are here.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <systemd/sd-daemon.h>
#include <uv.h>

#include "controlplane/node/link.h"
#include "controlplane/node/localapi.h"
#include "controlplane/node/mesh.h"
#include "controlplane/node/node.h"
#include "controlplane/node/sandbox.h"
#include "controlplane/noise/blake2s.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"

#define DEFAULT_STATE	  "/var/lib/causeway"
#define DEFAULT_SOCKET	  "/run/causeway/causewayd.sock"
#define DEFAULT_DP_SOCKET "/run/causeway/dp.sock"
#define DEFAULT_CONFIG	  "/etc/causeway/node.hujson"

struct options {
	struct node_options node;
	const char *socket;
	enum log_level log_level;
	bool check;
};

struct daemon {
	uv_loop_t loop;
	uv_signal_t signals[3];
	struct node node;
	struct link *link;
	struct mesh *mesh;
	struct localapi *api;
};

static const char usage[] =
	"usage: causewayd [options]\n"
	"  --state DIR       keys and timestamps (" DEFAULT_STATE ")\n"
	"  --socket S        socket of the LocalAPI (" DEFAULT_SOCKET ")\n"
	"  --dp-socket S     socket of causeway-dp (" DEFAULT_DP_SOCKET ")\n"
	"  --config F        configuration (" DEFAULT_CONFIG ", if it is there)\n"
	"  --check           read the configuration, say what is wrong with it, and end\n"
	"  --log-level L     debug, info, warn or error (info)\n"
	"  --version, --help\n";

/* 0 to go on; else the exit status + 1. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"state", required_argument, NULL, 's'},
		{"socket", required_argument, NULL, 'S'},
		{"dp-socket", required_argument, NULL, 'd'},
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"log-level", required_argument, NULL, 'l'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int opt;

	*o = (struct options){
		.node = {.state_dir = DEFAULT_STATE, .dp_socket = DEFAULT_DP_SOCKET},
		.socket = DEFAULT_SOCKET,
		.log_level = LOG_INFO,
	};
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			o->node.state_dir = optarg;
			break;
		case 'S':
			o->socket = optarg;
			break;
		case 'd':
			o->node.dp_socket = optarg;
			break;
		case 'c':
			o->node.config_path = optarg;
			break;
		case 'k':
			o->check = true;
			break;
		case 'l':
			if (log_level_parse(optarg, &o->log_level)) {
				fprintf(stderr, "causewayd: no such log level: %s\n", optarg);
				return 3;
			}
			break;
		case 'v':
			puts("causewayd " CAUSEWAY_VERSION);
			return 1;
		case 'h':
			fputs(usage, stdout);
			return 1;
		default:
			fputs(usage, stderr);
			return 3;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "causewayd: surplus argument: %s\n%s", argv[optind], usage);
		return 3;
	}
	if (!o->node.config_path && access(DEFAULT_CONFIG, F_OK) == 0)
		o->node.config_path = DEFAULT_CONFIG;
	return 0;
}

static int check(const struct options *o)
{
	char err[CONFIG_ERROR_MAX];
	struct node_config *cfg;

	if (config_load(o->node.config_path, NULL, &cfg, err)) {
		fprintf(stderr, "%s\n", err);
		return EXIT_FAILURE;
	}
	printf("%s: ok, %u peers\n", cfg->source[0] ? cfg->source : "no configuration file",
	       cfg->peer_count);
	config_free(cfg);
	return EXIT_SUCCESS;
}

static int make_state_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	/* Keys live in it. */
	if ((st.st_mode & 077) && chmod(path, 0700) < 0)
		return -errno;
	return 0;
}

static void stop(struct daemon *d)
{
	sd_notify(0, "STOPPING=1");
	for (unsigned i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&d->signals[i], NULL);
	localapi_close(d->api);
	mesh_close(d->mesh);
	node_close(&d->node);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct daemon *d = handle->data;
	char err[CONFIG_ERROR_MAX];

	if (signum != SIGHUP) {
		log_info("daemon.stop", "signal=%d", signum);
		stop(d);
		return;
	}
	sd_notify(0, "RELOADING=1");
	/* A refusal is logged with its place; the node goes on with what it has. */
	node_reload(&d->node, err);
	sd_notify(0, "READY=1");
}

static void watch_signals(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned i = 0; i < 3; i++) {
		uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(&d->signals[i], on_signal, numbers[i]);
		/* They alone do not keep the loop alive. */
		uv_unref((uv_handle_t *)&d->signals[i]);
	}
}

static int start(struct daemon *d, const struct options *o)
{
	char err[CONFIG_ERROR_MAX], why[MESH_ERROR_MAX];
	struct node_config *cfg;
	int rc = make_state_dir(o->node.state_dir);

	if (rc) {
		log_error("state.dir", "path=%s error=\"%s\"", o->node.state_dir, strerror(-rc));
		return rc;
	}
	rc = config_load(o->node.config_path, o->node.state_dir, &cfg, err);
	if (rc) {
		config_log_refused(err);
		return rc;
	}
	rc = link_open(&d->link);
	if (rc) {
		log_error("netlink.open", "error=\"%s\"", strerror(-rc));
		config_free(cfg);
		return rc;
	}
	rc = node_open(&d->loop, &o->node, cfg, d->link, &d->node);
	if (rc) {
		log_error("node.open", "error=\"%s\"", strerror(-rc));
		return rc;
	}
	rc = mesh_open(&d->node, &d->mesh, why);
	if (rc) {
		log_error("mesh.open", "error=\"%s\"", why);
		node_close(&d->node);
		return rc;
	}
	rc = localapi_open(&d->loop, o->socket, &d->node, d->mesh, &d->api);
	if (rc) {
		log_error("localapi.open", "path=%s error=\"%s\"", o->socket, strerror(-rc));
		mesh_close(d->mesh);
		node_close(&d->node);
	}
	return rc;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct options o;
	int rc = parse_options(argc, argv, &o);

	if (rc)
		return rc - 1;
	umask(077);
	log_init("causewayd", o.log_level);
	if (sodium_init() < 0 || blake2s_init()) {
		log_error("crypto.init", "error=\"libsodium or OpenSSL lacks what is needed\"");
		return EXIT_FAILURE;
	}
	rc = harden_no_dumps();
	if (rc)
		log_warn("harden", "error=\"%s\"", strerror(-rc));
	if (o.check)
		return check(&o);
	signal(SIGPIPE, SIG_IGN);
	uv_loop_init(&d.loop);
	rc = start(&d, &o);
	if (!rc) {
		watch_signals(&d);
		rc = sandbox_enter();
		if (rc)
			log_warn("sandbox", "error=\"%s\"", strerror(-rc));
		rc = 0;
		log_info("daemon.start", "version=%s config=%s peers=%u", CAUSEWAY_VERSION,
			 o.node.config_path ? o.node.config_path : "", d.node.peer_count);
		sd_notify(0, "READY=1");
	}
	uv_run(&d.loop, UV_RUN_DEFAULT);
	link_close(d.link);
	uv_loop_close(&d.loop);
	blake2s_fini();
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
