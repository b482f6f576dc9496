/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of the SQLite backend. SQL texts are literals and known by their
 * address: each is prepared once a connection. The store thread only.
 */
#ifndef CONTROLPLANE_COORD_STORE_SQLITE_SQL_H
#define CONTROLPLANE_COORD_STORE_SQLITE_SQL_H

#include <sqlite3.h>

#include "controlplane/coord/store_backend.h"

#define SQL_STATEMENTS_MAX 96

struct store_sqlite {
	struct store_backend base;
	char *path, *log_path;
	sqlite3 *db;
	struct {
		const char *sql;
		sqlite3_stmt *st;
	} statements[SQL_STATEMENTS_MAX];
	unsigned statement_count;
	unsigned transactions;
	int64_t data_version; /* at the last look at the changes */
	int64_t log_ns;	      /* when the log was written, as seen last */
	unsigned looks;
};

/*
 * Binds ?1, ?2, ... by fmt: i int64_t, d int, t text (NULL = null), k struct key *,
 * h 32 bytes. NULL after an error (logged).
 */
sqlite3_stmt *sql_bind(struct store_sqlite *b, const char *sql, const char *fmt, ...);
/* 1 = a row, 0 = no more, -EEXIST = a constraint, -EAGAIN = locked, -ENOSPC, -EIO. */
int sql_step(struct store_sqlite *b, sqlite3_stmt *st);
/* Binds, runs to the end. 0, or as sql_step. */
int sql_run(struct store_sqlite *b, const char *sql, const char *fmt, ...);
/* Whether the constraint that failed last names `what` ("nodes.name"). */
bool sql_failed_on(struct store_sqlite *b, const char *what);
/* Never NULL; the caller's. */
char *sql_text(sqlite3_stmt *st, int column);
void sql_key(sqlite3_stmt *st, int column, struct key *out);

/* ---- the parts of the backend ---- */

int store_sqlite_migrate(struct store_sqlite *b);
/* The row as it now is: 0 with *row (NULL: gone), or a negative errno. */
int store_sqlite_row(struct store_sqlite *b, enum store_table table, int64_t id, void **row);
/* All rows of a table. */
int store_sqlite_rows(struct store_sqlite *b, enum store_table table, store_emit_fn *emit,
		      void *arg);
void store_sqlite_run(struct store_backend *base, struct store_op *op);

int store_sqlite_node_register(struct store_sqlite *b, struct store_op *op);
int store_sqlite_node_update(struct store_sqlite *b, struct store_op *op);
int store_sqlite_node_delete(struct store_sqlite *b, struct store_op *op);
int store_sqlite_route_approve(struct store_sqlite *b, struct store_op *op);
int store_sqlite_route_primary(struct store_sqlite *b, struct store_op *op);

#endif
