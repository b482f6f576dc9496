/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/coord.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "controlplane/coord/dns_doc.h"
#include "controlplane/coord/store_sqlite.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define PRUNE_MS (5 * 60 * 1000)

static int64_t wall_ns(void)
{
	return (int64_t)clock_wall_ns();
}

static void submit(struct coord *c, enum store_op_kind kind, int64_t id, const char *text)
{
	struct store_op *op = store_op_new(kind, wall_ns(), "coordinator");

	if (!op)
		return;
	op->id = id;
	op->text = text ? strdup(text) : NULL;
	store_submit(c->store, op);
}

/* ---- presence ---- */

/* Another node that is there and may carry the prefix; 0: none. */
static int64_t stand_in(const struct coord *c, const struct store_route *of)
{
	const struct picture_rows *routes = &c->picture.routes;

	for (size_t i = 0; i < routes->room; i++) {
		const struct store_route *r = routes->at[i];

		if (r && r->node_id != of->node_id && r->is_advertised && r->is_approved &&
		    prefix_equal(&r->prefix, &of->prefix) && maps_is_online(c->maps, r->node_id))
			return r->node_id;
	}
	return 0;
}

static void fail_over(struct coord *c, const struct picture_node *n)
{
	char prefix[PREFIX_STR_MAX];

	for (unsigned i = 0; i < n->route_count; i++) {
		int64_t to = n->routes[i]->is_primary ? stand_in(c, n->routes[i]) : 0;

		if (!to)
			continue;
		prefix_print(&n->routes[i]->prefix, prefix);
		log_info("route.failover", "prefix=%s from=%lld to=%lld", prefix,
			 (long long)n->row->id, (long long)to);
		submit(c, STORE_ROUTE_PRIMARY, to, prefix);
	}
}

/* Who comes takes over what its primary left without a stand-in. */
static void take_over(struct coord *c, const struct picture_node *n)
{
	const struct picture_rows *routes = &c->picture.routes;
	char prefix[PREFIX_STR_MAX];

	for (unsigned i = 0; i < n->route_count; i++) {
		const struct store_route *own = n->routes[i];

		if (own->is_primary || !own->is_approved || !own->is_advertised)
			continue;
		for (size_t k = 0; k < routes->room; k++) {
			const struct store_route *r = routes->at[k];

			if (r && r->is_primary && prefix_equal(&r->prefix, &own->prefix) &&
			    maps_is_absent(c->maps, r->node_id))
				submit(c, STORE_ROUTE_PRIMARY, n->row->id,
				       prefix_print(&own->prefix, prefix));
		}
	}
}

static void on_presence(void *arg, int64_t node_id, bool is_online, bool is_change)
{
	struct coord *c = arg;
	const struct picture_node *n = picture_node(&c->picture, node_id);

	if (!n)
		return;
	log_info("node.presence", "node=%lld name=%s online=%d", (long long)node_id, n->row->name,
		 is_online);
	if (is_online) {
		take_over(c, n);
		return;
	}
	if (n->row->is_ephemeral) {
		submit(c, STORE_NODE_DELETE, node_id, NULL);
		return;
	}
	if (is_change)
		submit(c, STORE_NODE_SEEN, node_id, NULL);
	fail_over(c, n);
}

/* ---- the store's voice ---- */

static void on_change(void *arg, struct store_change *change)
{
	picture_apply(&((struct coord *)arg)->picture, change);
}

static void on_picture(void *arg, int64_t node_id, unsigned what)
{
	struct coord *c = arg;

	visibility_changed(c->visibility, node_id, what);
	if (!c->is_ready)
		return;
	maps_changed(c->maps, node_id, what);
	if (node_id && (what & PICTURE_WHOLE))
		registrar_node_changed(c->registrar, node_id);
}

static void on_user(void *arg, int64_t user_id)
{
	visibility_user_changed(((struct coord *)arg)->visibility, user_id);
}

static void on_route_offered(void *arg, const struct store_route *r)
{
	visibility_route_offered(((struct coord *)arg)->visibility, r);
}

/* ---- what follows from it by the policy ---- */

static void on_visibility(void *arg, int64_t node_id, unsigned what)
{
	struct coord *c = arg;

	if (!c->is_ready)
		return;
	if (node_id)
		maps_changed(c->maps, node_id, what);
	else
		maps_filters_changed(c->maps);
}

/* Not while the first picture is read: what waits in it was decided before. */
static void on_approve(void *arg, int64_t node_id, const struct prefix *route)
{
	struct coord *c = arg;
	char prefix[PREFIX_STR_MAX];
	struct store_op *op;

	if (!c->is_ready)
		return;
	op = store_op_new(STORE_ROUTE_APPROVE, wall_ns(), "policy");
	if (!op)
		return;
	op->id = node_id;
	op->text = strdup(prefix_print(route, prefix));
	op->is_approved = true;
	store_submit(c->store, op);
}

static void on_login_gone(void *arg, const struct store_login *l)
{
	struct coord *c = arg;

	if (c->is_ready)
		registrar_login_gone(c->registrar, l);
}

static void on_prune(uv_timer_t *t)
{
	registrar_prune(((struct coord *)t->data)->registrar);
}

static void random_fill(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	randombytes_buf(buf, len);
}

static const struct wg_random the_random = {.fill = random_fill};

/* Clients look for a second key and use it for nothing; it must stay the same. */
static void legacy_public(const struct key *server_key, struct key *out)
{
	struct key secret;

	crypto_generichash(secret.bytes, KEY_BYTES, server_key->bytes, KEY_BYTES,
			   (const uint8_t *)"causeway legacy k", 16);
	crypto_scalarmult_base(out->bytes, secret.bytes);
	key_wipe(&secret);
}

static int open_server(struct coord *c)
{
	struct ts2021_server_config cfg = {
		.loop = c->cfg.loop,
		.private_key = c->cfg.server_key,
		.version_min = 0,
		.random = &the_random,
		.handler = &coord_handler,
		.arg = c,
	};
	int rc;

	legacy_public(&cfg.private_key, &cfg.legacy_public);
	rc = ts2021_server_new(&cfg, &c->server);
	key_wipe(&cfg.private_key);
	return rc;
}

/* Nodes come in when it is in force. */
static void on_policy_stored(void *arg, struct store_op *op)
{
	struct coord *c = arg;

	if (c->is_closing)
		return;
	if (!op->result)
		log_info("policy.set", "version=%lld from=file", (long long)op->id);
	else if (op->result != -EEXIST)
		log_error("policy.set", "error=\"%s\"", strerror(-op->result));
	c->cfg.on_ready(c->cfg.arg);
}

/* A file that was stored before is no news: what was set since stays in force. */
static void set_policy(struct coord *c)
{
	struct store_op *op = store_op_new(STORE_DOC_SET, wall_ns(), "file");

	if (!op) {
		c->cfg.on_failed(c->cfg.arg, -ENOMEM);
		return;
	}
	op->id = STORE_DOC_POLICY;
	op->text = strdup(c->cfg.policy);
	op->is_new_only = true;
	op->done = on_policy_stored;
	op->arg = c;
	store_submit(c->store, op);
}

static void on_store_ready(void *arg)
{
	struct coord *c = arg;

	/* The store goes on until its thread ends: nobody wants to know any more. */
	if (c->is_closing)
		return;
	c->is_ready = true;
	if (c->cfg.policy) {
		set_policy(c);
		return;
	}
	if (!c->picture.policy)
		log_warn("policy.none", "effect=\"nothing passes, no node sees another\"");
	c->cfg.on_ready(c->cfg.arg);
}

static void on_store_failed(void *arg, int err)
{
	struct coord *c = arg;

	log_error("store.failed", "error=\"%s\"", strerror(-err));
	if (c->is_closing)
		return;
	c->cfg.on_failed(c->cfg.arg, err);
}

int coord_open(struct coord *c, const struct coord_config *cfg)
{
	static const struct store_events events = {on_change, on_store_ready, on_store_failed};
	struct maps_config maps = {
		.loop = cfg->loop,
		.picture = &c->picture,
		.sink = &coord_sink,
		.derp_map = cfg->derp_map,
		.on_presence = on_presence,
		.arg = c,
	};
	struct register_config reg = {
		.picture = &c->picture,
		.url = cfg->url,
		.key_life_ns = cfg->key_life_ns,
		.now_ns = wall_ns,
	};
	const struct visibility_config visibility = {
		.picture = &c->picture,
		.on_change = on_visibility,
		.on_approve = on_approve,
		.arg = c,
	};
	struct store_backend *backend;
	struct hujson_error err;
	int rc;

	*c = (struct coord){.cfg = *cfg};
	rc = picture_init(&c->picture, cfg->domain);
	if (!rc)
		rc = dns_doc_read("{}", 2, cfg->domain, &c->dns_plain, &err);
	if (rc)
		return rc;
	c->picture.dns_default = cfg->dns ? cfg->dns : c->dns_plain;
	c->picture.on_change = on_picture;
	c->picture.on_login_gone = on_login_gone;
	c->picture.on_user = on_user;
	c->picture.on_route_offered = on_route_offered;
	c->picture.arg = c;
	uv_timer_init(cfg->loop, &c->prune);
	c->prune.data = c;
	c->visibility = visibility_new(&visibility);
	maps.visibility = c->visibility;
	rc = c->visibility ? open_server(c) : -ENOMEM;
	if (!rc)
		rc = maps_open(&maps, &c->maps);
	backend = rc ? NULL : store_sqlite_new(cfg->database);
	if (!rc)
		rc = backend ? store_open(cfg->loop, backend, &events, c, &c->store) : -ENOMEM;
	if (rc)
		return rc;
	reg.store = c->store;
	reg.visibility = c->visibility;
	c->registrar = registrar_new(&reg);
	if (!c->registrar)
		return -ENOMEM;
	return uv_timer_start(&c->prune, on_prune, PRUNE_MS, PRUNE_MS);
}

void coord_close(struct coord *c)
{
	if (c->prune.data)
		uv_close((uv_handle_t *)&c->prune, NULL);
	/* Streams first: what they leave behind still reaches the store. */
	maps_close(c->maps);
	if (c->server)
		ts2021_server_close(c->server);
	store_close(c->store);
	c->is_ready = false;
	c->is_closing = true;
}

void coord_fini(struct coord *c)
{
	registrar_free(c->registrar);
	visibility_free(c->visibility);
	picture_fini(&c->picture);
	free(c->dns_plain);
	key_wipe(&c->cfg.server_key);
}
