/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/register.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/register_call.h"
#include "controlplane/coord/tags.h"
#include "lib/base/log.h"

#define LOGIN_LIFE_NS (3600ll * 1000000000)
#define LOGINS_MAX    4096 /* that wait at a time: anybody may ask for one */
#define REGISTER_PATH "/register/"

/* ---- through the store ---- */

static struct store_op *op_of(struct register_call *c, enum store_op_kind kind)
{
	char actor[16 + KEY_HEX_MAX];
	char hex[KEY_HEX_MAX];

	snprintf(actor, sizeof(actor), "machine:%.16s", key_print_hex(&c->machine, hex));
	return store_op_new(kind, c->reg->cfg.now_ns(), actor);
}

static void submit(struct register_call *c, struct store_op *op,
		   void (*done)(void *arg, struct store_op *op))
{
	op->done = done;
	op->arg = c;
	c->is_in_store = true;
	store_submit(c->reg->cfg.store, op);
}

/* False: nobody waits any more; the call is gone. */
static bool back_from_store(struct register_call *c)
{
	c->is_in_store = false;
	if (c->answer && c->reg)
		return true;
	c->answer = NULL;
	register_call_release(c);
	return false;
}

static void on_registered(void *arg, struct store_op *op)
{
	struct register_call *c = arg;
	const struct picture_node *n;

	if (!back_from_store(c))
		return;
	n = op->result ? NULL : picture_node(c->reg->cfg.picture, op->id);
	if (op->result)
		log_info("register.refused", "host=%s error=\"%s\"", c->report.host,
			 register_error_text(op->result));
	if (n)
		register_answer(c, &(struct register_verdict){.node = n});
	else
		register_answer_error(c, register_error_text(op->result));
	register_call_release(c);
}

/* The report's texts move. */
static void give_report(struct register_call *c, struct store_op *op)
{
	op->machine = c->machine;
	op->node_key = c->report.node_key;
	op->network_lock = c->report.network_lock;
	op->version = (int32_t)c->report.version;
	op->host = strdup(c->report.host);
	op->hostinfo = strdup(c->report.hostinfo);
	op->routes = strdup(c->report.routes);
	op->is_ephemeral = c->is_ephemeral;
}

static int64_t new_expiry(const struct register_call *c)
{
	const struct register_config *cfg = &c->reg->cfg;
	int64_t expiry = cfg->key_life_ns ? cfg->now_ns() + cfg->key_life_ns : 0;

	/* A client may ask for less, never for more. */
	return c->expiry_ns && (!expiry || c->expiry_ns < expiry) ? c->expiry_ns : expiry;
}

static const struct policy_live *policy(const struct register_call *c)
{
	return visibility_policy(c->reg->cfg.visibility);
}

static void by_key(struct register_call *c, const char *auth_key)
{
	struct store_op *op = op_of(c, STORE_NODE_REGISTER);

	if (!op) {
		register_answer_error(c, register_error_text(-ENOMEM));
		return;
	}
	crypto_hash_sha256(op->hash, (const uint8_t *)auth_key, strlen(auth_key));
	op->has_hash = true;
	op->expiry_ns = new_expiry(c);
	op->text = strdup(c->report.tags);
	if (!tags_are_none(c->report.tags))
		op->owners = tags_owners(policy(c), c->reg->cfg.picture, c->report.tags);
	give_report(c, op);
	submit(c, op, on_registered);
}

static void answer_url(struct register_call *c)
{
	char url[512];

	snprintf(url, sizeof(url), "%s" REGISTER_PATH "%s", c->reg->cfg.url, c->token);
	register_answer(c, &(struct register_verdict){.url = url});
}

static void on_login_made(void *arg, struct store_op *op)
{
	struct register_call *c = arg;

	if (!back_from_store(c))
		return;
	if (op->result)
		register_answer_error(c, register_error_text(op->result));
	else
		answer_url(c);
	register_call_release(c);
}

/* A URL for somebody who may admit it. The same machine and key have one at a time. */
static void by_hand(struct register_call *c)
{
	const struct picture_rows *logins = &c->reg->cfg.picture->logins;
	uint8_t random[REGISTER_TOKEN_BYTES];
	struct store_op *op;
	unsigned waiting = 0;

	for (size_t i = 0; i < logins->room; i++) {
		const struct store_login *l = logins->at[i];

		waiting += l != NULL;
		if (l && key_equal(&l->machine, &c->machine) &&
		    key_equal(&l->node_key, &c->report.node_key)) {
			snprintf(c->token, sizeof(c->token), "%s", l->token);
			answer_url(c);
			return;
		}
	}
	op = waiting < LOGINS_MAX ? op_of(c, STORE_LOGIN_CREATE) : NULL;
	/* Whose they are is asked of whoever admits it. */
	if (!op || !tags_are_defined(policy(c), c->report.tags)) {
		register_answer_error(c,
				      !op ? "too many logins wait" : register_error_text(-EPERM));
		store_op_free(op);
		return;
	}
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(c->token, sizeof(c->token), random, sizeof(random));
	op->name = strdup(c->token);
	op->tags = strdup(c->report.tags);
	give_report(c, op);
	submit(c, op, on_login_made);
}

static void on_expired(void *arg, struct store_op *op)
{
	struct register_call *c = arg;
	const struct picture_node *n;

	if (!back_from_store(c))
		return;
	n = picture_node_by_key(c->reg->cfg.picture, &c->report.node_key);
	if (op->result)
		register_answer_error(c, register_error_text(op->result));
	else
		register_answer(c, &(struct register_verdict){
					   .node = n,
					   .is_expired = !n || picture_node_is_expired(
								       n, c->reg->cfg.now_ns()),
				   });
	register_call_release(c);
}

/* A past expiry is a logout. */
static void change_expiry(struct register_call *c, const struct picture_node *n, bool is_logout)
{
	bool is_end = is_logout && n->row->is_ephemeral;
	struct store_op *op = op_of(c, is_end ? STORE_NODE_DELETE : STORE_NODE_EXPIRE);

	if (!op) {
		register_answer_error(c, register_error_text(-ENOMEM));
		return;
	}
	op->id = n->row->id;
	op->expiry_ns = is_logout ? op->now_ns : c->expiry_ns;
	submit(c, op, on_expired);
}

static void on_retagged(void *arg, struct store_op *op)
{
	struct register_call *c = arg;
	const struct picture_node *n;

	if (!back_from_store(c))
		return;
	n = op->result ? NULL : picture_node(c->reg->cfg.picture, op->id);
	if (n)
		register_answer(c, &(struct register_verdict){.node = n});
	else
		register_answer_error(c, register_error_text(op->result ? op->result : -EIO));
	register_call_release(c);
}

/*
 * A node that is in asks for other tags than it has, and may have them. Of one that may
 * not this is no error: it asks at each of its starts, also after its tags were changed.
 */
static bool is_retagged(struct register_call *c, const struct picture_node *n)
{
	const char *tags = c->report.tags;
	struct store_op *op;

	if (tags_are_none(tags) || strcmp(tags, n->row->tags) == 0)
		return false;
	if (!tags_are_for_node(policy(c), n, tags)) {
		log_info("register.tags", "node=%lld asked=%s error=\"%s\"", (long long)n->row->id,
			 tags, register_error_text(-EPERM));
		return false;
	}
	op = op_of(c, STORE_NODE_TAG);
	if (!op)
		return false;
	op->id = n->row->id;
	op->tags = strdup(tags);
	submit(c, op, on_retagged);
	return true;
}

static void known_node(struct register_call *c, const struct picture_node *n)
{
	int64_t now = c->reg->cfg.now_ns();

	if (picture_node_is_expired(n, now))
		register_answer(c, &(struct register_verdict){.node = n, .is_expired = true});
	else if (c->expiry_ns && (!n->row->expiry_ns || c->expiry_ns < n->row->expiry_ns))
		change_expiry(c, n, false);
	else if (!is_retagged(c, n))
		register_answer(c, &(struct register_verdict){.node = n});
}

/* ---- requests ---- */

/* The login that the client follows, or NULL: not there, or another machine's. */
static const struct store_login *followed(const struct register_call *c, const char *followup)
{
	const char *at = strstr(followup, REGISTER_PATH);
	const struct store_login *l =
		at ? picture_login(c->reg->cfg.picture, at + strlen(REGISTER_PATH)) : NULL;

	return l && key_equal(&l->machine, &c->machine) ? l : NULL;
}

static void decide(struct register_call *c, const char *auth_key, const char *followup)
{
	struct registrar *r = c->reg;
	const struct picture_node *n = picture_node_by_key(r->cfg.picture, &c->report.node_key);
	const struct store_login *l;
	int64_t now = r->cfg.now_ns();

	if (n && !key_equal(&n->row->machine, &c->machine)) {
		log_warn("register.stolen", "node=%lld", (long long)n->row->id);
		register_answer_error(c, register_error_text(-EADDRINUSE));
	} else if (c->expiry_ns && c->expiry_ns <= now) {
		if (n)
			change_expiry(c, n, true);
		else
			register_answer(c, &(struct register_verdict){.is_expired = true});
	} else if (n) {
		known_node(c, n);
	} else if (auth_key[0]) {
		by_key(c, auth_key);
	} else if ((l = followed(c, followup))) {
		/* Held until the picture shows what became of it. */
		snprintf(c->token, sizeof(c->token), "%s", l->token);
	} else {
		by_hand(c);
	}
}

static int read_request(struct register_call *c, const json_t *root, struct json_in *in,
			const char **auth_key, const char **followup)
{
	json_in_string(in, root, "Followup", followup);
	json_in_string(in, json_in_object(in, root, "Auth"), "AuthKey", auth_key);
	json_in_time(in, root, "Expiry", &c->expiry_ns);
	json_in_bool(in, root, "Ephemeral", &c->is_ephemeral);
	return node_report_read(in, root, &c->report);
}

struct register_call *registrar_request(struct registrar *r, const struct key *machine,
					const char *body, size_t len, register_answer_fn *answer_fn,
					void *arg)
{
	struct register_call *c = calloc(1, sizeof(*c));
	const char *auth_key = "", *followup = "";
	struct json_in in = {0};
	json_t *root;

	if (!c) {
		answer_fn(arg, 500, "out of memory", 13);
		return NULL;
	}
	c->reg = r;
	c->machine = *machine;
	c->answer = answer_fn;
	c->arg = arg;
	c->next = r->calls;
	c->prev = &r->calls;
	if (c->next)
		c->next->prev = &c->next;
	r->calls = c;
	root = json_in_parse(&in, body, len);
	if (!root || read_request(c, root, &in, &auth_key, &followup))
		register_answer_text(c, 400, in.error, strlen(in.error));
	else
		decide(c, auth_key, followup);
	json_decref(root);
	if (c->answer)
		return c;
	register_call_release(c);
	return NULL;
}

void registrar_node_changed(struct registrar *r, int64_t node_id)
{
	const struct picture_node *n = picture_node(r->cfg.picture, node_id);
	struct register_call *c, *next;

	for (c = n ? r->calls : NULL; c; c = next) {
		next = c->next;
		if (c->is_in_store || !c->token[0] ||
		    !key_equal(&c->report.node_key, &n->row->node_key))
			continue;
		register_answer(c, &(struct register_verdict){.node = n});
		register_call_release(c);
	}
}

void registrar_login_gone(struct registrar *r, const struct store_login *l)
{
	struct register_call *c, *next;

	/* Who was admitted has been answered: the node came first. The rest get a new URL. */
	for (c = r->calls; c; c = next) {
		next = c->next;
		if (c->is_in_store || strcmp(c->token, l->token) != 0)
			continue;
		by_hand(c);
		register_call_release(c);
	}
}

void registrar_prune(struct registrar *r)
{
	const struct picture_rows *logins = &r->cfg.picture->logins;
	int64_t before = r->cfg.now_ns() - LOGIN_LIFE_NS;
	struct store_op *op;

	for (size_t i = 0; i < logins->room; i++) {
		const struct store_login *l = logins->at[i];

		if (!l || l->created_ns >= before)
			continue;
		op = store_op_new(STORE_LOGIN_PRUNE, r->cfg.now_ns(), "coordinator");
		if (op) {
			op->expiry_ns = before;
			store_submit(r->cfg.store, op);
		}
		return;
	}
}

struct registrar *registrar_new(const struct register_config *cfg)
{
	struct registrar *r = calloc(1, sizeof(*r));

	if (r)
		r->cfg = *cfg;
	return r;
}

void registrar_free(struct registrar *r)
{
	struct register_call *c, *next;

	for (c = r ? r->calls : NULL; c; c = next) {
		next = c->next;
		register_call_unlink(c);
		c->answer = NULL;
		c->reg = NULL;
		register_call_release(c);
	}
	free(r);
}
