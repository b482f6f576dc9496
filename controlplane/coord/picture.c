/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/dns_doc.h"
#include "controlplane/coord/map_node.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"

#define BY_KEY_FIRST 256

static void *row_at(const struct picture_rows *rows, int64_t id)
{
	return id > 0 && (uint64_t)id < rows->room ? rows->at[id] : NULL;
}

/* Want of memory would leave the picture wrong for ever. */
static void **row_slot(struct picture_rows *rows, int64_t id)
{
	BUG_ON(id <= 0);
	if ((uint64_t)id >= rows->room) {
		size_t room = ((size_t)id + 1) * 2;
		void **at = realloc(rows->at, room * sizeof(*at));

		BUG_ON(!at);
		memset(at + rows->room, 0, (room - rows->room) * sizeof(*at));
		rows->at = at;
		rows->room = room;
	}
	return &rows->at[id];
}

/* ---- node keys ---- */

/* Keys are points that their owners may choose: a bad choice of many costs a long chain. */
static struct picture_node **chain(const struct picture *p, const struct key *k)
{
	uint64_t h;

	memcpy(&h, k->bytes + 8, sizeof(h));
	h *= 0x9e3779b97f4a7c15ull;
	return &p->by_key[(h >> 32) & p->by_key_mask];
}

static void key_link(struct picture *p, struct picture_node *n)
{
	struct picture_node **at = chain(p, &n->row->node_key);

	n->next_by_key = *at;
	*at = n;
}

static void key_unlink(struct picture *p, struct picture_node *n)
{
	struct picture_node **at = chain(p, &n->row->node_key);

	while (*at != n)
		at = &(*at)->next_by_key;
	*at = n->next_by_key;
}

static void key_grow(struct picture *p)
{
	size_t room = 2 * (p->by_key_mask + 1);
	struct picture_node **table = calloc(room, sizeof(*table));

	/* The old one only gets slower. */
	if (!table)
		return;
	free(p->by_key);
	p->by_key = table;
	p->by_key_mask = room - 1;
	for (size_t i = 0; i < p->nodes.room; i++)
		if (p->nodes.at[i])
			key_link(p, p->nodes.at[i]);
}

/* ---- nodes ---- */

static void tell(struct picture *p, int64_t node_id, unsigned what)
{
	if (what && p->on_change)
		p->on_change(p->arg, node_id, what);
}

/* What peers would see of it now; whether that is new. */
static bool refresh_fixed(struct picture *p, struct picture_node *n)
{
	char *fixed = map_node_fixed(n, p->domain);
	bool is_new = !n->fixed || !fixed || strcmp(n->fixed, fixed) != 0;

	free(n->fixed);
	n->fixed = fixed;
	return is_new;
}

static unsigned differences(const struct store_node *a, const struct store_node *b)
{
	unsigned what = 0;

	if (strcmp(a->endpoints, b->endpoints) != 0)
		what |= PICTURE_ENDPOINTS;
	if (a->home != b->home)
		what |= PICTURE_HOME;
	if (!key_equal(&a->disco, &b->disco))
		what |= PICTURE_DISCO;
	if (a->user_id != b->user_id || strcmp(a->tags, b->tags) != 0)
		what |= PICTURE_IDENTITY;
	if (a->expiry_ns != b->expiry_ns)
		what |= PICTURE_SELF;
	return what;
}

static void node_free(struct picture_node *n)
{
	store_row_free(STORE_NODE, n->row);
	free(n->routes);
	free(n->fixed);
	free(n);
}

static void node_gone(struct picture *p, int64_t id)
{
	struct picture_node *n = picture_node(p, id);

	if (!n)
		return;
	key_unlink(p, n);
	p->nodes.at[id] = NULL;
	p->node_count--;
	node_free(n);
	tell(p, id, PICTURE_WHOLE);
}

static void node_changed(struct picture *p, struct store_node *row)
{
	struct picture_node *n = picture_node(p, row->id);
	unsigned what = PICTURE_WHOLE | PICTURE_IDENTITY;

	if (n) {
		what = differences(n->row, row);
		key_unlink(p, n);
		store_row_free(STORE_NODE, n->row);
		n->row = row;
		key_link(p, n);
		if (refresh_fixed(p, n))
			what |= PICTURE_WHOLE;
	} else {
		n = calloc(1, sizeof(*n));
		BUG_ON(!n);
		n->row = row;
		*row_slot(&p->nodes, row->id) = n;
		key_link(p, n);
		refresh_fixed(p, n);
		if (++p->node_count > p->by_key_mask)
			key_grow(p);
	}
	tell(p, row->id, what);
}

/* ---- routes ---- */

static void route_detach(struct picture_node *n, const struct store_route *r)
{
	for (unsigned i = 0; i < n->route_count; i++) {
		if (n->routes[i] == r) {
			memmove(&n->routes[i], &n->routes[i + 1],
				(n->route_count - i - 1) * sizeof(n->routes[0]));
			n->route_count--;
			return;
		}
	}
}

static void route_attach(struct picture_node *n, struct store_route *r)
{
	struct store_route **routes =
		realloc(n->routes, (n->route_count + 1) * sizeof(n->routes[0]));

	BUG_ON(!routes);
	n->routes = routes;
	routes[n->route_count++] = r;
}

static void route_changed(struct picture *p, int64_t id, struct store_route *row)
{
	struct store_route *old = row_at(&p->routes, id);
	int64_t node_id = row ? row->node_id : old ? old->node_id : 0;
	struct picture_node *n = picture_node(p, node_id);
	bool is_offered;

	*row_slot(&p->routes, id) = row;
	if (n && old)
		route_detach(n, old);
	if (n && row)
		route_attach(n, row);
	is_offered =
		row && row->is_advertised && !row->is_approved && (!old || !old->is_advertised);
	store_row_free(STORE_ROUTE, old);
	if (!n)
		return;
	tell(p, node_id, PICTURE_ROUTES);
	if (is_offered && p->on_route_offered)
		p->on_route_offered(p->arg, row);
}

/* ---- the rest ---- */

static void login_changed(struct picture *p, int64_t id, struct store_login *row)
{
	void **slot = row_slot(&p->logins, id);
	struct store_login *old = *slot;

	*slot = row;
	if (old && !row && p->on_login_gone)
		p->on_login_gone(p->arg, old);
	store_row_free(STORE_LOGIN, old);
}

static void plain_changed(struct picture_rows *rows, const struct store_change *c)
{
	void **slot = row_slot(rows, c->id);

	store_row_free(c->table, *slot);
	*slot = c->row;
}

/* It was read when it was set, but for the same domain? */
static void read_dns(struct picture *p)
{
	struct hujson_error err;
	char *config;

	if (dns_doc_read(p->dns->text, strlen(p->dns->text), p->domain, &config, &err)) {
		log_error("dns.stored", "version=%lld line=%u column=%u error=\"%s\"",
			  (long long)p->dns->id, err.line, err.column, err.text);
		return;
	}
	free(p->dns_config);
	p->dns_config = config;
}

/* One who is new has no nodes yet; its name goes out with the first of them. */
static void user_changed(struct picture *p, const struct store_change *c)
{
	bool is_new = !picture_user(p, c->id);

	plain_changed(&p->users, c);
	if (p->on_user)
		p->on_user(p->arg, c->id);
	if (!is_new)
		tell(p, 0, PICTURE_USERS);
}

static void doc_changed(struct picture *p, struct store_doc *doc)
{
	struct store_doc **slot = !doc				  ? NULL
				  : doc->kind == STORE_DOC_DERP	  ? &p->derp
				  : doc->kind == STORE_DOC_DNS	  ? &p->dns
				  : doc->kind == STORE_DOC_POLICY ? &p->policy
								  : NULL;

	if (!slot || (*slot && (*slot)->id > doc->id)) {
		store_row_free(STORE_DOC, doc);
		return;
	}
	store_row_free(STORE_DOC, *slot);
	*slot = doc;
	if (slot == &p->dns)
		read_dns(p);
	tell(p, 0,
	     slot == &p->dns	? PICTURE_DNS
	     : slot == &p->derp ? PICTURE_DERP
				: PICTURE_POLICY);
}

void picture_apply(struct picture *p, struct store_change *c)
{
	switch (c->table) {
	case STORE_USER:
		user_changed(p, c);
		break;
	case STORE_NODE:
		if (c->row)
			node_changed(p, c->row);
		else
			node_gone(p, c->id);
		break;
	case STORE_KEY:
		plain_changed(&p->keys, c);
		break;
	case STORE_ROUTE:
		route_changed(p, c->id, c->row);
		break;
	case STORE_LOGIN:
		login_changed(p, c->id, c->row);
		break;
	case STORE_DOC:
		doc_changed(p, c->row);
		break;
	case STORE_TABLES:
		break;
	}
}

struct picture_node *picture_node(const struct picture *p, int64_t id)
{
	return row_at(&p->nodes, id);
}

struct picture_node *picture_node_by_key(const struct picture *p, const struct key *node_key)
{
	for (struct picture_node *n = *chain(p, node_key); n; n = n->next_by_key)
		if (key_equal(&n->row->node_key, node_key))
			return n;
	return NULL;
}

const struct store_user *picture_user(const struct picture *p, int64_t id)
{
	return row_at(&p->users, id);
}

const struct store_user *picture_user_by_name(const struct picture *p, const char *name)
{
	for (size_t i = 0; i < p->users.room; i++) {
		const struct store_user *u = p->users.at[i];

		if (u && strcasecmp(u->name, name) == 0)
			return u;
	}
	return NULL;
}

const char *picture_dns_config(const struct picture *p)
{
	return p->dns_config ? p->dns_config : p->dns_default;
}

const struct store_login *picture_login(const struct picture *p, const char *token)
{
	for (size_t i = 0; i < p->logins.room; i++) {
		const struct store_login *l = p->logins.at[i];

		if (l && strcmp(l->token, token) == 0)
			return l;
	}
	return NULL;
}

int picture_init(struct picture *p, const char *domain)
{
	*p = (struct picture){.domain = domain, .by_key_mask = BY_KEY_FIRST - 1};
	p->by_key = calloc(BY_KEY_FIRST, sizeof(*p->by_key));
	return p->by_key ? 0 : -ENOMEM;
}

static void rows_free(struct picture_rows *rows, enum store_table table)
{
	for (size_t i = 0; i < rows->room; i++)
		store_row_free(table, rows->at[i]);
	free(rows->at);
}

void picture_fini(struct picture *p)
{
	for (size_t i = 0; i < p->nodes.room; i++)
		if (p->nodes.at[i])
			node_free(p->nodes.at[i]);
	free(p->nodes.at);
	rows_free(&p->users, STORE_USER);
	rows_free(&p->keys, STORE_KEY);
	rows_free(&p->routes, STORE_ROUTE);
	rows_free(&p->logins, STORE_LOGIN);
	store_row_free(STORE_DOC, p->derp);
	store_row_free(STORE_DOC, p->dns);
	store_row_free(STORE_DOC, p->policy);
	free(p->dns_config);
	free(p->by_key);
}
