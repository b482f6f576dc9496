/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/visibility.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "lib/base/bug.h"
#include "lib/base/log.h"

struct visibility {
	struct visibility_config cfg;
	struct policy_live *live;
	struct prefix *shown; /* of the last question */
	uint32_t shown_room;
	uint8_t digest_key[crypto_shorthash_KEYBYTES]; /* routes are chosen by their nodes */
};

static void on_live(void *arg, int64_t id, unsigned what)
{
	struct visibility *v = arg;
	unsigned told = 0;

	if (what & POLICY_LIVE_EDGES)
		told |= PICTURE_EDGES;
	if (what & POLICY_LIVE_SELF)
		told |= PICTURE_SELF;
	if (what & POLICY_LIVE_FILTERS)
		told |= PICTURE_FILTERS;
	v->cfg.on_change(v->cfg.arg, id, told);
}

/* ---- nodes and users ---- */

/* NULL where there are none; the list keeps them. */
static const char **tags_of(const json_t *list, uint32_t *count)
{
	const char **tags = calloc(json_array_size(list) + 1, sizeof(*tags));
	const json_t *tag;
	size_t i;

	BUG_ON(!tags);
	*count = 0;
	json_array_foreach(list, i, tag) if (json_is_string(tag)) tags[(*count)++] =
		json_string_value(tag);
	return tags;
}

static bool is_live(const struct store_route *r)
{
	return r->prefix.addr.family && r->is_advertised && r->is_approved;
}

static void put_node(struct visibility *v, const struct picture_node *n)
{
	json_t *list = json_loads(n->row->tags, 0, NULL);
	struct policy_live_node node = {.id = n->row->id, .user = n->row->user_id};
	struct prefix *prefixes = calloc(2 * (size_t)n->route_count + 1, sizeof(*prefixes));
	const char **tags = tags_of(list, &node.tag_count);

	BUG_ON(!prefixes);
	if (node.tag_count)
		node.user = 0;
	node.tags = tags;
	store_node_addresses(n->row->address, &node.v4, &node.v6);
	node.routes = prefixes;
	node.primary = prefixes + n->route_count;
	for (unsigned i = 0; i < n->route_count; i++) {
		const struct store_route *r = n->routes[i];

		if (!is_live(r))
			continue;
		if (r->prefix.len == 0)
			node.is_exit = true;
		else
			prefixes[node.route_count++] = r->prefix;
		if (r->prefix.len && r->is_primary)
			prefixes[n->route_count + node.primary_count++] = r->prefix;
	}
	policy_live_put(v->live, &node);
	free(tags);
	free(prefixes);
	json_decref(list);
}

void visibility_user_changed(struct visibility *v, int64_t user_id)
{
	const struct store_user *u = picture_user(v->cfg.picture, user_id);

	policy_live_user(v->live, user_id, u ? u->name : NULL);
}

/* ---- approvals ---- */

static bool is_waiting(const struct store_route *r)
{
	return r && r->prefix.addr.family && r->is_advertised && !r->is_approved;
}

static void approve(struct visibility *v, const struct store_route *r)
{
	if (is_waiting(r) && policy_live_approves(v->live, r->node_id, &r->prefix))
		v->cfg.on_approve(v->cfg.arg, r->node_id, &r->prefix);
}

void visibility_route_offered(struct visibility *v, const struct store_route *r)
{
	approve(v, r);
}

static void approve_all_of(struct visibility *v, const struct picture_node *n)
{
	for (unsigned i = 0; i < n->route_count; i++)
		approve(v, n->routes[i]);
}

/* ---- the policy ---- */

static void say(const struct policy_report *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		if (!r->messages[i].is_warning)
			log_error("policy.unreadable", "at=%u:%u error=\"%s\"", r->messages[i].line,
				  r->messages[i].column, r->messages[i].text);
}

/*
 * Routes that wait and that the new policy approves. What the old one approved as well
 * waits because somebody took the approval away, and goes on waiting.
 */
static void read_policy(struct visibility *v, const struct store_doc *doc)
{
	const struct picture_rows *routes = &v->cfg.picture->routes;
	bool *was = calloc(routes->room + 1, sizeof(*was));
	struct policy_report report;
	struct policy *p;
	int rc = policy_parse(doc->text, strlen(doc->text), &p, &report);

	BUG_ON(!was || rc == -ENOMEM);
	if (rc)
		say(&report);
	policy_report_fini(&report);
	for (size_t i = 0; !rc && i < routes->room; i++) {
		const struct store_route *r = routes->at[i];

		was[i] = is_waiting(r) && policy_live_approves(v->live, r->node_id, &r->prefix);
	}
	if (!rc)
		policy_live_set(v->live, p);
	for (size_t i = 0; !rc && i < routes->room; i++)
		if (!was[i])
			approve(v, routes->at[i]);
	free(was);
}

void visibility_changed(struct visibility *v, int64_t node_id, unsigned what)
{
	const struct picture_node *n = picture_node(v->cfg.picture, node_id);

	if (!node_id) {
		if (what & PICTURE_POLICY)
			read_policy(v, v->cfg.picture->policy);
		return;
	}
	if (!n) {
		policy_live_remove(v->live, node_id);
		return;
	}
	if (what & (PICTURE_WHOLE | PICTURE_IDENTITY | PICTURE_ROUTES))
		put_node(v, n);
	if (what & PICTURE_IDENTITY)
		approve_all_of(v, n);
}

/* ---- questions ---- */

bool visibility_sees(const struct visibility *v, int64_t viewer, int64_t node)
{
	return policy_live_sees(v->live, viewer, node);
}

void visibility_shown(struct visibility *v, int64_t viewer, int64_t node,
		      struct visibility_shown *out)
{
	uint32_t n = policy_live_routes(v->live, viewer, node, v->shown, v->shown_room);

	if (n > v->shown_room) {
		v->shown = realloc(v->shown, n * sizeof(*v->shown));
		BUG_ON(!v->shown);
		v->shown_room = n;
		policy_live_routes(v->live, viewer, node, v->shown, v->shown_room);
	}
	*out = (struct visibility_shown){
		.routes = v->shown,
		.route_count = n,
		.has_ipv4 = policy_live_has_ipv4(v->live, viewer) &&
			    policy_live_has_ipv4(v->live, node),
	};
}

uint64_t visibility_variant(struct visibility *v, int64_t viewer, int64_t node)
{
	struct visibility_shown shown;
	uint64_t digest, sum;

	visibility_shown(v, viewer, node, &shown);
	if (!shown.route_count && shown.has_ipv4)
		return 0;
	sum = shown.has_ipv4 ? 1 : 2;
	for (uint32_t i = 0; i < shown.route_count; i++) {
		uint8_t text[8 + 1 + 1 + 16];

		memcpy(text, &sum, 8);
		text[8] = shown.routes[i].addr.family;
		text[9] = shown.routes[i].len;
		memcpy(text + 10, shown.routes[i].addr.bytes, 16);
		crypto_shorthash((uint8_t *)&digest, text, sizeof(text), v->digest_key);
		sum = digest;
	}
	return sum ? sum : 1;
}

struct policy_live *visibility_policy(struct visibility *v)
{
	return v->live;
}

struct visibility *visibility_new(const struct visibility_config *cfg)
{
	struct visibility *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->cfg = *cfg;
	v->live = policy_live_new(on_live, v);
	if (!v->live) {
		free(v);
		return NULL;
	}
	randombytes_buf(v->digest_key, sizeof(v->digest_key));
	return v;
}

void visibility_free(struct visibility *v)
{
	if (!v)
		return;
	policy_live_free(v->live);
	free(v->shown);
	free(v);
}
