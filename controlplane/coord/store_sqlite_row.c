/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "controlplane/coord/store_sqlite_sql.h"
#include "lib/base/bug.h"

#define USERS "SELECT id, name, created FROM users"
#define NODES                                                                                      \
	"SELECT id, user_id, machine, node_key, disco, lock, name, tags, hostinfo, endpoints,"     \
	" address, created, expiry, seen, key_id, home, version, ephemeral FROM nodes"
#define KEYS   "SELECT id, user_id, uses, uses_max, tags, created, expiry, ephemeral FROM keys"
#define ROUTES "SELECT id, node_id, prefix, advertised, approved, is_primary FROM routes"
#define LOGINS "SELECT id, token, machine, node_key, created, tags FROM logins"
#define DOCS   "SELECT id, kind, text, created FROM docs"
#define BY_ID  " WHERE id = ?1"

static void *user_of(sqlite3_stmt *st)
{
	struct store_user *u = calloc(1, sizeof(*u));

	BUG_ON(!u);
	u->id = sqlite3_column_int64(st, 0);
	u->name = sql_text(st, 1);
	u->created_ns = sqlite3_column_int64(st, 2);
	return u;
}

static void *node_of(sqlite3_stmt *st)
{
	struct store_node *n = calloc(1, sizeof(*n));

	BUG_ON(!n);
	n->id = sqlite3_column_int64(st, 0);
	n->user_id = sqlite3_column_int64(st, 1);
	sql_key(st, 2, &n->machine);
	sql_key(st, 3, &n->node_key);
	sql_key(st, 4, &n->disco);
	sql_key(st, 5, &n->network_lock);
	n->name = sql_text(st, 6);
	n->tags = sql_text(st, 7);
	n->hostinfo = sql_text(st, 8);
	n->endpoints = sql_text(st, 9);
	n->address = (uint32_t)sqlite3_column_int64(st, 10);
	n->created_ns = sqlite3_column_int64(st, 11);
	n->expiry_ns = sqlite3_column_int64(st, 12);
	n->seen_ns = sqlite3_column_int64(st, 13);
	n->key_id = sqlite3_column_int64(st, 14);
	n->home = sqlite3_column_int(st, 15);
	n->version = sqlite3_column_int(st, 16);
	n->is_ephemeral = sqlite3_column_int(st, 17) != 0;
	return n;
}

static void *key_of(sqlite3_stmt *st)
{
	struct store_key *k = calloc(1, sizeof(*k));

	BUG_ON(!k);
	k->id = sqlite3_column_int64(st, 0);
	k->user_id = sqlite3_column_int64(st, 1);
	k->uses = sqlite3_column_int64(st, 2);
	k->uses_max = sqlite3_column_int64(st, 3);
	k->tags = sql_text(st, 4);
	k->created_ns = sqlite3_column_int64(st, 5);
	k->expiry_ns = sqlite3_column_int64(st, 6);
	k->is_ephemeral = sqlite3_column_int(st, 7) != 0;
	return k;
}

static void *route_of(sqlite3_stmt *st)
{
	struct store_route *r = calloc(1, sizeof(*r));
	const char *prefix = (const char *)sqlite3_column_text(st, 2);

	BUG_ON(!r);
	r->id = sqlite3_column_int64(st, 0);
	r->node_id = sqlite3_column_int64(st, 1);
	/* What is no prefix has family 0 and reaches nobody. */
	if (!prefix || prefix_parse(prefix, true, &r->prefix))
		r->prefix = (struct prefix){0};
	r->is_advertised = sqlite3_column_int(st, 3) != 0;
	r->is_approved = sqlite3_column_int(st, 4) != 0;
	r->is_primary = sqlite3_column_int(st, 5) != 0;
	return r;
}

static void *login_of(sqlite3_stmt *st)
{
	struct store_login *l = calloc(1, sizeof(*l));

	BUG_ON(!l);
	l->id = sqlite3_column_int64(st, 0);
	l->token = sql_text(st, 1);
	sql_key(st, 2, &l->machine);
	sql_key(st, 3, &l->node_key);
	l->created_ns = sqlite3_column_int64(st, 4);
	l->tags = sql_text(st, 5);
	return l;
}

static void *doc_of(sqlite3_stmt *st)
{
	struct store_doc *d = calloc(1, sizeof(*d));

	BUG_ON(!d);
	d->id = sqlite3_column_int64(st, 0);
	d->kind = (enum store_doc_kind)sqlite3_column_int(st, 1);
	d->text = sql_text(st, 2);
	d->created_ns = sqlite3_column_int64(st, 3);
	return d;
}

static const struct {
	const char *all, *one;
	void *(*read)(sqlite3_stmt *st);
} tables[STORE_TABLES] = {
	[STORE_USER] = {USERS, USERS BY_ID, user_of},
	[STORE_NODE] = {NODES, NODES BY_ID, node_of},
	[STORE_KEY] = {KEYS, KEYS BY_ID, key_of},
	[STORE_ROUTE] = {ROUTES, ROUTES BY_ID, route_of},
	[STORE_LOGIN] = {LOGINS, LOGINS BY_ID, login_of},
	/* Of each kind the newest. */
	[STORE_DOC] = {DOCS " WHERE id IN (SELECT max(id) FROM docs GROUP BY kind)", DOCS BY_ID,
		       doc_of},
};

int store_sqlite_row(struct store_sqlite *b, enum store_table table, int64_t id, void **row)
{
	sqlite3_stmt *st;
	int rc;

	*row = NULL;
	if (table <= 0 || table >= STORE_TABLES)
		return -EPROTONOSUPPORT;
	st = sql_bind(b, tables[table].one, "i", id);
	rc = sql_step(b, st);
	if (rc == 1) {
		*row = tables[table].read(st);
		sqlite3_reset(st);
		rc = 0;
	}
	return rc;
}

int store_sqlite_rows(struct store_sqlite *b, enum store_table table, store_emit_fn *emit,
		      void *arg)
{
	sqlite3_stmt *st = sql_bind(b, tables[table].all, "");
	int rc;

	while ((rc = sql_step(b, st)) == 1) {
		struct store_change c = {.table = table, .id = sqlite3_column_int64(st, 0)};

		c.row = tables[table].read(st);
		emit(arg, &c);
	}
	return rc;
}
