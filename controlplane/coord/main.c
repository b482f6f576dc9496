/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-coord: the coordination server. One thread with one loop (libuv), one
 * store thread; what it does is in coord.h. Options, start and end are here.
 */
#include <errno.h>
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
#include "controlplane/coord/options.h"
#include "controlplane/coord/policy_doc.h"
#include "controlplane/net/net_tls.h"
#include "controlplane/noise/blake2s.h"
#include "lib/base/fileio.h"
#include "lib/base/harden.h"
#include "lib/base/log.h"

#define DERP_MAP_MAX (1u << 20)
#define FILES_MAX    65536
#define DAY_NS	     (86400ll * 1000000000)

struct daemon {
	uv_loop_t loop;
	uv_signal_t signals[2];
	struct options o;
	struct coord coord;
	struct admin *admin, *monitor;
	SSL_CTX *tls;
	char *derp_map, *policy;
	char database[512];
	bool is_stopping;
	int status;
};

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
	admin_close(d->monitor);
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

/* The files that options name: what --check looks at too. */
static int load_files(struct daemon *d)
{
	char err[NET_TLS_ERROR_MAX];
	int rc = d->o.derp_map ? load_derp_map(d->o.derp_map, &d->derp_map) : 0;

	/* A bad policy stops nobody: the one that is stored stays in force. */
	if (!rc && d->o.policy && policy_doc_load(d->o.policy, &d->policy) && d->o.is_check)
		rc = -EINVAL;
	if (rc || !d->o.tls_cert)
		return rc;
	d->tls = net_tls_server(d->o.tls_cert, d->o.tls_key, err);
	if (!d->tls)
		log_error("tls", "error=\"%s\"", err);
	return d->tls ? 0 : -EINVAL;
}

static int open_monitor(struct daemon *d)
{
	struct endpoint at;
	int rc = endpoint_parse(d->o.metrics, &at);

	if (!rc)
		rc = admin_open_metrics(&d->loop, &at, &d->coord, &d->monitor);
	if (rc)
		log_error("listen", "at=%s error=\"%s\"", d->o.metrics, strerror(-rc));
	return rc;
}

static int start(struct daemon *d)
{
	struct coord_config cfg = {
		.loop = &d->loop,
		.database = d->database,
		.url = d->o.url,
		.domain = d->o.domain,
		.dns = d->o.dns,
		.key_life_ns = d->o.key_days * DAY_NS,
		.derp_map = d->derp_map,
		.policy = d->policy,
		.on_ready = on_ready,
		.on_failed = on_failed,
		.arg = d,
	};
	int rc = make_state_dir(d->o.state);

	if (!rc)
		rc = load_server_key(d->o.state, &cfg.server_key);
	if (rc) {
		log_error("state", "path=%s error=\"%s\"", d->o.state, strerror(-rc));
		return rc;
	}
	snprintf(d->database, sizeof(d->database), "%s/coord.db", d->o.state);
	rc = coord_open(&d->coord, &cfg);
	key_wipe(&cfg.server_key);
	if (!rc)
		rc = admin_open(&d->loop, d->o.socket, &d->coord, &d->admin);
	if (rc)
		log_error("start", "socket=%s error=\"%s\"", d->o.socket, strerror(-rc));
	if (!rc && d->o.metrics)
		rc = open_monitor(d);
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

static void give_files_back(struct daemon *d)
{
	SSL_CTX_free(d->tls);
	free(d->derp_map);
	free(d->policy);
	options_fini(&d->o);
	blake2s_fini();
}

int main(int argc, char **argv)
{
	static struct daemon d;
	int rc = options_parse(argc, argv, &d.o);

	if (rc) {
		options_fini(&d.o);
		return rc - 1;
	}
	umask(077);
	log_init("causeway-coord", d.o.log_level);
	if (sodium_init() < 0 || blake2s_init()) {
		log_error("crypto.init", "error=\"libsodium or OpenSSL lacks what is needed\"");
		return EXIT_FAILURE;
	}
	rc = harden_no_dumps();
	if (rc)
		log_warn("harden", "error=\"%s\"", strerror(-rc));
	rc = load_files(&d);
	if (rc || d.o.is_check) {
		give_files_back(&d);
		return rc ? EXIT_FAILURE : EXIT_SUCCESS;
	}
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
	give_files_back(&d);
	return d.status;
}
