/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The schema, as numbered steps: a database at version n has had the first n of
 * them (PRAGMA user_version). A step that was released is never edited; the next
 * change is a step more. Triggers number every change of every row, whoever makes it.
 */
#include <errno.h>

#include "controlplane/coord/store_sqlite_sql.h"
#include "lib/base/bug.h"
#include "lib/base/log.h"

#define FEED(table, number)                                                                        \
	"CREATE TRIGGER " table "_made AFTER INSERT ON " table " BEGIN"                            \
	" INSERT INTO changes(tbl, row) VALUES(" number ", NEW.id); END;"                          \
	"CREATE TRIGGER " table "_changed AFTER UPDATE ON " table " BEGIN"                         \
	" INSERT INTO changes(tbl, row) VALUES(" number ", NEW.id); END;"                          \
	"CREATE TRIGGER " table "_gone AFTER DELETE ON " table " BEGIN"                            \
	" INSERT INTO changes(tbl, row) VALUES(" number ", OLD.id); END;"

static const char *const steps[] = {
	/* 1 */
	"CREATE TABLE changes(number INTEGER PRIMARY KEY AUTOINCREMENT, tbl INTEGER NOT NULL,"
	" row INTEGER NOT NULL);"
	"CREATE TABLE counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
	"INSERT INTO counters VALUES('address', 0);"
	"CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE COLLATE NOCASE, created INTEGER NOT NULL);"
	"CREATE TABLE keys(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" user_id INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,"
	" hash BLOB NOT NULL UNIQUE, uses INTEGER NOT NULL DEFAULT 0, uses_max INTEGER NOT NULL,"
	" tags TEXT NOT NULL, ephemeral INTEGER NOT NULL, created INTEGER NOT NULL,"
	" expiry INTEGER NOT NULL, CONSTRAINT uses_left CHECK(uses_max = 0 OR uses <= uses_max));"
	"CREATE TABLE nodes(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" user_id INTEGER NOT NULL REFERENCES users(id), machine BLOB NOT NULL,"
	" node_key BLOB NOT NULL UNIQUE, disco BLOB, lock BLOB, name TEXT NOT NULL UNIQUE,"
	" address INTEGER NOT NULL UNIQUE CHECK(address BETWEEN 1 AND 4194302),"
	" tags TEXT NOT NULL, hostinfo TEXT NOT NULL, endpoints TEXT NOT NULL DEFAULT '[]',"
	" created INTEGER NOT NULL, expiry INTEGER NOT NULL, seen INTEGER NOT NULL DEFAULT 0,"
	" key_id INTEGER NOT NULL, home INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL,"
	" ephemeral INTEGER NOT NULL, UNIQUE(machine, user_id));"
	"CREATE TABLE routes(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" node_id INTEGER NOT NULL REFERENCES nodes(id) ON DELETE CASCADE, prefix TEXT NOT NULL,"
	" advertised INTEGER NOT NULL DEFAULT 1, approved INTEGER NOT NULL DEFAULT 0,"
	" is_primary INTEGER NOT NULL DEFAULT 0, UNIQUE(node_id, prefix),"
	" CHECK(is_primary = 0 OR (approved = 1 AND advertised = 1)));"
	"CREATE UNIQUE INDEX one_primary ON routes(prefix) WHERE is_primary = 1;"
	"CREATE TABLE logins(id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE,"
	" machine BLOB NOT NULL, node_key BLOB NOT NULL, lock BLOB, host TEXT NOT NULL,"
	" hostinfo TEXT NOT NULL, routes TEXT NOT NULL, tags TEXT NOT NULL,"
	" version INTEGER NOT NULL, ephemeral INTEGER NOT NULL, created INTEGER NOT NULL);"
	"CREATE TABLE docs(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL,"
	" text TEXT NOT NULL, created INTEGER NOT NULL);"
	"CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL,"
	" actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL);" FEED("users", "1")
		FEED("nodes", "2") FEED("keys", "3") FEED("routes", "4") FEED("logins", "5")
			FEED("docs", "6"),
};

static int version(struct store_sqlite *b, int *out)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(b->db, "PRAGMA user_version", -1, &st, NULL))
		return -EIO;
	*out = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
	sqlite3_finalize(st);
	return *out < 0 ? -EIO : 0;
}

static int apply(struct store_sqlite *b, unsigned from)
{
	char set[48];

	for (unsigned i = from; i < ARRAY_SIZE(steps); i++)
		if (sqlite3_exec(b->db, steps[i], NULL, NULL, NULL))
			return -EIO;
	snprintf(set, sizeof(set), "PRAGMA user_version = %zu", ARRAY_SIZE(steps));
	return sqlite3_exec(b->db, set, NULL, NULL, NULL) ? -EIO : 0;
}

int store_sqlite_migrate(struct store_sqlite *b)
{
	int at, rc;

	/* Looked at inside: two coordinators may start at once. */
	if (sqlite3_exec(b->db, "BEGIN IMMEDIATE", NULL, NULL, NULL))
		return -EIO;
	rc = version(b, &at);
	if (!rc && at > (int)ARRAY_SIZE(steps)) {
		log_error("store.version", "path=%s database=%d program=%zu", b->path, at,
			  ARRAY_SIZE(steps));
		rc = -EPROTONOSUPPORT;
	}
	if (!rc && at < (int)ARRAY_SIZE(steps))
		rc = apply(b, (unsigned)at);
	if (rc == -EIO)
		log_error("store.migrate", "error=\"%s\"", sqlite3_errmsg(b->db));
	if (sqlite3_exec(b->db, rc ? "ROLLBACK" : "COMMIT", NULL, NULL, NULL) && !rc)
		rc = -EIO;
	return rc;
}
