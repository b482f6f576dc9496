/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "controlplane/coord/store_sqlite_sql.h"
#include "lib/base/bug.h"
#include "lib/base/json_out.h"
#include "lib/base/log.h"

/* rc of a statement that must have met a row. */
static int met(struct store_sqlite *b, int rc)
{
	return rc ? rc : sqlite3_changes(b->db) ? 0 : -ENOENT;
}

static const char *list_or_empty(const char *json)
{
	return json ? json : "[]";
}

static int user_create(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b, "INSERT INTO users(name, created) VALUES(?1, ?2)", "ti", op->name,
			 op->now_ns);

	op->id = sqlite3_last_insert_rowid(b->db);
	return rc;
}

static int user_rename(struct store_sqlite *b, struct store_op *op)
{
	return met(b,
		   sql_run(b, "UPDATE users SET name = ?2 WHERE id = ?1", "it", op->id, op->name));
}

static int user_delete(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(b, "DELETE FROM users WHERE id = ?1", "i", op->id);

	return rc == -EEXIST ? -EBUSY : met(b, rc);
}

static int key_create(struct store_sqlite *b, struct store_op *op)
{
	int rc = sql_run(
		b,
		"INSERT INTO keys(user_id, hash, uses_max, tags, ephemeral, created, expiry)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		"ihdtdii", op->id, op->hash, op->is_reusable ? 0 : 1, list_or_empty(op->tags),
		(int)op->is_ephemeral, op->now_ns, op->expiry_ns);

	op->id = sqlite3_last_insert_rowid(b->db);
	return rc == -EEXIST && sql_failed_on(b, "FOREIGN KEY") ? -ENOENT : rc;
}

static int key_expire(struct store_sqlite *b, struct store_op *op)
{
	return met(b, sql_run(b, "UPDATE keys SET expiry = ?2 WHERE id = ?1", "ii", op->id,
			      op->now_ns));
}

static int key_delete(struct store_sqlite *b, struct store_op *op)
{
	return met(b, sql_run(b, "DELETE FROM keys WHERE id = ?1", "i", op->id));
}

static int login_create(struct store_sqlite *b, struct store_op *op)
{
	int rc =
		sql_run(b,
			"INSERT INTO logins(token, machine, node_key, lock, host, hostinfo, routes,"
			" tags, version, ephemeral, created)"
			" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
			"tkkkttttddi", op->name, &op->machine, &op->node_key, &op->network_lock,
			op->host, op->hostinfo, list_or_empty(op->routes), list_or_empty(op->tags),
			(int)op->version, (int)op->is_ephemeral, op->now_ns);

	op->id = sqlite3_last_insert_rowid(b->db);
	return rc;
}

static int login_prune(struct store_sqlite *b, struct store_op *op)
{
	return sql_run(b, "DELETE FROM logins WHERE created < ?1", "i", op->expiry_ns);
}

static int node_expire(struct store_sqlite *b, struct store_op *op)
{
	return met(b, sql_run(b, "UPDATE nodes SET expiry = ?2 WHERE id = ?1", "ii", op->id,
			      op->expiry_ns));
}

static int node_rename(struct store_sqlite *b, struct store_op *op)
{
	return met(b,
		   sql_run(b, "UPDATE nodes SET name = ?2 WHERE id = ?1", "it", op->id, op->name));
}

/* A node with tags is nobody's device: its key does not expire. */
static int node_tag(struct store_sqlite *b, struct store_op *op)
{
	return met(b, sql_run(b,
			      "UPDATE nodes SET tags = ?2,"
			      " expiry = CASE WHEN ?2 = '[]' THEN expiry ELSE 0 END WHERE id = ?1",
			      "it", op->id, list_or_empty(op->tags)));
}

static int node_seen(struct store_sqlite *b, struct store_op *op)
{
	return met(b, sql_run(b, "UPDATE nodes SET seen = ?2 WHERE id = ?1", "ii", op->id,
			      op->now_ns));
}

static int doc_set(struct store_sqlite *b, struct store_op *op)
{
	static const char *const names[] = {
		[STORE_DOC_POLICY] = "policy", [STORE_DOC_DERP] = "derp", [STORE_DOC_DNS] = "dns"};
	int rc = sql_run(b,
			 "INSERT INTO docs(kind, text, created) SELECT ?1, ?2, ?3 WHERE ?4 = 0"
			 " OR NOT EXISTS (SELECT 1 FROM docs WHERE kind = ?1 AND text = ?2)",
			 "itid", op->id, op->text, op->now_ns, (int)op->is_new_only);

	if (!rc && !sqlite3_changes(b->db))
		return -EEXIST;
	/* For the audit: the id becomes the version's. */
	if (!op->name && op->id > 0 && op->id < (int64_t)ARRAY_SIZE(names))
		op->name = strdup(names[op->id]);
	op->id = sqlite3_last_insert_rowid(b->db);
	return rc;
}

static int audit_list(struct store_sqlite *b, struct store_op *op)
{
	sqlite3_stmt *st = sql_bind(b,
				    "SELECT id, at, actor, action, subject FROM audit"
				    " ORDER BY id DESC LIMIT ?1",
				    "i", op->id);
	struct json_out j;
	int rc;

	json_out_init(&j);
	json_out_array(&j, NULL);
	while ((rc = sql_step(b, st)) == 1) {
		json_out_object(&j, NULL);
		json_out_i64(&j, "id", sqlite3_column_int64(st, 0));
		json_out_i64(&j, "at_ns", sqlite3_column_int64(st, 1));
		json_out_string(&j, "actor", (const char *)sqlite3_column_text(st, 2));
		json_out_string(&j, "action", (const char *)sqlite3_column_text(st, 3));
		json_out_string(&j, "subject", (const char *)sqlite3_column_text(st, 4));
		json_out_end(&j);
	}
	json_out_end(&j);
	if (j.error || rc) {
		rc = rc ? rc : j.error;
		json_out_fini(&j);
		return rc;
	}
	op->text = j.text;
	return 0;
}

static int backup(struct store_sqlite *b, struct store_op *op)
{
	int fd = open(op->name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return -errno;
	/* Into an empty file SQLite writes too; made here for its mode. */
	rc = sql_run(b, "VACUUM INTO ?1", "t", op->name);
	if (!rc && fsync(fd))
		rc = -errno;
	if (rc)
		unlink(op->name);
	close(fd);
	return rc;
}

/* audit NULL: a device's own reports, which are no decisions of anybody. */
static const struct {
	int (*run)(struct store_sqlite *b, struct store_op *op);
	const char *audit;
} kinds[STORE_OP_KINDS] = {
	[STORE_USER_CREATE] = {user_create, "user.create"},
	[STORE_USER_RENAME] = {user_rename, "user.rename"},
	[STORE_USER_DELETE] = {user_delete, "user.delete"},
	[STORE_KEY_CREATE] = {key_create, "key.create"},
	[STORE_KEY_EXPIRE] = {key_expire, "key.expire"},
	[STORE_KEY_DELETE] = {key_delete, "key.delete"},
	[STORE_LOGIN_CREATE] = {login_create, NULL},
	[STORE_LOGIN_PRUNE] = {login_prune, NULL},
	[STORE_NODE_REGISTER] = {store_sqlite_node_register, "node.register"},
	[STORE_NODE_UPDATE] = {store_sqlite_node_update, NULL},
	[STORE_NODE_EXPIRE] = {node_expire, "node.expire"},
	[STORE_NODE_RENAME] = {node_rename, "node.rename"},
	[STORE_NODE_TAG] = {node_tag, "node.tag"},
	[STORE_NODE_SEEN] = {node_seen, NULL},
	[STORE_NODE_DELETE] = {store_sqlite_node_delete, "node.delete"},
	[STORE_ROUTE_APPROVE] = {store_sqlite_route_approve, "route.approve"},
	[STORE_ROUTE_PRIMARY] = {store_sqlite_route_primary, "route.primary"},
	[STORE_DOC_SET] = {doc_set, "doc.set"},
	[STORE_AUDIT_LIST] = {audit_list, NULL},
	[STORE_BACKUP] = {backup, NULL},
};

/* Which text it was; the text itself is the version of that number. */
static void add_digest(char *subject, size_t size, const char *text)
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];
	size_t n = strlen(subject);

	crypto_hash_sha256(hash, (const uint8_t *)text, strlen(text));
	snprintf(subject + n, size - n, " sha256=%s",
		 sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash)));
}

static int write_audit(struct store_sqlite *b, const struct store_op *op)
{
	bool has_prefix = op->text && op->kind != STORE_DOC_SET && op->kind != STORE_NODE_REGISTER;
	char subject[512];

	if (!kinds[op->kind].audit)
		return 0;
	snprintf(subject, sizeof(subject), "id=%lld%s%s%s%s%s%s", (long long)op->id,
		 op->name && op->kind != STORE_NODE_REGISTER ? " name=" : "",
		 op->name && op->kind != STORE_NODE_REGISTER ? op->name : "",
		 op->kind == STORE_NODE_TAG || op->kind == STORE_KEY_CREATE ? " tags=" : "",
		 op->kind == STORE_NODE_TAG || op->kind == STORE_KEY_CREATE
			 ? list_or_empty(op->tags)
			 : "",
		 has_prefix ? " prefix=" : "", has_prefix ? op->text : "");
	if (op->kind == STORE_DOC_SET)
		add_digest(subject, sizeof(subject), op->text);
	if (op->kind == STORE_ROUTE_APPROVE && !op->is_approved)
		strncat(subject, " approved=no", sizeof(subject) - strlen(subject) - 1);
	return sql_run(b, "INSERT INTO audit(at, actor, action, subject) VALUES(?1, ?2, ?3, ?4)",
		       "ittt", op->now_ns, op->actor, kinds[op->kind].audit, subject);
}

void store_sqlite_run(struct store_backend *base, struct store_op *op)
{
	struct store_sqlite *b = (struct store_sqlite *)base;

	if (op->kind == STORE_BACKUP) {
		op->result = backup(b, op);
		return;
	}
	op->result = sql_run(b, "SAVEPOINT op", "");
	if (op->result)
		return;
	op->result = kinds[op->kind].run(b, op);
	if (!op->result)
		op->result = write_audit(b, op);
	if (op->result)
		sql_run(b, "ROLLBACK TO op", "");
	sql_run(b, "RELEASE op", "");
}
