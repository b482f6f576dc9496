/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/admin.h"
#include "controlplane/coord/dns_doc.h"
#include "controlplane/coord/policy_doc.h"
#include "controlplane/coord/tags.h"
#include "controlplane/tailcfg/json_in.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/base/json_out.h"

#define KEY_PREFIX    "tskey-auth-"
#define SECRET_BYTES  32
#define SECRET_HEX    (2 * SECRET_BYTES + 1)
#define KEY_DEFAULT_S 3600
#define AUDIT_LINES   1000
#define LABEL_MAX     63

/* A request on its way to the store and back. */
struct errand {
	struct coord *coord;
	struct admin_conn *conn;
	char secret[sizeof(KEY_PREFIX) + SECRET_HEX]; /* of a new key: shown once */
	char *messages;	 /* of a policy: lines; NULL: nothing was looked at */
	bool is_dry_run; /* that it could be done is all that is asked */
};

static void errand_free(struct errand *e)
{
	free(e->messages);
	sodium_memzero(e, sizeof(*e));
	free(e);
}

static void on_done(void *arg, struct store_op *op)
{
	struct errand *e = arg;
	struct json_out j;

	if (op->result) {
		admin_refuse(e->conn, op->result, "not done");
	} else if (op->kind == STORE_AUDIT_LIST) {
		admin_answer(e->conn, op->text, strlen(op->text));
		op->text = NULL;
	} else {
		json_out_init(&j);
		json_out_object(&j, NULL);
		json_out_i64(&j, "id", e->is_dry_run ? 0 : op->id);
		if (e->secret[0])
			json_out_string(&j, "key", e->secret);
		if (e->messages && e->messages[0])
			json_out_string(&j, "warnings", e->messages);
		json_out_end(&j);
		admin_answer(e->conn, j.text, j.len);
	}
	errand_free(e);
}

/* ---- what a verb needs; each notes what is wrong ---- */

static char *need_text(struct json_in *in, const json_t *root, const char *key)
{
	const char *text = "";

	json_in_string(in, root, key, &text);
	if (!text[0])
		json_in_fail(in, key, "a text");
	return strdup(text);
}

static bool is_label(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > LABEL_MAX || name[0] == '-' || name[n - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static int64_t need_user(struct json_in *in, const json_t *root, const struct coord *c)
{
	const struct store_user *u;
	const char *name = "";

	json_in_string(in, root, "user", &name);
	u = picture_user_by_name(&c->picture, name);
	if (!u)
		json_in_fail(in, "user", "the name of a user");
	return u ? u->id : 0;
}

/* By name or by number. */
static int64_t need_node(struct json_in *in, const json_t *root, const struct coord *c)
{
	const char *name = "";
	char number[24];

	json_in_string(in, root, "node", &name);
	for (size_t i = 0; i < c->picture.nodes.room; i++) {
		const struct picture_node *n = c->picture.nodes.at[i];

		snprintf(number, sizeof(number), "%zu", i);
		if (n && (strcmp(n->row->name, name) == 0 || strcmp(number, name) == 0))
			return (int64_t)i;
	}
	json_in_fail(in, "node", "the name or number of a node");
	return 0;
}

static char *read_tags(struct json_in *in, const json_t *root)
{
	json_t *tags = json_in_list(in, root, "tags"), *tag;
	size_t i;

	json_array_foreach(tags, i, tag)
	{
		const char *text = json_is_string(tag) ? json_string_value(tag) : "";

		if (strncmp(text, "tag:", 4) != 0 || !is_label(text + 4))
			json_in_fail(in, "tags", "a list of tag:name");
	}
	return tags ? json_dumps(tags, JSON_COMPACT) : NULL;
}

/* ---- verbs: fill the operation in ---- */

struct verb_input {
	struct json_in *in;
	const json_t *root;
	const struct coord *coord;
	struct errand *errand;
};

static void user_create(struct verb_input *v, struct store_op *op)
{
	op->name = need_text(v->in, v->root, "name");
}

static void user_rename(struct verb_input *v, struct store_op *op)
{
	op->id = need_user(v->in, v->root, v->coord);
	op->name = need_text(v->in, v->root, "name");
}

static void user_delete(struct verb_input *v, struct store_op *op)
{
	op->id = need_user(v->in, v->root, v->coord);
}

static void key_create(struct verb_input *v, struct store_op *op)
{
	uint8_t secret[SECRET_BYTES];
	char hex[SECRET_HEX];
	int64_t life_s = KEY_DEFAULT_S;

	op->id = need_user(v->in, v->root, v->coord);
	op->tags = read_tags(v->in, v->root);
	json_in_bool(v->in, v->root, "reusable", &op->is_reusable);
	json_in_bool(v->in, v->root, "ephemeral", &op->is_ephemeral);
	json_in_i64(v->in, v->root, "life_s", 1, 10ll * 365 * 86400, &life_s);
	op->expiry_ns = op->now_ns + life_s * (int64_t)NS_PER_SEC;
	randombytes_buf(secret, sizeof(secret));
	sodium_bin2hex(hex, sizeof(hex), secret, sizeof(secret));
	snprintf(v->errand->secret, sizeof(v->errand->secret), KEY_PREFIX "%s", hex);
	/* Random already: a slow hash would only cost the coordinator. */
	crypto_hash_sha256(op->hash, (const uint8_t *)v->errand->secret, strlen(v->errand->secret));
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(hex, sizeof(hex));
}

static void by_id(struct verb_input *v, struct store_op *op)
{
	if (!json_in_i64(v->in, v->root, "id", 1, INT64_MAX, &op->id))
		json_in_fail(v->in, "id", "a number");
}

static void node_register(struct verb_input *v, struct store_op *op)
{
	int64_t life = v->coord->cfg.key_life_ns, user = need_user(v->in, v->root, v->coord);
	const struct store_login *l;

	op->user = need_text(v->in, v->root, "user");
	op->name = need_text(v->in, v->root, "token");
	l = op->name ? picture_login(&v->coord->picture, op->name) : NULL;
	if (l && !tags_are_of_user(visibility_policy(v->coord->visibility), user, l->tags))
		json_in_fail(v->in, "user", "an owner of the tags that the node asks for");
	op->expiry_ns = life ? op->now_ns + life : 0;
}

static void node_rename(struct verb_input *v, struct store_op *op)
{
	op->id = need_node(v->in, v->root, v->coord);
	op->name = need_text(v->in, v->root, "name");
	if (op->name && op->name[0] && !is_label(op->name))
		json_in_fail(v->in, "name", "a label: a-z, 0-9 and - inside");
}

static void node_expire(struct verb_input *v, struct store_op *op)
{
	op->id = need_node(v->in, v->root, v->coord);
	op->expiry_ns = op->now_ns;
}

static void node_tag(struct verb_input *v, struct store_op *op)
{
	op->id = need_node(v->in, v->root, v->coord);
	op->tags = read_tags(v->in, v->root);
}

static void node_delete(struct verb_input *v, struct store_op *op)
{
	op->id = need_node(v->in, v->root, v->coord);
}

static void route(struct verb_input *v, struct store_op *op)
{
	const char *text = "";
	char canonical[PREFIX_STR_MAX];
	struct prefix p;

	op->id = need_node(v->in, v->root, v->coord);
	json_in_string(v->in, v->root, "prefix", &text);
	if (prefix_parse(text, false, &p))
		json_in_fail(v->in, "prefix", "a prefix without host bits");
	else
		op->text = strdup(prefix_print(&p, canonical));
}

static void route_approve(struct verb_input *v, struct store_op *op)
{
	route(v, op);
	op->is_approved = true;
}

/* What is wrong with a document, and where. */
static void doc_fail(struct verb_input *v, unsigned line, unsigned column, const char *text)
{
	const char *file = "document";

	json_in_string(v->in, v->root, "file", &file);
	if (!json_in_failed(v->in))
		snprintf(v->in->error, sizeof(v->in->error), "%.80s:%u:%u: %.150s", file, line,
			 column, text);
}

static void derp_set(struct verb_input *v, struct store_op *op)
{
	char *text = need_text(v->in, v->root, "text");
	json_error_t err;
	json_t *map = json_loads(text ? text : "", 0, &err);

	if (!map)
		doc_fail(v, (unsigned)err.line, (unsigned)err.column, err.text);
	else if (!json_is_object(json_in_get(map, "Regions")))
		doc_fail(v, 1, 1, "a DERP map is an object with Regions");
	op->id = STORE_DOC_DERP;
	op->text = map ? json_dumps(map, JSON_COMPACT) : NULL;
	json_decref(map);
	free(text);
}

static void dns_set(struct verb_input *v, struct store_op *op)
{
	struct hujson_error err;
	char *config = NULL;

	op->id = STORE_DOC_DNS;
	op->text = need_text(v->in, v->root, "text");
	if (op->text &&
	    dns_doc_read(op->text, strlen(op->text), v->coord->picture.domain, &config, &err))
		doc_fail(v, err.line, err.column, err.text);
	free(config);
}

/* All that is wrong with it, or nothing is set. */
static void policy_set(struct verb_input *v, struct store_op *op)
{
	const char *file = "policy";

	json_in_string(v->in, v->root, "file", &file);
	json_in_bool(v->in, v->root, "dry_run", &v->errand->is_dry_run);
	op->id = STORE_DOC_POLICY;
	op->text = need_text(v->in, v->root, "text");
	if (!json_in_failed(v->in) && op->text &&
	    policy_doc_check(visibility_policy(v->coord->visibility), file, op->text,
			     &v->errand->messages))
		json_in_fail(v->in, "text", "a policy without errors");
}

static void backup(struct verb_input *v, struct store_op *op)
{
	op->name = need_text(v->in, v->root, "file");
	if (op->name && op->name[0] != '/')
		json_in_fail(v->in, "file", "an absolute path");
}

static void audit(struct verb_input *v, struct store_op *op)
{
	(void)v;
	op->id = AUDIT_LINES;
}

static const struct {
	const char *name;
	enum store_op_kind kind;
	void (*fill)(struct verb_input *v, struct store_op *op);
} verbs[] = {
	{"users/create", STORE_USER_CREATE, user_create},
	{"users/rename", STORE_USER_RENAME, user_rename},
	{"users/delete", STORE_USER_DELETE, user_delete},
	{"keys/create", STORE_KEY_CREATE, key_create},
	{"keys/expire", STORE_KEY_EXPIRE, by_id},
	{"keys/delete", STORE_KEY_DELETE, by_id},
	{"nodes/register", STORE_NODE_REGISTER, node_register},
	{"nodes/rename", STORE_NODE_RENAME, node_rename},
	{"nodes/expire", STORE_NODE_EXPIRE, node_expire},
	{"nodes/tag", STORE_NODE_TAG, node_tag},
	{"nodes/delete", STORE_NODE_DELETE, node_delete},
	{"routes/approve", STORE_ROUTE_APPROVE, route_approve},
	{"routes/withdraw", STORE_ROUTE_APPROVE, route},
	{"derp/set", STORE_DOC_SET, derp_set},
	{"dns/set", STORE_DOC_SET, dns_set},
	{"policy/set", STORE_DOC_SET, policy_set},
	{"backup", STORE_BACKUP, backup},
	{"audit", STORE_AUDIT_LIST, audit},
};

static void start(struct coord *c, struct admin_conn *conn, unsigned index, struct json_in *in,
		  const json_t *root, uint32_t uid)
{
	struct errand *e = calloc(1, sizeof(*e));
	char actor[32];
	struct store_op *op;

	snprintf(actor, sizeof(actor), "uid:%u", uid);
	op = store_op_new(verbs[index].kind, (int64_t)clock_wall_ns(), actor);
	if (!e || !op) {
		free(e);
		store_op_free(op);
		admin_refuse(conn, -ENOMEM, "out of memory");
		return;
	}
	e->coord = c;
	e->conn = conn;
	verbs[index].fill(&(struct verb_input){in, root, c, e}, op);
	if (json_in_failed(in)) {
		admin_refuse(conn, -EINVAL,
			     e->messages && e->messages[0] ? e->messages : in->error);
		errand_free(e);
		store_op_free(op);
		return;
	}
	if (e->is_dry_run) {
		on_done(e, op);
		store_op_free(op);
		return;
	}
	op->done = on_done;
	op->arg = e;
	store_submit(c->store, op);
}

bool admin_verb(struct coord *c, struct admin_conn *conn, const char *verb, const char *body,
		size_t len, uint32_t uid)
{
	struct json_in in = {0};
	json_t *root;
	unsigned i = 0;

	while (i < ARRAY_SIZE(verbs) && strcmp(verbs[i].name, verb) != 0)
		i++;
	if (i == ARRAY_SIZE(verbs))
		return false;
	root = json_in_parse(&in, len ? body : "{}", len ? len : 2);
	if (root)
		start(c, conn, i, &in, root, uid);
	else
		admin_refuse(conn, -EINVAL, in.error);
	json_decref(root);
	return true;
}
