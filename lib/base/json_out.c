/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/json_out.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/base/utf8.h"

#define FIRST_CAP 1024

void json_out_init(struct json_out *j)
{
	memset(j, 0, sizeof(*j));
}

void json_out_fini(struct json_out *j)
{
	free(j->text);
	memset(j, 0, sizeof(*j));
}

static void put(struct json_out *j, const char *bytes, size_t len)
{
	if (j->error < 0)
		return;
	if (j->len + len + 1 > j->cap) {
		size_t cap = j->cap > 0 ? j->cap : FIRST_CAP;
		char *text;

		while (cap < j->len + len + 1)
			cap *= 2;
		text = realloc(j->text, cap);
		if (text == NULL) {
			j->error = -ENOMEM;
			return;
		}
		j->text = text;
		j->cap = cap;
	}
	memcpy(j->text + j->len, bytes, len);
	j->len += len;
	j->text[j->len] = '\0';
}

static void put_escaped_byte(struct json_out *j, unsigned char c)
{
	static const char with_letter[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	const char *at = c == 0 ? NULL : strchr(with_letter, c);
	char buf[8];

	if (at != NULL)
		snprintf(buf, sizeof(buf), "\\%c", letters[at - with_letter]);
	else
		snprintf(buf, sizeof(buf), "\\u%04x", c);
	put(j, buf, strlen(buf));
}

/* Bytes at the start that stand for themselves. */
static size_t plain_len(const char *text)
{
	size_t n = 0;

	while (text[n] >= 0x20 && text[n] < 0x7f && text[n] != '"' && text[n] != '\\')
		n++;
	return n;
}

static void put_quoted(struct json_out *j, const char *text)
{
	size_t len = strlen(text);

	put(j, "\"", 1);
	for (size_t i = 0; i < len;) {
		size_t plain = plain_len(text + i), n;
		unsigned char c;

		put(j, text + i, plain);
		i += plain;
		if (i == len)
			break;
		n = utf8_char_len(text + i, len - i);
		c = (unsigned char)text[i];

		if (n == 0)
			put(j, "\xef\xbf\xbd", 3);
		else if (n == 1 && (c < 0x20 || c == '"' || c == '\\' || c == 0x7f))
			put_escaped_byte(j, c);
		else
			put(j, text + i, n);
		i += n > 0 ? n : 1;
	}
	put(j, "\"", 1);
}

/* What stands before a value: the comma and the key. */
static void begin_value(struct json_out *j, const char *key)
{
	if (j->depth > 0) {
		BUG_ON((j->closer[j->depth - 1] == '}') != (key != NULL));
		if (j->has_item[j->depth - 1])
			put(j, ",", 1);
		j->has_item[j->depth - 1] = true;
	}
	if (key != NULL) {
		put_quoted(j, key);
		put(j, ":", 1);
	}
}

static void open_container(struct json_out *j, const char *key, char opener, char closer)
{
	BUG_ON(j->depth >= JSON_OUT_DEPTH);
	begin_value(j, key);
	put(j, &opener, 1);
	j->closer[j->depth] = closer;
	j->has_item[j->depth] = false;
	j->depth++;
}

void json_out_object(struct json_out *j, const char *key)
{
	open_container(j, key, '{', '}');
}

void json_out_array(struct json_out *j, const char *key)
{
	open_container(j, key, '[', ']');
}

void json_out_end(struct json_out *j)
{
	BUG_ON(j->depth == 0);
	j->depth--;
	put(j, &j->closer[j->depth], 1);
}

void json_out_string(struct json_out *j, const char *key, const char *value)
{
	if (value == NULL) {
		json_out_null(j, key);
		return;
	}
	begin_value(j, key);
	put_quoted(j, value);
}

static void put_plain(struct json_out *j, const char *key, const char *text)
{
	begin_value(j, key);
	put(j, text, strlen(text));
}

void json_out_u64(struct json_out *j, const char *key, uint64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, value);
	put_plain(j, key, buf);
}

void json_out_i64(struct json_out *j, const char *key, int64_t value)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRId64, value);
	put_plain(j, key, buf);
}

void json_out_double(struct json_out *j, const char *key, double value)
{
	char buf[32];

	if (!isfinite(value)) {
		json_out_null(j, key);
		return;
	}
	/* The short form where it says the same number. */
	snprintf(buf, sizeof(buf), "%.9g", value);
	if (strtod(buf, NULL) != value)
		snprintf(buf, sizeof(buf), "%.17g", value);
	put_plain(j, key, buf);
}

void json_out_bool(struct json_out *j, const char *key, bool value)
{
	put_plain(j, key, value ? "true" : "false");
}

void json_out_null(struct json_out *j, const char *key)
{
	put_plain(j, key, "null");
}

void json_out_raw(struct json_out *j, const char *key, const char *json)
{
	put_plain(j, key, json);
}

void json_out_members(struct json_out *j, const char *json)
{
	BUG_ON(j->depth == 0 || j->closer[j->depth - 1] != '}');
	if (!json[0])
		return;
	if (j->has_item[j->depth - 1])
		put(j, ",", 1);
	j->has_item[j->depth - 1] = true;
	put(j, json, strlen(json));
}
