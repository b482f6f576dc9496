/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causeway-derp: a DERP relay with STUN. The main thread starts the workers (worker.h)
 * and the STUN server, then waits for signals: TERM and INT end it, HUP reads the
 * certificate again, which also happens once a day, before the meta certificate ends.
 */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <systemd/sd-daemon.h>

#include "controlplane/derp/map_text.h"
#include "controlplane/derp/options.h"
#include "controlplane/derp/stun_server.h"
#include "lib/base/fileio.h"
#include "lib/base/harden.h"

/* Workers have up to six each, beside logs, STUN and certificates. */
#define FILES_OF_OURS	  512
#define RELOAD_SECONDS	  86400
#define MESH_KEY_FILE_MAX 256

static SSL_CTX *load_tls(struct relay *r, const struct options *o, char err[IDENTITY_ERROR_MAX])
{
	char cert[PATH_MAX], key[PATH_MAX];

	if (o->tls_cert)
		return identity_tls(&r->identity, o->tls_cert, o->tls_key, err);
	if (identity_self_sign(o->state_dir, o->hostname, err))
		return NULL;
	snprintf(cert, sizeof(cert), "%s/derp.crt", o->state_dir);
	snprintf(key, sizeof(key), "%s/derp.key.pem", o->state_dir);
	return identity_tls(&r->identity, cert, key, err);
}

/* The connections that stand keep what they have. */
static void reload_tls(struct relay *r, const struct options *o)
{
	char err[IDENTITY_ERROR_MAX];
	SSL_CTX *fresh, *old;

	if (!r->tls)
		return;
	fresh = load_tls(r, o, err);
	if (!fresh) {
		log_error("relay.certificate", "error=\"%s\"", err);
		return;
	}
	pthread_mutex_lock(&r->tls_lock);
	old = r->tls;
	r->tls = fresh;
	pthread_mutex_unlock(&r->tls_lock);
	SSL_CTX_free(old);
	log_info("relay.certificate", "pin=sha256-raw:%s", r->identity.certificate_pin);
}

static int load_mesh_key(const char *path, struct key *out)
{
	char *text;
	size_t len;
	int rc = file_read_all(path, MESH_KEY_FILE_MAX, &text, &len);

	if (rc)
		return rc;
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = 0;
	rc = key_parse_hex(text + strspn(text, " \t\r\n"), out);
	sodium_memzero(text, len);
	free(text);
	return rc ? rc : key_is_zero(out) ? -EINVAL : 0;
}

static unsigned cores(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);

	return n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

/* No more clients than descriptors: an accept that fails would be tried again at once. */
static void raise_file_limit(struct relay_limits *limits)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	if (l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) && getrlimit(RLIMIT_NOFILE, &l))
			return;
	}
	if (l.rlim_cur > 2 * FILES_OF_OURS && limits->max_clients > l.rlim_cur - FILES_OF_OURS)
		limits->max_clients = (unsigned)(l.rlim_cur - FILES_OF_OURS);
}

static int make_state_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Everything but threads and sockets. 0, or a negative errno, and it is logged. */
static int prepare(struct relay *r, const struct options *o, struct key *mesh_key)
{
	char err[IDENTITY_ERROR_MAX];
	int rc = make_state_dir(o->state_dir);

	if (rc) {
		log_error("state.dir", "path=%s error=\"%s\"", o->state_dir, strerror(-rc));
		return rc;
	}
	rc = identity_load(&r->identity, o->state_dir, err);
	if (!rc && (o->tls_cert || o->self_signed)) {
		r->tls = load_tls(r, o, err);
		rc = r->tls ? 0 : -EINVAL;
	}
	if (rc) {
		log_error("relay.identity", "error=\"%s\"", err);
		return rc;
	}
	if (!o->mesh_key_file)
		return 0;
	rc = load_mesh_key(o->mesh_key_file, mesh_key);
	if (rc)
		log_error("relay.mesh_key", "file=%s error=\"%s\"", o->mesh_key_file,
			  rc == -EINVAL ? "not 64 hexadecimal digits" : strerror(-rc));
	r->mesh_key = mesh_key;
	return rc;
}

static int start(struct relay *r, struct stun_server **stun, const struct options *o)
{
	char text[ENDPOINT_STR_MAX];
	unsigned bad = 0;
	struct admission_config admission = {.url = o->verify_url,
					     .is_fail_open = o->verify_fail_open,
					     .on_answer = relay_on_answer,
					     .arg = r};
	char err[ADMISSION_ERROR_MAX];
	int rc = o->verify_url ? admission_start(&admission, &r->admission, err) : 0;

	if (rc) {
		log_error("relay.admission", "error=\"%s\"", err);
		return rc;
	}
	rc = relay_start(r, o->listen, o->listen_count, o->workers ? o->workers : cores());
	if (rc) {
		admission_stop(r->admission);
		r->admission = NULL;
		log_error("relay.listen", "listen=%s error=\"%s\"",
			  endpoint_print(&o->listen[0], text), strerror(-rc));
		return rc;
	}
	rc = o->stun_count ? stun_server_start(o->stun, o->stun_count, stun, &bad) : 0;
	if (rc) {
		log_error("stun.listen", "listen=%s error=\"%s\"",
			  endpoint_print(&o->stun[bad], text), strerror(-rc));
		relay_stop(r);
	}
	return rc;
}

static void wait_for_end(struct relay *r, const struct options *o, const sigset_t *signals)
{
	struct timespec day = {.tv_sec = RELOAD_SECONDS};
	int got;

	do {
		got = sigtimedwait(signals, NULL, &day);
		if (got == SIGHUP || (got < 0 && errno == EAGAIN))
			reload_tls(r, o);
	} while (got != SIGTERM && got != SIGINT);
	log_info("daemon.stop", "signal=%d", got);
}

static int print_map(const struct relay *r, const struct options *o)
{
	const char *why;
	char *text = map_text(o, r->identity.certificate_pin, &why);

	if (!text) {
		fprintf(stderr, "causeway-derp: %s\n", why);
		return -EINVAL;
	}
	puts(text);
	free(text);
	return 0;
}

int main(int argc, char **argv)
{
	static struct relay r = {.tls_lock = PTHREAD_MUTEX_INITIALIZER};
	struct stun_server *stun = NULL;
	struct key mesh_key = {0};
	static struct options o;
	bool is_started = false;
	sigset_t signals;
	int rc = options_parse(argc, argv, &o);

	if (rc)
		return rc - 1;
	if (o.check) {
		printf("%s: ok\n", o.config ? o.config : "no configuration file");
		return EXIT_SUCCESS;
	}
	umask(077);
	log_init("causeway-derp", o.log_level);
	if (sodium_init() < 0) {
		log_error("crypto.init", "error=\"libsodium\"");
		return EXIT_FAILURE;
	}
	rc = harden_no_dumps();
	if (rc)
		log_warn("harden", "error=\"%s\"", strerror(-rc));
	raise_file_limit(&o.limits);
	signal(SIGPIPE, SIG_IGN);
	/* Blocked before there are threads, so that the main thread alone gets them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	r.limits = o.limits;
	rc = prepare(&r, &o, &mesh_key);
	if (!rc && o.print_map) {
		rc = print_map(&r, &o);
	} else if (!rc) {
		rc = start(&r, &stun, &o);
		is_started = !rc;
	}
	if (is_started) {
		char hex[KEY_HEX_MAX], at[ENDPOINT_STR_MAX];

		log_info("daemon.start", "version=%s listen=%s workers=%u key=%s certname=%s%s",
			 CAUSEWAY_VERSION, endpoint_print(&o.listen[0], at), r.worker_count,
			 key_print_hex(&r.identity.public_key, hex), r.tls ? "sha256-raw:" : "none",
			 r.identity.certificate_pin);
		sd_notify(0, "READY=1");
		wait_for_end(&r, &o, &signals);
		sd_notify(0, "STOPPING=1");
		stun_server_stop(stun);
		relay_stop(&r);
	}
	SSL_CTX_free(r.tls);
	identity_fini(&r.identity);
	key_wipe(&mesh_key);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
