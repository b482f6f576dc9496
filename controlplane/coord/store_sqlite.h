/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's backend over SQLite: write-ahead log, foreign keys, synchronous=FULL
 * (a commit is on the disk). Several processes may have the database open; each sees
 * the other's commits by the change feed.
 *
 *   store_sqlite.c         connection, transactions, change feed
 *   store_sqlite_sql.c     statements: prepared once, bound by a format
 *   store_sqlite_schema.c  numbered migrations
 *   store_sqlite_row.c     rows -> structs
 *   store_sqlite_op.c      operations, their audit lines
 *   store_sqlite_node.c    operations on nodes, logins and routes
 */
#ifndef CONTROLPLANE_COORD_STORE_SQLITE_H
#define CONTROLPLANE_COORD_STORE_SQLITE_H

#include "controlplane/coord/store_backend.h"

/* The file is made when it is missing. NULL: no memory. */
struct store_backend *store_sqlite_new(const char *path);

#endif
