/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/coord/store_sqlite_sql.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/base/log.h"

static int errno_of(struct store_sqlite *b, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EAGAIN;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		log_error("store.sqlite", "error=\"%s\"", sqlite3_errmsg(b->db));
		return -ENOSPC;
	default:
		log_error("store.sqlite", "error=\"%s\"", sqlite3_errmsg(b->db));
		return -EIO;
	}
}

static sqlite3_stmt *prepared(struct store_sqlite *b, const char *sql)
{
	sqlite3_stmt *st;

	for (unsigned i = 0; i < b->statement_count; i++)
		if (b->statements[i].sql == sql)
			return b->statements[i].st;
	BUG_ON(b->statement_count == SQL_STATEMENTS_MAX);
	if (sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL)) {
		log_error("store.sqlite", "error=\"%s\" sql=\"%s\"", sqlite3_errmsg(b->db), sql);
		return NULL;
	}
	b->statements[b->statement_count].sql = sql;
	b->statements[b->statement_count++].st = st;
	return st;
}

static sqlite3_stmt *bind_list(struct store_sqlite *b, const char *sql, const char *fmt, va_list ap)
{
	sqlite3_stmt *st = prepared(b, sql);
	int rc = 0;

	if (!st)
		return NULL;
	sqlite3_reset(st);
	for (int i = 1; *fmt; fmt++, i++) {
		switch (*fmt) {
		case 'i':
			rc |= sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			rc |= sqlite3_bind_int(st, i, va_arg(ap, int));
			break;
		case 't':
			rc |= sqlite3_bind_text(st, i, va_arg(ap, const char *), -1,
						SQLITE_TRANSIENT);
			break;
		default: /* k, h: both are 32 bytes */
			rc |= sqlite3_bind_blob(st, i, va_arg(ap, const void *), KEY_BYTES,
						SQLITE_TRANSIENT);
			break;
		}
	}
	if (rc) {
		log_error("store.sqlite", "error=bind sql=\"%s\"", sql);
		return NULL;
	}
	return st;
}

sqlite3_stmt *sql_bind(struct store_sqlite *b, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st;
	va_list ap;

	va_start(ap, fmt);
	st = bind_list(b, sql, fmt, ap);
	va_end(ap);
	return st;
}

int sql_step(struct store_sqlite *b, sqlite3_stmt *st)
{
	int rc, err;

	if (!st)
		return -EIO;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return 1;
	err = rc == SQLITE_DONE ? 0 : errno_of(b, rc);
	sqlite3_reset(st);
	return err;
}

int sql_run(struct store_sqlite *b, const char *sql, const char *fmt, ...)
{
	sqlite3_stmt *st;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	st = bind_list(b, sql, fmt, ap);
	va_end(ap);
	do
		rc = sql_step(b, st);
	while (rc == 1);
	return rc;
}

bool sql_failed_on(struct store_sqlite *b, const char *what)
{
	return strstr(sqlite3_errmsg(b->db), what) != NULL;
}

char *sql_text(sqlite3_stmt *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st, column);
	char *copy = strdup(text ? text : "");

	BUG_ON(!copy);
	return copy;
}

void sql_key(sqlite3_stmt *st, int column, struct key *out)
{
	const void *blob = sqlite3_column_blob(st, column);

	if (blob && sqlite3_column_bytes(st, column) == KEY_BYTES)
		memcpy(out->bytes, blob, KEY_BYTES);
	else
		*out = (struct key){0};
}
