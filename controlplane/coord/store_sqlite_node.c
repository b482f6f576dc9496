/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/coord/store_sqlite_sql.h"

#define LABEL_MAX 63
/* web, web-1, ... web-8, then the address as a suffix: a fleet may share one name. */
#define NAME_TRIES    8
#define ADDRESS_TRIES 100000

/* Who may come in, and as what. */
struct admission {
	int64_t user_id, key_id, login_id;
	char *tags; /* of the auth key */
	bool is_ephemeral;
};

struct known_node {
	int64_t id;
	struct key node_key;
	int64_t key_id;
};

/* ---- routes ---- */

/* Each prefix that is advertised and approved has one primary; a default route none. */
static int elect(struct store_sqlite *b)
{
	return sql_run(
		b,
		"UPDATE routes SET is_primary = 1 WHERE id IN (SELECT min(r.id) FROM routes r"
		" WHERE r.advertised = 1 AND r.approved = 1"
		" AND r.prefix NOT IN ('0.0.0.0/0', '::/0') AND NOT EXISTS"
		" (SELECT 1 FROM routes p WHERE p.prefix = r.prefix AND p.is_primary = 1)"
		" GROUP BY r.prefix)",
		"");
}

/* What the node advertises now; what it no longer does loses its place. */
static int sync_routes(struct store_sqlite *b, int64_t node_id, const char *routes)
{
	int rc = sql_run(b,
			 "INSERT INTO routes(node_id, prefix) SELECT ?1, value FROM json_each(?2)"
			 " WHERE true ON CONFLICT(node_id, prefix) DO UPDATE SET advertised = 1"
			 " WHERE advertised = 0",
			 "it", node_id, routes);
	int changed = sqlite3_changes(b->db);

	if (!rc)
		rc = sql_run(
			b,
			"UPDATE routes SET advertised = 0, is_primary = 0 WHERE node_id = ?1"
			" AND advertised = 1 AND prefix NOT IN (SELECT value FROM json_each(?2))",
			"it", node_id, routes);
	changed += sqlite3_changes(b->db);
	if (rc || !changed)
		return rc;
	rc = sql_run(b, "DELETE FROM routes WHERE node_id = ?1 AND advertised = 0 AND approved = 0",
		     "i", node_id);
	return rc ? rc : elect(b);
}

int store_sqlite_route_approve(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b,
			 "UPDATE routes SET approved = ?3,"
			 " is_primary = CASE WHEN ?3 THEN is_primary ELSE 0 END"
			 " WHERE node_id = ?1 AND prefix = ?2",
			 "itd", op->id, op->text, (int)op->is_approved);

	if (rc)
		return rc;
	if (!sqlite3_changes(b->db))
		return -ENOENT;
	if (!op->is_approved)
		rc = sql_run(b,
			     "DELETE FROM routes WHERE node_id = ?1 AND advertised = 0"
			     " AND approved = 0",
			     "i", op->id);
	return rc ? rc : elect(b);
}

int store_sqlite_route_primary(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b,
			 "UPDATE routes SET is_primary = 0 WHERE prefix = ?2 AND is_primary = 1"
			 " AND node_id <> ?1",
			 "it", op->id, op->text);

	if (!rc)
		rc = sql_run(b,
			     "UPDATE routes SET is_primary = 1 WHERE node_id = ?1 AND prefix = ?2"
			     " AND advertised = 1 AND approved = 1",
			     "it", op->id, op->text);
	return rc ? rc : sqlite3_changes(b->db) ? 0 : -ENOENT;
}

/* ---- registration ---- */

static int admit_by_key(struct store_sqlite *b, struct store_op *op, struct admission *a,
			int64_t *expiry_ns)
{
	sqlite3_stmt *st =
		sql_bind(b, "SELECT id, user_id, tags, ephemeral, expiry FROM keys WHERE hash = ?1",
			 "h", op->hash);
	int rc = sql_step(b, st);

	if (rc != 1)
		return rc ? rc : -ENOKEY;
	a->key_id = sqlite3_column_int64(st, 0);
	a->user_id = sqlite3_column_int64(st, 1);
	a->tags = sql_text(st, 2);
	a->is_ephemeral = sqlite3_column_int(st, 3) || op->is_ephemeral;
	*expiry_ns = sqlite3_column_int64(st, 4);
	sqlite3_reset(st);
	return 0;
}

/* What the waiting request said becomes what is registered. */
static int admit_by_login(struct store_sqlite *b, struct store_op *op, struct admission *a)
{
	sqlite3_stmt *st = sql_bind(b,
				    "SELECT l.id, u.id, l.machine, l.node_key, l.lock, l.host,"
				    " l.hostinfo, l.routes, l.tags, l.version, l.ephemeral"
				    " FROM logins l, users u WHERE l.token = ?1 AND u.name = ?2",
				    "tt", op->name, op->user);
	int rc = sql_step(b, st);

	if (rc != 1)
		return rc ? rc : -ENOENT;
	free(op->host);
	free(op->hostinfo);
	free(op->routes);
	free(op->tags);
	a->login_id = sqlite3_column_int64(st, 0);
	a->user_id = sqlite3_column_int64(st, 1);
	sql_key(st, 2, &op->machine);
	sql_key(st, 3, &op->node_key);
	sql_key(st, 4, &op->network_lock);
	op->host = sql_text(st, 5);
	op->hostinfo = sql_text(st, 6);
	op->routes = sql_text(st, 7);
	op->tags = sql_text(st, 8);
	op->version = sqlite3_column_int(st, 9);
	a->is_ephemeral = sqlite3_column_int(st, 10) != 0;
	sqlite3_reset(st);
	return 0;
}

/* A node is a machine of a user. 1 = there is one. */
static int find_node(struct store_sqlite *b, const struct store_op *op, int64_t user_id,
		     struct known_node *n)
{
	sqlite3_stmt *st = sql_bind(b,
				    "SELECT id, node_key, key_id FROM nodes"
				    " WHERE machine = ?1 AND user_id = ?2",
				    "ki", &op->machine, user_id);
	int rc = sql_step(b, st);

	if (rc == 1) {
		n->id = sqlite3_column_int64(st, 0);
		sql_key(st, 1, &n->node_key);
		n->key_id = sqlite3_column_int64(st, 2);
		sqlite3_reset(st);
	}
	return rc;
}

static int use_key(struct store_sqlite *b, int64_t key_id)
{
	int rc = sql_run(b, "UPDATE keys SET uses = uses + 1 WHERE id = ?1", "i", key_id);

	return rc == -EEXIST ? -EKEYREVOKED : rc;
}

/* The key's user owns what is asked for. 1 = it does. */
static int is_owner(struct store_sqlite *b, const struct store_op *op, int64_t user_id)
{
	sqlite3_stmt *st = sql_bind(b, "SELECT 1 FROM json_each(?1) WHERE value = ?2", "ti",
				    op->owners ? op->owners : "[]", user_id);
	int rc = sql_step(b, st);

	sqlite3_reset(st);
	return rc;
}

/*
 * What a node asks for beside its key must be among what the key gives; a key without
 * tags gives what its user owns.
 */
static int check_tags(struct store_sqlite *b, const struct store_op *op, const struct admission *a,
		      const char **tags)
{
	const char *asked = op->text, *given = a->tags;
	sqlite3_stmt *st = sql_bind(b,
				    "SELECT 1 FROM json_each(?1) WHERE value NOT IN"
				    " (SELECT value FROM json_each(?2))",
				    "tt", asked, given);
	int rc = sql_step(b, st);

	sqlite3_reset(st);
	if (rc != 1 || strcmp(given, "[]") != 0)
		return rc == 1 ? -EPERM : rc;
	rc = is_owner(b, op, a->user_id);
	if (rc == 1)
		*tags = asked;
	return rc == 1 ? 0 : rc ? rc : -EPERM;
}

static int next_address(struct store_sqlite *b, uint32_t *out)
{
	sqlite3_stmt *st;

	do {
		st = sql_bind(b,
			      "UPDATE counters SET value = value % ?1 + 1 WHERE name = 'address'"
			      " RETURNING value",
			      "d", (int)STORE_ADDRESS_MAX);
		if (sql_step(b, st) != 1)
			return -EIO;
		*out = (uint32_t)sqlite3_column_int64(st, 0);
		sqlite3_reset(st);
	} while (store_address_is_reserved(*out));
	return 0;
}

static void name_try(const char *host, unsigned n, uint32_t address, char out[LABEL_MAX + 1])
{
	char suffix[16] = "";

	if (n)
		snprintf(suffix, sizeof(suffix), "-%u", n <= NAME_TRIES ? n : address);
	snprintf(out, LABEL_MAX + 1, "%.*s%s", (int)(LABEL_MAX - strlen(suffix)), host, suffix);
}

static int insert_node(struct store_sqlite *b, struct store_op *op, const struct admission *a,
		       const char *tags, int64_t expiry_ns)
{
	char name[LABEL_MAX + 1];
	uint32_t address;
	unsigned n = 0;
	int rc = next_address(b, &address);

	for (unsigned tries = 0; !rc && tries < ADDRESS_TRIES; tries++) {
		name_try(op->host, n, address, name);
		rc = sql_run(b,
			     "INSERT INTO nodes(user_id, machine, node_key, lock, name, address,"
			     " tags, hostinfo, created, expiry, key_id, version, ephemeral)"
			     " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
			     "ikkktittiiidd", a->user_id, &op->machine, &op->node_key,
			     &op->network_lock, name, (int64_t)address, tags, op->hostinfo,
			     op->now_ns, expiry_ns, a->key_id, (int)op->version,
			     (int)a->is_ephemeral);
		if (!rc) {
			op->id = sqlite3_last_insert_rowid(b->db);
			return 0;
		}
		if (rc != -EEXIST)
			return rc;
		if (sql_failed_on(b, "nodes.node_key"))
			return -EADDRINUSE;
		rc = 0;
		if (sql_failed_on(b, "nodes.name") && n <= NAME_TRIES)
			n++;
		else
			rc = next_address(b, &address);
	}
	return rc ? rc : -ENOSPC;
}

static int renew_node(struct store_sqlite *b, struct store_op *op, const struct admission *a,
		      const struct known_node *n, const char *tags, int64_t expiry_ns)
{
	int rc;

	op->id = n->id;
	/* Said again, not renewed: the expiry stays. */
	if (key_equal(&n->node_key, &op->node_key) && n->key_id == a->key_id && !a->login_id)
		return sql_run(b, "UPDATE nodes SET hostinfo = ?2, version = ?3 WHERE id = ?1",
			       "itd", n->id, op->hostinfo, (int)op->version);
	rc = sql_run(b,
		     "UPDATE nodes SET node_key = ?2, lock = ?3, tags = ?4, hostinfo = ?5,"
		     " expiry = ?6, key_id = ?7, version = ?8, ephemeral = ?9 WHERE id = ?1",
		     "ikkttiidd", n->id, &op->node_key, &op->network_lock, tags, op->hostinfo,
		     expiry_ns, a->key_id, (int)op->version, (int)a->is_ephemeral);
	return rc == -EEXIST ? -EADDRINUSE : rc;
}

static int register_admitted(struct store_sqlite *b, struct store_op *op, struct admission *a,
			     int64_t key_expiry_ns)
{
	struct known_node known;
	const char *tags = a->tags && strcmp(a->tags, "[]") ? a->tags : op->tags ? op->tags : "[]";
	int64_t expiry_ns;
	int found = find_node(b, op, a->user_id, &known);
	int rc = found < 0 ? found : 0;

	if (!rc && a->key_id && op->text)
		rc = check_tags(b, op, a, &tags);
	expiry_ns = strcmp(tags, "[]") ? 0 : op->expiry_ns;
	/*
	 * A client shows its key at each attempt of a login, also with another node key: it
	 * is not used again, but a new node key needs one that has not expired.
	 */
	if (!rc && a->key_id) {
		bool is_its_own = found && known.key_id == a->key_id;

		if (key_expiry_ns && key_expiry_ns <= op->now_ns &&
		    !(is_its_own && key_equal(&known.node_key, &op->node_key)))
			return -EKEYEXPIRED;
		if (!is_its_own)
			rc = use_key(b, a->key_id);
	}
	if (!rc)
		rc = found ? renew_node(b, op, a, &known, tags, expiry_ns)
			   : insert_node(b, op, a, tags, expiry_ns);
	if (!rc)
		rc = sync_routes(b, op->id, op->routes ? op->routes : "[]");
	if (!rc && a->login_id)
		rc = sql_run(b, "DELETE FROM logins WHERE id = ?1", "i", a->login_id);
	return rc;
}

int store_sqlite_node_register(struct store_sqlite *b, struct store_op *op)
{
	struct admission a = {0};
	int64_t key_expiry_ns = 0;
	int rc = op->has_hash ? admit_by_key(b, op, &a, &key_expiry_ns) : admit_by_login(b, op, &a);

	if (!rc)
		rc = register_admitted(b, op, &a, key_expiry_ns);
	free(a.tags);
	return rc;
}

int store_sqlite_node_update(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b,
			 "UPDATE nodes SET hostinfo = coalesce(?3, hostinfo),"
			 " endpoints = coalesce(?4, endpoints), disco = ?5, home = ?6, version = ?7"
			 " WHERE id = ?1 AND node_key = ?2",
			 "ikttkdd", op->id, &op->node_key, op->hostinfo, op->endpoints, &op->disco,
			 (int)op->home, (int)op->version);

	if (rc)
		return rc;
	if (!sqlite3_changes(b->db))
		return -ENOENT;
	return op->routes ? sync_routes(b, op->id, op->routes) : 0;
}

int store_sqlite_node_delete(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b, "DELETE FROM nodes WHERE id = ?1", "i", op->id);

	if (rc)
		return rc;
	return sqlite3_changes(b->db) ? elect(b) : -ENOENT;
}
