/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/coord/dns_doc.h"
#include "lib/base/addr.h"
#include "lib/base/bug.h"

#define DEFAULT_CONFIG "/etc/causeway/coord.hujson"
#define DEFAULT_STATE  "/var/lib/causeway"
#define DEFAULT_SOCKET "/run/causeway-coord/coord.sock"
#define DEFAULT_DOMAIN "mesh.internal"
#define DEFAULT_DAYS   180
#define DAYS_MAX       36500
#define KEY_MAX	       32

static const char usage[] =
	"usage: causeway-coord serve --listen ADDR:PORT --url URL [options]\n"
	"  --listen ADDR:PORT      where nodes come in over plain HTTP\n"
	"  --listen-tls ADDR:PORT  and over HTTPS; needs --tls-cert and --tls-key\n"
	"  --tls-cert F            certificate chain, PEM\n"
	"  --tls-key F             its key, PEM\n"
	"  --url URL               what nodes are given as --login-server\n"
	"  --state DIR             server key and database (" DEFAULT_STATE ")\n"
	"  --socket S              socket for `causeway coord` (" DEFAULT_SOCKET ")\n"
	"  --metrics ADDR:PORT     /metrics and /health over plain HTTP, for a monitor\n"
	"  --derp-map F            relays, as JSON; one set with `causeway coord derp set` wins\n"
	"  --policy F              the policy, stored when it is new; without one nothing passes\n"
	"  --domain D              of the nodes' names (" DEFAULT_DOMAIN ")\n"
	"  --key-days N            life of a node's key; 0: for ever (180)\n"
	"  --config F              configuration (" DEFAULT_CONFIG ", if it is there)\n"
	"  --check                 read options and files, say what is wrong with them, and end\n"
	"  --log-level L           debug, info, warn or error (info)\n"
	"  --version, --help\n";

/* ---- one option, one row ---- */

/* Each takes the text; NULL, or what is wrong with it. */
static const char *take_any(struct options *o, const char *text)
{
	(void)o;
	return text[0] ? NULL : "is empty";
}

static const char *take_endpoint(struct options *o, const char *text)
{
	struct endpoint at;

	(void)o;
	return endpoint_parse(text, &at) ? "is not ADDR:PORT" : NULL;
}

static const char *take_url(struct options *o, const char *text)
{
	const char *host = strstr(text, "://");

	(void)o;
	if ((strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0) || !host[3])
		return "is not http://HOST or https://HOST";
	return text[strlen(text) - 1] == '/' ? "may not end with a slash" : NULL;
}

static const char *take_domain(struct options *o, const char *text)
{
	(void)o;
	return dns_doc_is_name(text) ? NULL : "is not a domain";
}

static const char *take_days(struct options *o, const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);

	if (*end || end == text || n < 0 || n > DAYS_MAX)
		return "is not a number of days from 0 to 36500";
	o->key_days = n;
	return NULL;
}

static const char *take_level(struct options *o, const char *text)
{
	return log_level_parse(text, &o->log_level) ? "is not debug, info, warn or error" : NULL;
}

static const struct row {
	const char *name;
	const char *(*take)(struct options *o, const char *text);
	size_t at; /* where the text is kept, 0: nowhere */
	bool is_number;
} rows[] = {
	{"listen", take_endpoint, offsetof(struct options, listen), false},
	{"listen-tls", take_endpoint, offsetof(struct options, listen_tls), false},
	{"tls-cert", take_any, offsetof(struct options, tls_cert), false},
	{"tls-key", take_any, offsetof(struct options, tls_key), false},
	{"url", take_url, offsetof(struct options, url), false},
	{"state", take_any, offsetof(struct options, state), false},
	{"socket", take_any, offsetof(struct options, socket), false},
	{"metrics", take_endpoint, offsetof(struct options, metrics), false},
	{"derp-map", take_any, offsetof(struct options, derp_map), false},
	{"policy", take_any, offsetof(struct options, policy), false},
	{"domain", take_domain, offsetof(struct options, domain), false},
	{"key-days", take_days, 0, true},
	{"log-level", take_level, 0, false},
};

#define ROWS ARRAY_SIZE(rows)

_Static_assert(offsetof(struct options, listen) != 0, "0 means nowhere");
_Static_assert(ROWS <= OPTIONS_TEXTS_MAX, "each may have a text of the file");

/* Which rows the command line has given: the file does not change them. */
struct parse {
	struct options *o;
	const char *config;
	bool is_given[ROWS];
};

/* ---- the file ---- */

static const char *key_of(const struct row *row, char key[KEY_MAX])
{
	size_t i = 0;

	for (; row->name[i]; i++)
		key[i] = row->name[i] == '-' ? '_' : row->name[i];
	key[i] = 0;
	return key;
}

static int read_row(struct parse *p, const struct row *row, const struct hujson_value *v,
		    struct hujson_error *err)
{
	bool is_given = p->is_given[row - rows];
	/* Also what the command line overrules must be right, or --check is worth little. */
	struct options scratch = *p->o;
	const char *text, *wrong;
	int64_t days;
	int rc;

	if (row->is_number)
		rc = hujson_int(v, 0, DAYS_MAX, &days, err);
	else
		rc = hujson_string(v, &text, err);
	if (rc)
		return rc;
	wrong = row->take(is_given ? &scratch : p->o, v->text);
	if (wrong)
		return hujson_error_at(err, v, "\"%s\" %s", v->text, wrong);
	if (is_given || !row->at)
		return 0;
	text = p->o->texts[p->o->text_count++] = strdup(v->text);
	*(const char **)((char *)p->o + row->at) = text;
	return text ? 0 : -ENOMEM;
}

static int read_root(struct parse *p, const struct hujson_value *root, struct hujson_error *err)
{
	char names[ROWS][KEY_MAX];
	const char *keys[ROWS + 2];
	const struct hujson_value *v, *dns = hujson_get(root, "dns");
	int rc = hujson_object(root, err);

	for (unsigned i = 0; i < ROWS; i++)
		keys[i] = key_of(&rows[i], names[i]);
	keys[ROWS] = "dns";
	keys[ROWS + 1] = NULL;
	if (!rc)
		rc = hujson_check_keys(root, keys, err);
	for (unsigned i = 0; i < ROWS && !rc; i++)
		if ((v = hujson_get(root, keys[i])))
			rc = read_row(p, &rows[i], v, err);
	return !rc && dns ? dns_doc_compile(dns, p->o->domain, &p->o->dns, err) : rc;
}

static int read_config(struct parse *p)
{
	struct hujson_error err = {0};
	struct hujson *doc;
	int rc;

	if (!p->config && access(DEFAULT_CONFIG, F_OK) == 0)
		p->config = DEFAULT_CONFIG;
	if (!p->config)
		return 0;
	rc = hujson_parse_file(p->config, &doc, &err);
	if (!rc) {
		rc = read_root(p, doc->root, &err);
		hujson_free(doc);
	}
	if (rc)
		fprintf(stderr, "%s:%u:%u: %s\n", p->config, err.line, err.column,
			rc == -ENOMEM ? "out of memory" : err.text);
	return rc;
}

/* ---- the whole ---- */

static int judge(const struct options *o)
{
	const char *wrong = NULL;

	if (!o->listen && !o->listen_tls)
		wrong = "--listen or --listen-tls is needed";
	else if (!o->url)
		wrong = "--url is needed";
	else if (!o->listen_tls != !o->tls_cert || !o->tls_cert != !o->tls_key)
		wrong = "--listen-tls, --tls-cert and --tls-key go together";
	if (!wrong)
		return 0;
	fprintf(stderr, "causeway-coord: %s\n", wrong);
	return -EINVAL;
}

enum { OPT_VERSION = 1000, OPT_HELP, OPT_CONFIG, OPT_CHECK };

/* 0, or the exit status + 1. */
static int take_word(struct parse *p, int opt)
{
	const char *wrong;

	switch (opt) {
	case OPT_VERSION:
		puts("causeway-coord " CAUSEWAY_VERSION);
		return 1;
	case OPT_HELP:
		fputs(usage, stdout);
		return 1;
	case OPT_CONFIG:
		p->config = optarg;
		return 0;
	case OPT_CHECK:
		p->o->is_check = true;
		return 0;
	case '?':
		fputs(usage, stderr);
		return 3;
	}
	wrong = rows[opt].take(p->o, optarg);
	if (!wrong && rows[opt].at)
		*(const char **)((char *)p->o + rows[opt].at) = optarg;
	if (wrong) {
		fprintf(stderr, "causeway-coord: --%s %s: %s\n", rows[opt].name, optarg, wrong);
		return 3;
	}
	p->is_given[opt] = true;
	return 0;
}

int options_parse(int argc, char **argv, struct options *o)
{
	struct option longs[ROWS + 5] = {
		{"config", required_argument, NULL, OPT_CONFIG},
		{"check", no_argument, NULL, OPT_CHECK},
		{"version", no_argument, NULL, OPT_VERSION},
		{"help", no_argument, NULL, OPT_HELP},
	};
	struct parse p = {.o = o};
	int opt, rc = 0;

	for (unsigned i = 0; i < ROWS; i++)
		longs[4 + i] = (struct option){rows[i].name, required_argument, NULL, (int)i};
	*o = (struct options){
		.state = DEFAULT_STATE,
		.socket = DEFAULT_SOCKET,
		.domain = DEFAULT_DOMAIN,
		.key_days = DEFAULT_DAYS,
		.log_level = LOG_INFO,
	};
	while (!rc && (opt = getopt_long(argc, argv, "", longs, NULL)) != -1)
		rc = take_word(&p, opt);
	if (rc)
		return rc;
	if (optind + 1 != argc || strcmp(argv[optind], "serve") != 0) {
		fputs(usage, stderr);
		return 3;
	}
	return read_config(&p) || judge(o) ? 3 : 0;
}

void options_fini(struct options *o)
{
	for (unsigned i = 0; i < o->text_count; i++)
		free(o->texts[i]);
	free(o->dns);
}
