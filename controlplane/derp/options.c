/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/derp/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/hujson.h"

#define DEFAULT_STATE	"/var/lib/causeway"
#define DEFAULT_CONFIG	"/etc/causeway/derp.hujson"
#define DEFAULT_CLIENTS 65536
#define DEFAULT_QUEUE	262144
#define DEFAULT_AGE_MS	30
#define DEFAULT_WINDOW	262144
#define BURST_MIN	(DERP_SKIP_MAX) /* one frame of the longest */

static const char usage[] =
	"usage: causeway-derp --listen ADDR:PORT [options]\n"
	"  --listen ADDR:PORT    of the relay; [::]:PORT is both families. May repeat\n"
	"  --stun ADDR:PORT      of STUN. May repeat\n"
	"  --state DIR           the relay's keys (" DEFAULT_STATE ")\n"
	"  --hostname H          name or address that clients know it by\n"
	"  --tls-cert F --tls-key F   PEM files: a chain and its key\n"
	"  --self-signed         a certificate of its own, which clients pin\n"
	"                        (without any of these: plain HTTP)\n"
	"  --mesh-key-file F     64 hexadecimal digits that relays of a region share\n"
	"  --verify-client-url U ask there whether a client may come (causeway-coord: /verify)\n"
	"  --workers N           threads (one a core)\n"
	"  --config F            configuration (" DEFAULT_CONFIG ", if it is there)\n"
	"  --map                 print the DERP map of this relay, for `causeway coord derp set`,\n"
	"                        and end\n"
	"  --check               read the options, say what is wrong with them, and end\n"
	"  --log-level L         debug, info, warn or error (info)\n"
	"  --version, --help\n";

static const char *const keys[] = {
	"listen",
	"stun",
	"state",
	"hostname",
	"tls_cert",
	"tls_key",
	"self_signed",
	"mesh_key_file",
	"workers",
	"max_clients",
	"queue_bytes",
	"queue_age_ms",
	"client_rate",
	"client_burst",
	"receive_window",
	"verify_client_url",
	"verify_client_url_fail_open",
	NULL,
};

/* A list of "ADDR:PORT", or one alone. */
static int read_endpoints(const struct hujson_value *v, struct endpoint *out, unsigned max,
			  unsigned *count, struct hujson_error *err)
{
	const struct hujson_value *item = v;

	/* The command line's own replace them. */
	if (!v || *count)
		return 0;
	if (v->type == HUJSON_ARRAY)
		item = v->first;
	for (; item; item = v->type == HUJSON_ARRAY ? item->next : NULL) {
		const char *text;
		int rc = hujson_string(item, &text, err);

		if (rc)
			return rc;
		if (*count == max)
			return hujson_error_at(err, item, "more than %u addresses", max);
		if (endpoint_parse(text, &out[(*count)++]))
			return hujson_error_at(err, item, "\"%s\" is not ADDR:PORT", text);
	}
	return 0;
}

static int read_string(const struct hujson_value *root, const char *key, const char **out,
		       struct hujson_error *err)
{
	const struct hujson_value *v = hujson_get(root, key);
	const char *text;
	int rc = v && !*out ? hujson_string(v, &text, err) : 0;

	if (rc || !v || *out)
		return rc;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int read_number(const struct hujson_value *root, const char *key, int64_t min, int64_t max,
		       uint64_t *out, struct hujson_error *err)
{
	const struct hujson_value *v = hujson_get(root, key);
	int64_t n;
	int rc = v ? hujson_int(v, min, max, &n, err) : 0;

	if (!rc && v)
		*out = (uint64_t)n;
	return rc;
}

static int read_limits(const struct hujson_value *root, struct options *o, struct hujson_error *err)
{
	struct relay_limits *l = &o->limits;
	uint64_t clients = l->max_clients, queue = l->queue_bytes, window = l->receive_window;
	uint64_t age_ms = l->queue_age_ns / NS_PER_MS, workers = o->workers;
	int rc = read_number(root, "max_clients", 1, 1 << 23, &clients, err);

	if (!rc)
		rc = read_number(root, "queue_bytes", DERP_SKIP_MAX + DERP_HEADER_BYTES, 1 << 26,
				 &queue, err);
	if (!rc)
		rc = read_number(root, "queue_age_ms", 1, 10000, &age_ms, err);
	if (!rc)
		rc = read_number(root, "client_rate", 0, INT64_MAX / 2, &l->client_rate, err);
	if (!rc)
		rc = read_number(root, "client_burst", 0, INT64_MAX / 2, &l->client_burst, err);
	if (!rc)
		rc = read_number(root, "receive_window", 0, 1 << 30, &window, err);
	if (!rc && !o->workers)
		rc = read_number(root, "workers", 1, WORKERS_MAX, &workers, err);
	l->max_clients = (unsigned)clients;
	l->queue_bytes = queue;
	l->queue_age_ns = age_ms * NS_PER_MS;
	l->receive_window = (unsigned)window;
	o->workers = (unsigned)workers;
	if (l->client_burst < BURST_MIN)
		l->client_burst = BURST_MIN;
	return rc;
}

static int read_root(const struct hujson_value *root, struct options *o, struct hujson_error *err)
{
	const struct hujson_value *v;
	int rc = hujson_object(root, err);

	if (!rc)
		rc = hujson_check_keys(root, keys, err);
	if (!rc)
		rc = read_endpoints(hujson_get(root, "listen"), o->listen, LISTENS_MAX,
				    &o->listen_count, err);
	if (!rc)
		rc = read_endpoints(hujson_get(root, "stun"), o->stun, OPTIONS_STUNS_MAX,
				    &o->stun_count, err);
	if (!rc)
		rc = read_string(root, "state", &o->state_dir, err);
	if (!rc)
		rc = read_string(root, "hostname", &o->hostname, err);
	if (!rc)
		rc = read_string(root, "tls_cert", &o->tls_cert, err);
	if (!rc)
		rc = read_string(root, "tls_key", &o->tls_key, err);
	if (!rc)
		rc = read_string(root, "mesh_key_file", &o->mesh_key_file, err);
	if (!rc)
		rc = read_string(root, "verify_client_url", &o->verify_url, err);
	v = hujson_get(root, "verify_client_url_fail_open");
	if (!rc && v)
		rc = hujson_bool(v, &o->verify_fail_open, err);
	v = hujson_get(root, "self_signed");
	if (!rc && v && !o->self_signed)
		rc = hujson_bool(v, &o->self_signed, err);
	return rc ? rc : read_limits(root, o, err);
}

static int read_config(struct options *o)
{
	struct hujson_error err;
	struct hujson *doc;
	int rc;

	if (!o->config && access(DEFAULT_CONFIG, F_OK) == 0)
		o->config = DEFAULT_CONFIG;
	if (!o->config)
		return 0;
	rc = hujson_parse_file(o->config, &doc, &err);
	if (!rc) {
		rc = read_root(doc->root, o, &err);
		hujson_free(doc);
	}
	if (rc)
		fprintf(stderr, "%s:%u:%u: %s\n", o->config, err.line, err.column, err.text);
	return rc;
}

static int add_endpoint(const char *what, const char *text, struct endpoint *out, unsigned max,
			unsigned *count)
{
	if (*count == max || endpoint_parse(text, &out[*count])) {
		fprintf(stderr, "causeway-derp: --%s %s: %s\n", what, text,
			*count == max ? "too many" : "not ADDR:PORT");
		return -EINVAL;
	}
	(*count)++;
	return 0;
}

static int judge(const struct options *o)
{
	const char *wrong = NULL;

	if (!o->listen_count)
		wrong = "--listen is missing";
	else if (!o->tls_cert != !o->tls_key)
		wrong = "--tls-cert and --tls-key go together";
	else if (o->tls_cert && o->self_signed)
		wrong = "--self-signed and --tls-cert exclude each other";
	else if (o->self_signed && !o->hostname)
		wrong = "--self-signed needs --hostname";
	if (!wrong)
		return 0;
	fprintf(stderr, "causeway-derp: %s\n", wrong);
	return -EINVAL;
}

static int parse_word(int opt, struct options *o)
{
	char *end;
	long n;

	switch (opt) {
	case 'l':
		return add_endpoint("listen", optarg, o->listen, LISTENS_MAX, &o->listen_count);
	case 'u':
		return add_endpoint("stun", optarg, o->stun, OPTIONS_STUNS_MAX, &o->stun_count);
	case 's':
		o->state_dir = optarg;
		return 0;
	case 'H':
		o->hostname = optarg;
		return 0;
	case 'c':
		o->tls_cert = optarg;
		return 0;
	case 'k':
		o->tls_key = optarg;
		return 0;
	case 'S':
		o->self_signed = true;
		return 0;
	case 'm':
		o->mesh_key_file = optarg;
		return 0;
	case 'V':
		o->verify_url = optarg;
		return 0;
	case 'f':
		o->config = optarg;
		return 0;
	case 'C':
		o->check = true;
		return 0;
	case 'M':
		o->print_map = true;
		return 0;
	case 'w':
		n = strtol(optarg, &end, 10);
		if (*end || n < 1 || n > WORKERS_MAX) {
			fprintf(stderr, "causeway-derp: --workers %s: 1 to %d\n", optarg,
				WORKERS_MAX);
			return -EINVAL;
		}
		o->workers = (unsigned)n;
		return 0;
	case 'L':
		if (log_level_parse(optarg, &o->log_level) == 0)
			return 0;
		fprintf(stderr, "causeway-derp: no such log level: %s\n", optarg);
		return -EINVAL;
	default:
		fputs(usage, stderr);
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"listen", required_argument, NULL, 'l'},
		{"stun", required_argument, NULL, 'u'},
		{"state", required_argument, NULL, 's'},
		{"hostname", required_argument, NULL, 'H'},
		{"tls-cert", required_argument, NULL, 'c'},
		{"tls-key", required_argument, NULL, 'k'},
		{"self-signed", no_argument, NULL, 'S'},
		{"mesh-key-file", required_argument, NULL, 'm'},
		{"verify-client-url", required_argument, NULL, 'V'},
		{"workers", required_argument, NULL, 'w'},
		{"config", required_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'C'},
		{"map", no_argument, NULL, 'M'},
		{"log-level", required_argument, NULL, 'L'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int opt;

	*o = (struct options){
		.limits = {.max_clients = DEFAULT_CLIENTS,
			   .queue_bytes = DEFAULT_QUEUE,
			   .queue_age_ns = DEFAULT_AGE_MS * NS_PER_MS,
			   .client_burst = BURST_MIN,
			   .receive_window = DEFAULT_WINDOW},
		.verify_fail_open = true,
		.log_level = LOG_INFO,
	};
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 'v' || opt == 'h') {
			fputs(opt == 'v' ? "causeway-derp " CAUSEWAY_VERSION "\n" : usage, stdout);
			return 1;
		}
		if (parse_word(opt, o))
			return 3;
	}
	if (optind < argc) {
		fprintf(stderr, "causeway-derp: surplus argument: %s\n%s", argv[optind], usage);
		return 3;
	}
	if (read_config(o) || judge(o))
		return 2;
	if (!o->state_dir)
		o->state_dir = DEFAULT_STATE;
	return 0;
}
