/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <sodium.h>

#include "controlplane/node/config_filter.h"
#include "lib/base/fileio.h"
#include "lib/base/hujson.h"
#include "lib/base/log.h"
#include "lib/wire/lane.h"

#define KEY_FILE_DEFAULT "node.key"

/* What is being read, and where the values of each peer stand for later errors. */
struct reader {
	struct node_config *cfg;
	const char *path;      /* NULL: open no files */
	const char *state_dir; /* NULL: make no key */
	struct hujson_error *err;
};

/* Something that may be there once only: bytes, and where they stand. */
struct claim {
	const void *bytes;
	size_t len;
	const struct hujson_value *at;
	uint32_t peer;
};

static int claim_cmp(const void *pa, const void *pb)
{
	const struct claim *a = pa, *b = pb;
	size_t n = a->len < b->len ? a->len : b->len;
	int c = memcmp(a->bytes, b->bytes, n);

	if (!c && a->len != b->len)
		c = a->len < b->len ? -1 : 1;
	if (c)
		return c;
	/* Of equals the one further down in the file is the surplus one. */
	if (a->at->place.line != b->at->place.line)
		return a->at->place.line < b->at->place.line ? -1 : 1;
	return a->at->place.column < b->at->place.column ? -1 : 1;
}

/* Sorts; the first pair of equals, or NULL. pair[0] stands first in the file. */
static const struct claim *claim_find_twice(struct claim *claims, size_t n)
{
	if (n)
		qsort(claims, n, sizeof(*claims), claim_cmp);
	for (size_t i = 1; i < n; i++)
		if (claims[i].len == claims[i - 1].len &&
		    memcmp(claims[i].bytes, claims[i - 1].bytes, claims[i].len) == 0)
			return &claims[i - 1];
	return NULL;
}

/* A file named in the configuration, relative to the configuration's own folder. */
static int resolve(const struct reader *r, const char *name, char out[PATH_MAX])
{
	const char *slash = strrchr(r->path, '/');
	int n;

	if (name[0] == '/' || !slash)
		n = snprintf(out, PATH_MAX, "%s", name);
	else
		n = snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - r->path), r->path, name);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int read_key_file(const struct reader *r, const struct hujson_value *v, struct key *out)
{
	char path[PATH_MAX];
	const char *name;
	int rc = hujson_string(v, &name, r->err);

	if (rc || !r->path)
		return rc;
	rc = resolve(r, name, path);
	if (!rc)
		rc = key_read_file(path, out);
	/* An empty key is a mistake: as a preshared one it would quietly mean none. */
	if (rc == -EINVAL || (!rc && key_is_zero(out)))
		return hujson_error_at(r->err, v, "%s holds no key", path);
	if (rc)
		return hujson_error_at(r->err, v, "cannot read %s: %s", path, strerror(-rc));
	return 0;
}

/* The key of a node that names no file: STATE/node.key, made once. */
static int default_key(const struct reader *r, struct key *out)
{
	char path[PATH_MAX];
	int rc;

	if (!r->state_dir)
		return 0;
	snprintf(path, sizeof(path), "%s/" KEY_FILE_DEFAULT, r->state_dir);
	rc = key_read_file(path, out);
	if (!rc && key_is_zero(out))
		rc = -EINVAL;
	if (rc == -ENOENT) {
		randombytes_buf(out->bytes, sizeof(out->bytes));
		out->bytes[0] &= 248;
		out->bytes[31] = (out->bytes[31] & 127) | 64;
		rc = key_write_file(path, out);
		if (!rc)
			log_info("key.made", "file=%s", path);
	}
	if (rc) {
		*r->err = (struct hujson_error){0};
		snprintf(r->err->text, sizeof(r->err->text), "the private key %.120s: %s", path,
			 rc == -EINVAL ? "holds no key" : strerror(-rc));
	}
	return rc;
}

static int read_private_key(const struct reader *r, const struct hujson_value *root)
{
	const struct hujson_value *v = root ? hujson_get(root, "private_key_file") : NULL;
	struct node_config *cfg = r->cfg;
	int rc = v ? read_key_file(r, v, &cfg->private_key) : default_key(r, &cfg->private_key);

	if (rc || key_is_zero(&cfg->private_key))
		return rc;
	crypto_scalarmult_base(cfg->public_key.bytes, cfg->private_key.bytes);
	return 0;
}

static bool is_unicast(const struct ip_addr *a)
{
	static const uint8_t zero[16];

	if (memcmp(a->bytes, zero, sizeof(zero)) == 0)
		return false;
	return a->family == AF_INET6 ? a->bytes[0] != 0xff : a->bytes[0] < 224;
}

/* "10.9.0.1/24": here the host bits are the point. */
static int parse_address(const char *text, struct config_address *out)
{
	const char *slash = strchr(text, '/');
	char bare[ADDR_STR_MAX];
	struct prefix p;

	if (!slash || (size_t)(slash - text) >= sizeof(bare))
		return -EINVAL;
	snprintf(bare, sizeof(bare), "%.*s", (int)(slash - text), text);
	if (prefix_parse(text, true, &p) || addr_parse(bare, &out->addr) ||
	    !is_unicast(&out->addr) || p.len == 0)
		return -EINVAL;
	out->prefix_len = p.len;
	return 0;
}

static int read_addresses(const struct reader *r, const struct hujson_value *list)
{
	struct node_config *cfg = r->cfg;
	int rc = hujson_array(list, r->err);

	if (rc)
		return rc;
	cfg->addresses = calloc(list->count + 1, sizeof(*cfg->addresses));
	if (!cfg->addresses)
		return -ENOMEM;
	for (const struct hujson_value *v = list->first; v; v = v->next) {
		struct config_address *a = &cfg->addresses[cfg->address_count];
		const char *text;

		rc = hujson_string(v, &text, r->err);
		if (rc)
			return rc;
		if (parse_address(text, a))
			return hujson_error_at(r->err, v,
					       "\"%s\" is no address with its prefix length, as "
					       "\"10.9.0.1/24\" is",
					       text);
		for (uint32_t i = 0; i < cfg->address_count; i++)
			if (addr_equal(&cfg->addresses[i].addr, &a->addr))
				return hujson_error_at(r->err, v, "\"%s\" is there twice", text);
		cfg->address_count++;
	}
	return 0;
}

static int read_mtu(const struct reader *r, const struct hujson_value *v, bool has_v6,
		    uint16_t *out, struct config_place *place)
{
	int64_t n;
	int rc = hujson_int(v, CONFIG_MTU_MIN, CONFIG_MTU_MAX, &n, r->err);

	if (rc)
		return rc;
	if (has_v6 && n < CONFIG_MTU_MIN_V6)
		return hujson_error_at(r->err, v, "IPv6 needs an MTU of at least %d",
				       CONFIG_MTU_MIN_V6);
	*out = (uint16_t)n;
	*place = (struct config_place){v->place.line, v->place.column};
	return 0;
}

static int read_name(const struct reader *r, const struct hujson_value *v, struct config_peer *p)
{
	const char *text;
	size_t n;
	int rc = hujson_string(v, &text, r->err);

	if (rc)
		return rc;
	n = strlen(text);
	if (n == 0 || n >= sizeof(p->name))
		return hujson_error_at(r->err, v, "a peer's name has 1 to %zu characters",
				       sizeof(p->name) - 1);
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127 || *c == '"')
			return hujson_error_at(r->err, v,
					       "a peer's name is printable ASCII without spaces");
	snprintf(p->name, sizeof(p->name), "%s", text);
	return 0;
}

/* In base64, or as `causeway status` shows it: "nodekey:" and hex. */
static int parse_public_key(const char *text, struct key *out)
{
	static const char prefix[] = "nodekey:";
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? key_parse_hex(text + n, out)
					     : key_parse_base64(text, out);
}

static int read_public_key(const struct reader *r, const struct hujson_value *peer,
			   struct config_peer *p)
{
	const struct hujson_value *v = hujson_get(peer, "public_key");
	const char *text;
	int rc;

	if (!v)
		return hujson_error_at(r->err, peer, "the peer has no \"public_key\"");
	rc = hujson_string(v, &text, r->err);
	if (rc)
		return rc;
	if (parse_public_key(text, &p->public_key))
		return hujson_error_at(r->err, v, "\"public_key\" is no key of 32 bytes in base64");
	if (key_is_low_order(&p->public_key))
		return hujson_error_at(r->err, v, "nobody can have this public key");
	if (key_equal(&p->public_key, &r->cfg->public_key))
		return hujson_error_at(r->err, v, "this is the node's own public key");
	return 0;
}

/* *list_out is malloc'd, also with an error. */
static int read_prefixes(const struct reader *r, const struct hujson_value *list,
			 struct prefix **list_out, uint32_t *count, bool *has_v4, bool *has_v6)
{
	int rc = hujson_array(list, r->err);

	if (rc)
		return rc;
	*list_out = calloc(list->count + 1, sizeof(**list_out));
	if (!*list_out)
		return -ENOMEM;
	for (const struct hujson_value *v = list->first; v; v = v->next) {
		struct prefix *out = &(*list_out)[*count];
		char meant[PREFIX_STR_MAX];
		const char *text;

		rc = hujson_string(v, &text, r->err);
		if (rc)
			return rc;
		if (prefix_parse(text, false, out)) {
			if (prefix_parse(text, true, out))
				return hujson_error_at(r->err, v,
						       "\"%s\" is no prefix, as \"10.2.0.0/16\" "
						       "is",
						       text);
			return hujson_error_at(r->err, v,
					       "\"%s\" has bits set behind its length; is "
					       "\"%s\" meant?",
					       text, prefix_print(out, meant));
		}
		*has_v4 |= out->addr.family == AF_INET;
		*has_v6 |= out->addr.family == AF_INET6;
		++*count;
	}
	return 0;
}

static int read_endpoint(const struct reader *r, const struct hujson_value *v,
			 struct config_peer *p)
{
	const char *text;
	int rc = hujson_string(v, &text, r->err);

	if (rc)
		return rc;
	if (endpoint_parse(text, &p->endpoint) || p->endpoint.port == 0 ||
	    !is_unicast(&p->endpoint.addr))
		return hujson_error_at(r->err, v,
				       "\"%s\" is no endpoint: an address (not a name) and a port, "
				       "as \"203.0.113.2:41641\" or \"[2001:db8::2]:41641\"",
				       text);
	return 0;
}

static int read_peer(const struct reader *r, const struct hujson_value *peer, struct config_peer *p)
{
	static const char *const keys[] = {
		"name",	    "public_key",  "preshared_key_file",
		"endpoint", "allowed_ips", "persistent_keepalive",
		"mtu",	    NULL,
	};
	const struct hujson_value *v;
	bool has_v4 = false, has_v6 = false;
	int64_t n;
	int rc = hujson_object(peer, r->err);

	if (!rc)
		rc = hujson_check_keys(peer, keys, r->err);
	if (!rc && (v = hujson_get(peer, "name")))
		rc = read_name(r, v, p);
	if (!rc)
		rc = read_public_key(r, peer, p);
	if (!rc && (v = hujson_get(peer, "preshared_key_file")))
		rc = read_key_file(r, v, &p->preshared_key);
	if (!rc && (v = hujson_get(peer, "endpoint")))
		rc = read_endpoint(r, v, p);
	if (!rc && (v = hujson_get(peer, "allowed_ips")))
		rc = read_prefixes(r, v, &p->allowed, &p->allowed_count, &has_v4, &has_v6);
	if (!rc && (v = hujson_get(peer, "persistent_keepalive"))) {
		rc = hujson_int(v, 0, UINT16_MAX, &n, r->err);
		if (!rc)
			p->keepalive_s = (uint16_t)n;
	}
	p->mtu = r->cfg->mtu;
	p->mtu_place = r->cfg->mtu_place;
	v = hujson_get(peer, "mtu");
	if (!rc && v)
		rc = read_mtu(r, v, has_v6, &p->mtu, &p->mtu_place);
	else if (!rc && has_v6 && p->mtu < CONFIG_MTU_MIN_V6)
		rc = hujson_error_at(r->err, peer,
				     "the peer has IPv6 prefixes, which need an MTU of at least %d",
				     CONFIG_MTU_MIN_V6);
	return rc;
}

static size_t claims_of_prefixes(const struct node_config *cfg, const struct hujson_value *peers,
				 struct claim *claims)
{
	size_t n = 0;
	uint32_t i = 0;

	for (const struct hujson_value *p = peers->first; p; p = p->next, i++) {
		const struct hujson_value *list = hujson_get(p, "allowed_ips");
		const struct hujson_value *v = list ? list->first : NULL;

		for (uint32_t k = 0; v; v = v->next, k++)
			claims[n++] = (struct claim){&cfg->peers[i].allowed[k],
						     sizeof(struct prefix), v, i};
	}
	return n;
}

static size_t claims_of_keys(const struct node_config *cfg, const struct hujson_value *peers,
			     struct claim *claims)
{
	size_t n = 0;

	for (const struct hujson_value *p = peers->first; p; p = p->next, n++)
		claims[n] = (struct claim){cfg->peers[n].public_key.bytes, KEY_BYTES,
					   hujson_get(p, "public_key"), (uint32_t)n};
	return n;
}

static size_t claims_of_names(const struct node_config *cfg, const struct hujson_value *peers,
			      struct claim *claims)
{
	size_t n = 0;
	uint32_t i = 0;

	for (const struct hujson_value *p = peers->first; p; p = p->next, i++) {
		const struct hujson_value *name = hujson_get(p, "name");

		claims[n++] = (struct claim){cfg->peers[i].name, strlen(cfg->peers[i].name),
					     name ? name : p, i};
	}
	return n;
}

static int check_twice(const struct reader *r, const struct hujson_value *peers)
{
	const struct node_config *cfg = r->cfg;
	size_t room = cfg->peer_count;
	struct claim *claims;
	const struct claim *pair;
	int rc = 0;

	for (uint32_t i = 0; i < cfg->peer_count; i++)
		room += cfg->peers[i].allowed_count;
	claims = calloc(room + 1, sizeof(*claims));
	if (!claims)
		return -ENOMEM;
	pair = claim_find_twice(claims, claims_of_names(cfg, peers, claims));
	if (pair)
		rc = hujson_error_at(r->err, pair[1].at, "two peers are named \"%s\"",
				     cfg->peers[pair[1].peer].name);
	if (!rc) {
		pair = claim_find_twice(claims, claims_of_keys(cfg, peers, claims));
		if (pair)
			rc = hujson_error_at(r->err, pair[1].at,
					     "peer \"%s\" has this public key already",
					     cfg->peers[pair[0].peer].name);
	}
	if (!rc) {
		pair = claim_find_twice(claims, claims_of_prefixes(cfg, peers, claims));
		if (pair)
			rc = hujson_error_at(r->err, pair[1].at,
					     "\"%s\" is in the allowed_ips of peer \"%s\" already",
					     pair[1].at->text, cfg->peers[pair[0].peer].name);
	}
	free(claims);
	return rc;
}

static int read_peers(const struct reader *r, const struct hujson_value *list)
{
	struct node_config *cfg = r->cfg;
	int rc = hujson_array(list, r->err);

	if (rc)
		return rc;
	if (list->count > CONFIG_PEERS_MAX)
		return hujson_error_at(r->err, list, "more than %d peers", CONFIG_PEERS_MAX);
	cfg->peers = calloc(list->count + 1, sizeof(*cfg->peers));
	if (!cfg->peers)
		return -ENOMEM;
	for (const struct hujson_value *v = list->first; v; v = v->next) {
		struct config_peer *p = &cfg->peers[cfg->peer_count++];

		snprintf(p->name, sizeof(p->name), "peer%u", cfg->peer_count);
		rc = read_peer(r, v, p);
		if (rc)
			return rc;
	}
	return check_twice(r, list);
}

static int read_root(const struct reader *r, const struct hujson_value *root)
{
	static const char *const keys[] = {"private_key_file", "addresses", "mtu",   "lanes",
					   "masquerade",       "filter",    "peers", NULL};
	struct node_config *cfg = r->cfg;
	const struct hujson_value *v;
	int64_t lanes = 0;
	bool has_v6 = false;
	int rc = hujson_object(root, r->err);

	if (!rc)
		rc = hujson_check_keys(root, keys, r->err);
	if (!rc)
		rc = read_private_key(r, root);
	if (!rc && (v = hujson_get(root, "addresses")))
		rc = read_addresses(r, v);
	for (uint32_t i = 0; i < cfg->address_count; i++)
		has_v6 |= cfg->addresses[i].addr.family == AF_INET6;
	if (!rc && (v = hujson_get(root, "mtu")))
		rc = read_mtu(r, v, has_v6, &cfg->mtu, &cfg->mtu_place);
	if (!rc && (v = hujson_get(root, "lanes"))) {
		rc = hujson_int(v, 0, LANE_MAX, &lanes, r->err);
		cfg->lanes = (uint8_t)lanes;
	}
	if (!rc && (v = hujson_get(root, "masquerade")))
		rc = read_prefixes(r, v, &cfg->masquerade, &cfg->masquerade_count, &cfg->forwards4,
				   &cfg->forwards6);
	if (!rc && (v = hujson_get(root, "filter")))
		rc = config_filter_parse(v, &cfg->filter, r->err);
	if (!rc && (v = hujson_get(root, "peers")))
		rc = read_peers(r, v);
	return rc;
}

static struct node_config *config_new(const char *path)
{
	struct node_config *cfg = calloc(1, sizeof(*cfg));

	if (!cfg)
		return NULL;
	snprintf(cfg->source, sizeof(cfg->source), "%s", path ? path : "");
	cfg->mtu = CONFIG_MTU_DEFAULT;
	cfg->lanes = LANE_MAX;
	/* A file's rules say with their destinations what is ours, so every address is. */
	cfg->local = calloc(2, sizeof(*cfg->local));
	if (!cfg->local) {
		free(cfg);
		return NULL;
	}
	cfg->local[0].addr.family = AF_INET;
	cfg->local[1].addr.family = AF_INET6;
	cfg->local_count = 2;
	return cfg;
}

static int finish(struct node_config *cfg, int rc, const struct hujson_error *e,
		  struct node_config **out, char err[CONFIG_ERROR_MAX])
{
	if (!rc) {
		*out = cfg;
		return 0;
	}
	if (rc == -ENOMEM)
		snprintf(err, CONFIG_ERROR_MAX, "out of memory");
	else if (e->line)
		snprintf(err, CONFIG_ERROR_MAX, "%.250s:%u:%u: %s",
			 cfg->source[0] ? cfg->source : "config", e->line, e->column, e->text);
	else
		snprintf(err, CONFIG_ERROR_MAX, "%s", e->text);
	config_free(cfg);
	return rc;
}

int config_parse(const char *text, size_t len, const char *path, const char *state_dir,
		 struct node_config **out, char err[CONFIG_ERROR_MAX])
{
	struct node_config *cfg = config_new(path);
	struct hujson_error e = {0};
	struct reader r = {
		.cfg = cfg, .path = path, .state_dir = path ? state_dir : NULL, .err = &e};
	struct hujson *doc = NULL;
	int rc;

	if (!cfg)
		return -ENOMEM;
	rc = hujson_parse(text, len, &doc, &e);
	if (!rc)
		rc = read_root(&r, doc->root);
	rc = finish(cfg, rc, &e, out, err);
	if (doc)
		hujson_free(doc);
	return rc;
}

int config_load(const char *path, const char *state_dir, struct node_config **out,
		char err[CONFIG_ERROR_MAX])
{
	struct hujson_error e = {0};
	char *text;
	size_t len;
	int rc;

	if (!path) {
		struct reader r = {.cfg = config_new(NULL), .state_dir = state_dir, .err = &e};

		return r.cfg ? finish(r.cfg, read_private_key(&r, NULL), &e, out, err) : -ENOMEM;
	}
	rc = file_read_all(path, CONFIG_BYTES_MAX, &text, &len);
	if (rc) {
		snprintf(err, CONFIG_ERROR_MAX, "%.250s: %s", path, strerror(-rc));
		return rc;
	}
	rc = config_parse(text, len, path, state_dir, out, err);
	free(text);
	return rc;
}

int config_check_mtu(const struct node_config *cfg, uint32_t mtu_max, char err[CONFIG_ERROR_MAX])
{
	for (uint32_t i = 0; mtu_max && i < cfg->peer_count; i++) {
		const struct config_peer *p = &cfg->peers[i];

		if (p->mtu <= mtu_max)
			continue;
		snprintf(err, CONFIG_ERROR_MAX,
			 "%.250s:%u:%u: peer %s wants an MTU of %u, but the port carries %u",
			 cfg->source, p->mtu_place.line, p->mtu_place.column, p->name, p->mtu,
			 mtu_max);
		return -EMSGSIZE;
	}
	return 0;
}

void config_log_refused(const char *err)
{
	char text[CONFIG_ERROR_MAX];

	snprintf(text, sizeof(text), "%s", err);
	/* The value itself stands in quotes. */
	for (char *c = text; *c; c++)
		if (*c == '"')
			*c = '\'';
	log_error("config.refused", "reason=\"%s\"", text);
}

int config_local_cmp(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int c = memcmp(x->addr.bytes, y->addr.bytes, sizeof(x->addr.bytes));

	if (x->addr.family != y->addr.family)
		return x->addr.family < y->addr.family ? -1 : 1;
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

void config_free(struct node_config *cfg)
{
	if (!cfg)
		return;
	for (uint32_t i = 0; i < cfg->peer_count; i++) {
		key_wipe(&cfg->peers[i].preshared_key);
		free(cfg->peers[i].allowed);
	}
	key_wipe(&cfg->private_key);
	free(cfg->peers);
	free(cfg->addresses);
	free(cfg->local);
	free(cfg->masquerade);
	rule_list_fini(&cfg->filter);
	free(cfg);
}
