/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints an array of JSON objects as a table: a row each, a column a key. The keys
 * named in the layout come first and under its titles; keys that it does not name
 * follow as they are, so a table of a newer daemon shows whole.
 */
#ifndef CONTROLPLANE_CLI_TABLE_H
#define CONTROLPLANE_CLI_TABLE_H

#include <jansson.h>
#include <stdio.h>

enum table_format {
	TABLE_PLAIN,
	TABLE_BYTES,  /* 1.2 MiB */
	TABLE_AGE,    /* seconds: "12 s ago"; 0, null: "never" */
	TABLE_MARK,   /* true: the title's mark "!", false: nothing */
	TABLE_HIDDEN, /* only with --json */
};

struct table_column {
	const char *key; /* NULL ends a layout */
	const char *title;
	enum table_format format;
};

/* layout may be NULL. 0, or -ENOMEM. An empty array prints "none". */
int table_print(const json_t *rows, const struct table_column *layout, FILE *out);

#endif
