/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/store_sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controlplane/coord/store_sqlite_sql.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#define BUSY_MS 10000 /* another process's transaction is waited for */
/*
 * Numbered changes that are kept, and how many transactions pass between two looks.
 * Who follows the feed looks ten times a second and is never so far behind.
 */
#define CHANGES_KEPT 100000
#define TRIM_EVERY   1024
/* A log that was written so long ago is a commit that was seen, LOOKS at most later. */
#define YOUNG_NS (3 * (int64_t)NS_PER_SEC)
#define LOOKS	 64

static struct store_sqlite *of(struct store_backend *base)
{
	return (struct store_sqlite *)base;
}

static int open_db(struct store_backend *base)
{
	struct store_sqlite *b = of(base);
	int rc = sqlite3_open_v2(b->path, &b->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
					 SQLITE_OPEN_PRIVATECACHE,
				 NULL);

	if (!rc) {
		sqlite3_busy_timeout(b->db, BUSY_MS);
		rc = sqlite3_exec(b->db,
				  "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
				  "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
				  NULL, NULL, NULL);
	}
	if (rc) {
		log_error("store.open", "path=%s error=\"%s\"", b->path,
			  b->db ? sqlite3_errmsg(b->db) : "no memory");
		return -EIO;
	}
	return store_sqlite_migrate(b);
}

static int begin(struct store_backend *base)
{
	struct store_sqlite *b = of(base);
	int rc = sql_run(b, "BEGIN IMMEDIATE", "");

	if (!rc && b->transactions++ % TRIM_EVERY == 0)
		sql_run(b,
			"DELETE FROM changes WHERE number <="
			" (SELECT max(number) FROM changes) - ?1",
			"d", CHANGES_KEPT);
	return rc;
}

static int commit(struct store_backend *base)
{
	int rc = sql_run(of(base), "COMMIT", "");

	if (rc && !sqlite3_get_autocommit(of(base)->db))
		sql_run(of(base), "ROLLBACK", "");
	return rc;
}

/* Changes when another connection has committed; own commits the store knows of. */
static int64_t data_version(struct store_sqlite *b)
{
	sqlite3_stmt *st = sql_bind(b, "PRAGMA data_version", "");
	int64_t version = -1;

	if (sql_step(b, st) == 1) {
		version = sqlite3_column_int64(st, 0);
		sqlite3_reset(st);
	}
	return version;
}

/*
 * SQLite's own answer costs a read transaction, so the log's time is looked at first. It
 * is written before its commit can be seen, and in grains: a young one proves nothing.
 */
static bool is_log_as_it_was(struct store_sqlite *b)
{
	int64_t at_ns, now_ns = (int64_t)clock_wall_ns();
	struct stat st;
	bool is_same;

	if (stat(b->log_path, &st) < 0)
		return false;
	at_ns = st.st_mtim.tv_sec * (int64_t)NS_PER_SEC + st.st_mtim.tv_nsec;
	is_same = at_ns == b->log_ns && at_ns < now_ns && now_ns - at_ns > YOUNG_NS;
	b->log_ns = at_ns;
	return is_same;
}

static bool has_news(struct store_backend *base)
{
	struct store_sqlite *b = of(base);

	/* Now and then in any case: the log may be slow to become a commit. */
	if (is_log_as_it_was(b) && ++b->looks % LOOKS)
		return false;
	return data_version(b) != b->data_version;
}

static int first_picture(struct store_sqlite *b, uint64_t *number, store_emit_fn *emit, void *arg)
{
	sqlite3_stmt *st = sql_bind(b, "SELECT coalesce(max(number), 0) FROM changes", "");
	int rc = sql_step(b, st);

	if (rc != 1)
		return rc ? rc : -EIO;
	*number = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	rc = 0;
	for (int table = STORE_USER; table < STORE_TABLES && !rc; table++)
		rc = store_sqlite_rows(b, (enum store_table)table, emit, arg);
	return rc;
}

/* Changes that were forgotten before we saw them: the picture cannot be mended. */
static bool has_gap(struct store_sqlite *b, uint64_t number)
{
	sqlite3_stmt *st = sql_bind(b, "SELECT coalesce(min(number), 0) FROM changes", "");
	bool gap = false;

	if (sql_step(b, st) == 1) {
		gap = (uint64_t)sqlite3_column_int64(st, 0) > number + 1;
		sqlite3_reset(st);
	}
	return gap;
}

static int later_changes(struct store_sqlite *b, uint64_t *number, store_emit_fn *emit, void *arg)
{
	sqlite3_stmt *st = sql_bind(
		b, "SELECT number, tbl, row FROM changes WHERE number > ?1 ORDER BY number", "i",
		(int64_t)*number);
	int rc;

	if (has_gap(b, *number))
		return -ESTALE;

	while ((rc = sql_step(b, st)) == 1) {
		struct store_change c = {
			.number = (uint64_t)sqlite3_column_int64(st, 0),
			.table = (enum store_table)sqlite3_column_int(st, 1),
			.id = sqlite3_column_int64(st, 2),
		};

		rc = store_sqlite_row(b, c.table, c.id, &c.row);
		if (rc) {
			sqlite3_reset(st);
			return rc;
		}
		emit(arg, &c);
		*number = c.number;
	}
	return rc;
}

/* In one read transaction, so that rows and numbers are of one moment. */
static int changes(struct store_backend *base, uint64_t *number, bool is_first, store_emit_fn *emit,
		   void *arg)
{
	struct store_sqlite *b = of(base);
	int64_t version = data_version(b);
	int rc = sql_run(b, "BEGIN", "");

	if (rc)
		return rc;
	rc = is_first ? first_picture(b, number, emit, arg) : later_changes(b, number, emit, arg);
	sql_run(b, "COMMIT", "");
	/* From before: what was committed since is looked for again. */
	if (!rc)
		b->data_version = version;
	return rc;
}

static void free_backend(struct store_backend *base)
{
	struct store_sqlite *b = of(base);

	for (unsigned i = 0; i < b->statement_count; i++)
		sqlite3_finalize(b->statements[i].st);
	sqlite3_close(b->db);
	free(b->path);
	free(b->log_path);
	free(b);
}

static const struct store_backend_ops ops = {
	.open = open_db,
	.begin = begin,
	.run = store_sqlite_run,
	.commit = commit,
	.has_news = has_news,
	.changes = changes,
	.free = free_backend,
};

struct store_backend *store_sqlite_new(const char *path)
{
	struct store_sqlite *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->base.ops = &ops;
	b->path = strdup(path);
	if (!b->path || asprintf(&b->log_path, "%s-wal", path) < 0) {
		free(b->path);
		free(b);
		return NULL;
	}
	return &b->base;
}
