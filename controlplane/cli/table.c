/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/cli/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 48

struct column {
	const char *key;
	const char *title;
	enum table_format format;
	bool is_number;
	int width;
};

struct table {
	struct column columns[COLUMNS_MAX];
	unsigned column_count;
	char **cells; /* row by row */
	size_t row_count;
};

static char *print_bytes(json_int_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
	double value = (double)bytes;
	unsigned unit = 0;
	char *text;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	return asprintf(&text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]) < 0 ? NULL
											  : text;
}

static char *print_age(const json_t *value)
{
	double seconds = json_is_number(value) ? json_number_value(value) : -1;
	char *text;
	int n;

	if (seconds <= 0)
		return strdup("never");
	if (seconds < 120)
		n = asprintf(&text, "%.0f s ago", seconds);
	else if (seconds < 7200)
		n = asprintf(&text, "%.0f min ago", seconds / 60);
	else
		n = asprintf(&text, "%.0f h ago", seconds / 3600);
	return n < 0 ? NULL : text;
}

static char *print_plain(const json_t *value);

static void put_members(FILE *out, const json_t *container)
{
	const char *key, *gap = "";
	const json_t *item;
	json_t *member;
	size_t i;

	if (json_is_array(container)) {
		json_array_foreach(container, i, item)
		{
			char *part = print_plain(item);

			fprintf(out, "%s%s", gap, part != NULL ? part : "");
			free(part);
			gap = ", ";
		}
		return;
	}
	json_object_foreach((json_t *)container, key, member)
	{
		char *part = print_plain(member);

		fprintf(out, "%s%s=%s", gap, key, part != NULL ? part : "");
		free(part);
		gap = " ";
	}
}

/* An array as "a, b, c", an object as "key=value key=value". */
static char *print_members(const json_t *container)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	put_members(out, container);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static char *print_plain(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return strdup(json_string_value(value));
	case JSON_TRUE:
		return strdup("yes");
	case JSON_FALSE:
		return strdup("no");
	case JSON_NULL:
		return strdup("");
	case JSON_ARRAY:
	case JSON_OBJECT:
		return print_members(value);
	case JSON_INTEGER:
	case JSON_REAL:
		break;
	}
	return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
}

/* Names may come from other nodes: nothing of them may steer the terminal. */
static char *without_controls(char *text)
{
	for (char *c = text; c != NULL && *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return text;
}

static char *print_cell(const json_t *value, enum table_format format)
{
	if (value == NULL)
		return strdup("");
	if (format == TABLE_BYTES && json_is_integer(value))
		return print_bytes(json_integer_value(value));
	if (format == TABLE_AGE)
		return print_age(value);
	if (format == TABLE_MARK)
		return strdup(json_is_true(value) || json_integer_value(value) != 0 ? "!" : "");
	return without_controls(print_plain(value));
}

/* Columns on a terminal, where a character of UTF-8 takes one. */
static int width_of(const char *text)
{
	int width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

static bool any_row_has(const json_t *rows, const char *key)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		if (json_object_get(row, key) != NULL)
			return true;
	}
	return false;
}

static void add_column(struct table *t, const char *key, const char *title,
		       enum table_format format)
{
	if (t->column_count == COLUMNS_MAX)
		return;
	t->columns[t->column_count++] = (struct column){
		.key = key,
		.title = title,
		.format = format,
		.is_number = true,
		.width = width_of(title),
	};
}

static bool is_in_layout(const struct table_column *layout, const char *key)
{
	for (; layout != NULL && layout->key != NULL; layout++) {
		if (strcmp(layout->key, key) == 0)
			return true;
	}
	return false;
}

static bool is_column(const struct table *t, const char *key)
{
	for (unsigned i = 0; i < t->column_count; i++) {
		if (strcmp(t->columns[i].key, key) == 0)
			return true;
	}
	return false;
}

static void choose_columns(struct table *t, const json_t *rows, const struct table_column *layout)
{
	const struct table_column *l = layout;
	const json_t *row;
	const char *key;
	json_t *value;
	size_t i;

	for (; l != NULL && l->key != NULL; l++) {
		if (l->format != TABLE_HIDDEN && any_row_has(rows, l->key))
			add_column(t, l->key, l->title, l->format);
	}
	json_array_foreach(rows, i, row)
	{
		json_object_foreach((json_t *)row, key, value)
		{
			if (!is_in_layout(layout, key) && !is_column(t, key))
				add_column(t, key, key, TABLE_PLAIN);
		}
	}
}

static int fill(struct table *t, const json_t *rows)
{
	const json_t *row;
	size_t i;

	t->row_count = json_array_size(rows);
	t->cells = calloc(t->row_count * t->column_count + 1, sizeof(*t->cells));
	if (t->cells == NULL)
		return -ENOMEM;
	json_array_foreach(rows, i, row)
	{
		for (unsigned c = 0; c < t->column_count; c++) {
			struct column *column = &t->columns[c];
			const json_t *value = json_object_get(row, column->key);
			char *cell = print_cell(value, column->format);

			if (cell == NULL)
				return -ENOMEM;
			t->cells[i * t->column_count + c] = cell;
			if (width_of(cell) > column->width)
				column->width = width_of(cell);
			if (value != NULL && !json_is_number(value))
				column->is_number = false;
		}
	}
	return 0;
}

static void print_padded(FILE *out, const struct column *column, const char *text, bool is_last)
{
	int pad = column->width - width_of(text);

	if (column->is_number)
		fprintf(out, "%*s%s", pad, "", text);
	else
		fprintf(out, "%s%*s", text, is_last ? 0 : pad, "");
	fputs(is_last ? "\n" : "  ", out);
}

static void print_all(const struct table *t, FILE *out)
{
	for (unsigned c = 0; c < t->column_count; c++)
		print_padded(out, &t->columns[c], t->columns[c].title, c + 1 == t->column_count);
	for (size_t i = 0; i < t->row_count; i++) {
		for (unsigned c = 0; c < t->column_count; c++)
			print_padded(out, &t->columns[c], t->cells[i * t->column_count + c],
				     c + 1 == t->column_count);
	}
}

int table_print(const json_t *rows, const struct table_column *layout, FILE *out)
{
	struct table t = {0};
	int err;

	choose_columns(&t, rows, layout);
	if (t.column_count == 0) {
		fprintf(out, "none\n");
		return 0;
	}
	err = fill(&t, rows);
	if (err == 0)
		print_all(&t, out);
	for (size_t i = 0; t.cells != NULL && i < t.row_count * t.column_count; i++)
		free(t.cells[i]);
	free(t.cells);
	return err;
}
