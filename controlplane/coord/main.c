/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-coord: the coordination server. One thread with one loop (libuv), one
 * store thread; what it does is in coord.h. Options, start and end are here.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <systemd/sd-daemon.h>

#include "controlplane/coord/admin.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/noise/blake2s.h"
#include "lib/base/fileio.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"

#define DEFAULT_STATE  "/var/lib/causeway"
#define DEFAULT_SOCKET "/run/causeway/coord.sock"
#define DEFAULT_DOMAIN "mesh.internal"
#define DEFAULT_DAYS   180
#define DERP_MAP_MAX   (1u << 20)
#define FILES_MAX      65536
#define DAY_NS	       (86400ll * 1000000000)

struct options {
	const char *listen, *listen_tls, *url, *state, *socket, *cert, *key, *derp_map, *domain;
	int64_t days;
	enum log_level log_level;
};

struct daemon {
	uv_loop_t loop;
	uv_signal_t signals[2];
	struct options o;
	struct coord coord;
	struct admin *admin;
	SSL_CTX *tls;
	char *derp_map;
	char database[512];
	bool is_stopping;
	int status;
};

static const char usage[] =
	"usage: causeway-coord serve --listen ADDR:PORT --url URL [options]\n"
	"  --listen ADDR:PORT      where nodes come in over plain HTTP\n"
	"  --listen-tls ADDR:PORT  and over HTTPS; needs --tls-cert and --tls-key\n"
	"  --tls-cert F            certificate chain, PEM\n"
	"  --tls-key F             its key, PEM\n"
	"  --url URL               what nodes are given as --login-server\n"
	"  --state DIR             server key and database (" DEFAULT_STATE ")\n"
	"  --socket S              socket for `causeway coord` (" DEFAULT_SOCKET ")\n"
	"  --derp-map F            relays, as JSON; one set with `causeway coord derp set` wins\n"
	"  --domain D              of the nodes' names (" DEFAULT_DOMAIN ")\n"
	"  --key-days N            life of a node's key; 0: for ever (180)\n"
	"  --log-level L           debug, info, warn or error (info)\n"
	"  --version, --help\n";

static const struct option longs[] = {
	{"listen", required_argument, NULL, 'l'},
	{"listen-tls", required_argument, NULL, 'L'},
	{"tls-cert", required_argument, NULL, 'c'},
	{"tls-key", required_argument, NULL, 'k'},
	{"url", required_argument, NULL, 'u'},
	{"state", required_argument, NULL, 's'},
	{"socket", required_argument, NULL, 'S'},
	{"derp-map", required_argument, NULL, 'd'},
	{"domain", required_argument, NULL, 'D'},
	{"key-days", required_argument, NULL, 'n'},
	{"log-level", required_argument, NULL, 'g'},
	{"version", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "causeway-coord: %s%s%s\n", what, value ? ": " : "", value ? value : "");
	return 3;
}

static int take_days(struct options *o, const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (*end || end == text || n < 0 || n > 36500)
		return wrong("no such number of days", text);
	o->days = n;
	return 0;
}

/* 0 to go on; else the exit status + 1. */
static int take_option(struct options *o, int opt)
{
	switch (opt) {
	case 'l':
		o->listen = optarg;
		return 0;
	case 'L':
		o->listen_tls = optarg;
		return 0;
	case 'c':
		o->cert = optarg;
		return 0;
	case 'k':
		o->key = optarg;
		return 0;
	case 'u':
		o->url = optarg;
		return 0;
	case 's':
		o->state = optarg;
		return 0;
	case 'S':
		o->socket = optarg;
		return 0;
	case 'd':
		o->derp_map = optarg;
		return 0;
	case 'D':
		o->domain = optarg;
		return 0;
	case 'n':
		return take_days(o, optarg);
	case 'g':
		return log_level_parse(optarg, &o->log_level) ? wrong("no such log level", optarg)
							      : 0;
	case 'v':
		puts("causeway-coord " CAUSEWAY_VERSION);
		return 1;
	case 'h':
		fputs(usage, stdout);
		return 1;
	default:
		fputs(usage, stderr);
		return 3;
	}
}

static int check_options(const struct options *o)
{
	size_t n = o->url ? strlen(o->url) : 0;

	if (!o->listen && !o->listen_tls)
		return wrong("--listen or --listen-tls is needed", NULL);
	if (!n || (strncmp(o->url, "http://", 7) != 0 && strncmp(o->url, "https://", 8) != 0))
		return wrong("--url is needed, as http:// or https://", o->url);
	if (o->url[n - 1] == '/')
		return wrong("--url may not end with a slash", o->url);
	if (!o->listen_tls != !o->cert || !o->cert != !o->key)
		return wrong("--listen-tls, --tls-cert and --tls-key go together", NULL);
	return 0;
}

static int parse_options(int argc, char **argv, struct options *o)
{
	int opt, rc = 0;

	*o = (struct options){
		.state = DEFAULT_STATE,
		.socket = DEFAULT_SOCKET,
		.domain = DEFAULT_DOMAIN,
		.days = DEFAULT_DAYS,
		.log_level = LOG_INFO,
	};
	while (!rc && (opt = getopt_long(argc, argv, "", longs, NULL)) != -1)
		rc = take_option(o, opt);
	if (rc)
		return rc;
	if (optind + 1 != argc || strcmp(argv[optind], "serve") != 0) {
		fputs(usage, stderr);
		return 3;
	}
	return check_options(o);
}

/* Stock clients that lose a public http:// URL insist on HTTPS at port 443 for good. */
static void warn_of_url(const char *url)
{
	struct ip_addr a;
	char host[256];

	if (strncmp(url, "http://", 7) != 0)
		return;
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(url + 7, ":/"), url + 7);
	if (strcmp(host, "localhost") == 0)
		return;
	if (!addr_parse(host, &a) && a.family == AF_INET &&
	    (a.bytes[0] == 10 || a.bytes[0] == 127 || (a.bytes[0] == 192 && a.bytes[1] == 168) ||
	     (a.bytes[0] == 172 && (a.bytes[1] & 0xf0) == 16)))
		return;
	log_warn("url.plain",
		 "url=%s reason=\"after an interruption clients only try HTTPS, port 443\"", url);
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
	return (st.st_mode & 077) && chmod(path, 0700) < 0 ? -errno : 0;
}

/* Made once and kept: nodes know the coordinator by it. */
static int load_server_key(const char *state, struct key *out)
{
	char path[512];
	int rc;

	snprintf(path, sizeof(path), "%s/coord.key", state);
	rc = key_read_file(path, out);
	if (rc != -ENOENT)
		return rc;
	randombytes_buf(out->bytes, KEY_BYTES);
	return key_write_file(path, out);
}

static int load_derp_map(const char *path, char **out)
{
	json_error_t err;
	json_t *map;
	size_t len;
	char *text;
	int rc = file_read_all(path, DERP_MAP_MAX, &text, &len);

	if (rc) {
		log_error("derp_map", "path=%s error=\"%s\"", path, strerror(-rc));
		return rc;
	}
	map = json_loadb(text, len, 0, &err);
	free(text);
	if (!map || !json_is_object(json_object_get(map, "Regions")))
		log_error("derp_map", "%s:%d:%d: %s", path, map ? 1 : err.line,
			  map ? 1 : err.column, map ? "no Regions" : err.text);
	else
		*out = json_dumps(map, JSON_COMPACT);
	json_decref(map);
	return *out ? 0 : -EINVAL;
}

static void stop(struct daemon *d, int status)
{
	if (d->is_stopping)
		return;
	d->is_stopping = true;
	d->status = status;
	sd_notify(0, "STOPPING=1");
	for (unsigned i = 0; i < 2; i++)
		if (d->signals[i].data)
			uv_close((uv_handle_t *)&d->signals[i], NULL);
	admin_close(d->admin);
	coord_close(&d->coord);
}

static void on_signal(uv_signal_t *handle, int signum)
{
	log_info("daemon.stop", "signal=%d", signum);
	stop(handle->data, EXIT_SUCCESS);
}

static int listen_at(struct daemon *d, const char *where, SSL_CTX *tls)
{
	struct endpoint at;
	uint16_t port;
	int rc = endpoint_parse(where, &at);

	if (!rc)
		rc = ts2021_server_listen(d->coord.server, &at, tls, &port);
	if (rc)
		log_error("listen", "at=%s error=\"%s\"", where, strerror(-rc));
	return rc;
}

static void on_ready(void *arg)
{
	struct daemon *d = arg;
	int rc = d->o.listen ? listen_at(d, d->o.listen, NULL) : 0;

	if (!rc && d->o.listen_tls)
		rc = listen_at(d, d->o.listen_tls, d->tls);
	if (rc) {
		stop(d, EXIT_FAILURE);
		return;
	}
	log_info("daemon.start", "version=%s nodes=%zu url=%s", CAUSEWAY_VERSION,
		 d->coord.picture.node_count, d->o.url);
	sd_notify(0, "READY=1");
}

static void on_failed(void *arg, int err)
{
	(void)err;
	stop(arg, EXIT_FAILURE);
}

static int start(struct daemon *d)
{
	struct coord_config cfg = {
		.loop = &d->loop,
		.database = d->database,
		.url = d->o.url,
		.domain = d->o.domain,
		.key_life_ns = d->o.days * DAY_NS,
		.on_ready = on_ready,
		.on_failed = on_failed,
		.arg = d,
	};
	char err[NET_TLS_ERROR_MAX];
	int rc = make_state_dir(d->o.state);

	if (!rc)
		rc = load_server_key(d->o.state, &cfg.server_key);
	if (rc) {
		log_error("state", "path=%s error=\"%s\"", d->o.state, strerror(-rc));
		return rc;
	}
	if (d->o.derp_map && (rc = load_derp_map(d->o.derp_map, &d->derp_map)))
		return rc;
	cfg.derp_map = d->derp_map;
	if (d->o.cert && !(d->tls = net_tls_server(d->o.cert, d->o.key, err))) {
		log_error("tls", "error=\"%s\"", err);
		return -EINVAL;
	}
	snprintf(d->database, sizeof(d->database), "%s/coord.db", d->o.state);
	rc = coord_open(&d->coord, &cfg);
	key_wipe(&cfg.server_key);
	if (!rc)
		rc = admin_open(&d->loop, d->o.socket, &d->coord, &d->admin);
	if (rc)
		log_error("start", "socket=%s error=\"%s\"", d->o.socket, strerror(-rc));
	return rc;
}

static void watch_signals(struct daemon *d)
{
	static const int numbers[] = {SIGTERM, SIGINT};

	for (unsigned i = 0; i < 2; i++) {
		uv_signal_init(&d->loop, &d->signals[i]);
		d->signals[i].data = d;
		uv_signal_start(&d->signals[i], on_signal, numbers[i]);
	}
}

/* A connection is a descriptor: as many as we are allowed. */
static void raise_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	l.rlim_cur = l.rlim_max < FILES_MAX ? l.rlim_max : FILES_MAX;
	setrlimit(RLIMIT_NOFILE, &l);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	int rc = parse_options(argc, argv, &d.o);

	if (rc)
		return rc - 1;
	umask(077);
	log_init("causeway-coord", d.o.log_level);
	if (sodium_init() < 0 || blake2s_init()) {
		log_error("crypto.init", "error=\"libsodium or OpenSSL lacks what is needed\"");
		return EXIT_FAILURE;
	}
	rc = harden_no_dumps();
	if (rc)
		log_warn("harden", "error=\"%s\"", strerror(-rc));
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	warn_of_url(d.o.url);
	uv_loop_init(&d.loop);
	watch_signals(&d);
	if (start(&d))
		stop(&d, EXIT_FAILURE);
	uv_run(&d.loop, UV_RUN_DEFAULT);
	coord_fini(&d.coord);
	uv_loop_close(&d.loop);
	SSL_CTX_free(d.tls);
	free(d.derp_map);
	blake2s_fini();
	return d.status;
}
