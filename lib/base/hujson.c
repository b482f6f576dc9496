/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: one recursive descent over the bytes, with the values laid into an
 * arena. Memory is bounded by a small multiple of the text, depth by
 * HUJSON_DEPTH_MAX. Errors stand at the token that cannot be, strings and numbers
 * at their first byte, as tailscale/hujson tells them.
 */
#include "lib/base/hujson.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/base/fileio.h"
#include "lib/base/utf8.h"

#define CHUNK_BYTES ((size_t)16 << 10)
#define FILE_MAX    ((size_t)64 << 20)

struct hujson_chunk {
	struct hujson_chunk *next;
	size_t used;
	size_t size;
	_Alignas(16) char bytes[];
};

struct parser {
	const char *text;
	size_t len;
	size_t at;
	/* The line that was reached by the last place_of: places only grow. */
	size_t line_start;
	size_t line_seen;
	uint32_t line;
	unsigned depth;
	struct hujson *doc;
	struct hujson_error *err;
};

static void *arena_alloc(struct hujson *doc, size_t size)
{
	struct hujson_chunk *c = doc->chunks;
	void *out;

	size = (size + 15) & ~(size_t)15;
	if (c == NULL || c->size - c->used < size) {
		size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

		c = malloc(sizeof(*c) + room);
		if (c == NULL)
			return NULL;
		c->used = 0;
		c->size = room;
		c->next = doc->chunks;
		doc->chunks = c;
	}
	out = c->bytes + c->used;
	c->used += size;
	return out;
}

static struct hujson_place place_of(struct parser *p, size_t at)
{
	struct hujson_place place;

	if (at < p->line_seen) {
		p->line_seen = p->line_start = 0;
		p->line = 1;
	}
	for (; p->line_seen < at; p->line_seen++) {
		if (p->text[p->line_seen] == '\n') {
			p->line++;
			p->line_start = p->line_seen + 1;
		}
	}
	place.line = p->line;
	place.column = (uint32_t)(at - p->line_start) + 1;
	return place;
}

static int __attribute__((format(printf, 3, 4)))
fail_at(struct parser *p, size_t at, const char *fmt, ...)
{
	struct hujson_place place = place_of(p, at);
	va_list ap;

	p->err->line = place.line;
	p->err->column = place.column;
	va_start(ap, fmt);
	vsnprintf(p->err->text, sizeof(p->err->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* The byte at the place, or -1 at the end. */
static int peek(const struct parser *p)
{
	return p->at < p->len ? (unsigned char)p->text[p->at] : -1;
}

static int fail_unexpected(struct parser *p, const char *expected)
{
	int c = peek(p);

	if (c < 0)
		return fail_at(p, p->at, "unexpected end of file, expected %s", expected);
	if (c > 0x20 && c < 0x7f)
		return fail_at(p, p->at, "unexpected '%c', expected %s", c, expected);
	return fail_at(p, p->at, "unexpected byte 0x%02x, expected %s", (unsigned)c, expected);
}

/* p->at stands on a slash. */
static int skip_comment(struct parser *p)
{
	const char *begin = p->text + p->at;
	size_t left = p->len - p->at;
	const char *end;

	if (left < 2 || (begin[1] != '/' && begin[1] != '*'))
		return fail_at(p, p->at, "a single '/' begins no comment");
	if (begin[1] == '/') {
		end = memchr(begin, '\n', left);
		if (end == NULL)
			return fail_at(p, p->at, "a // comment must end with a newline");
		end += 1;
	} else {
		end = memmem(begin + 2, left - 2, "*/", 2);
		if (end == NULL)
			return fail_at(p, p->at, "this comment has no */");
		end += 2;
	}
	for (size_t i = p->at; i < (size_t)(end - p->text);) {
		size_t n = utf8_char_len(p->text + i, p->len - i);

		if (n == 0)
			return fail_at(p, i, "not UTF-8");
		i += n;
	}
	p->at = (size_t)(end - p->text);
	return 0;
}

static int skip_space(struct parser *p)
{
	for (;;) {
		int c = peek(p);

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			p->at++;
		} else if (c == '/') {
			int err = skip_comment(p);

			if (err < 0)
				return err;
		} else {
			return 0;
		}
	}
}

/* Four hexadecimal digits, or -1. */
static int32_t hex4(const char *text, size_t len)
{
	int32_t value = 0;

	if (len < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = text[i];
		int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			digit = c - 'A' + 10;
		else
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/*
 * An escape: text begins behind the backslash. Writes its character to out and
 * returns the bytes taken, 0 if it is none. Surrogates must come in pairs.
 */
static size_t unescape(const char *text, size_t len, char *out, size_t *out_len)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	int32_t unit, low;

	if (len == 0 || text[0] == '\0')
		return 0;
	letter = strchr(letters, text[0]);
	if (letter != NULL) {
		out[0] = meanings[letter - letters];
		*out_len = 1;
		return 1;
	}
	unit = text[0] == 'u' ? hex4(text + 1, len - 1) : -1;
	if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
		return 0;
	if (unit < 0xd800 || unit > 0xdbff) {
		*out_len = utf8_put((uint32_t)unit, out);
		return 5;
	}
	if (len < 11 || text[5] != '\\' || text[6] != 'u')
		return 0;
	low = hex4(text + 7, len - 7);
	if (low < 0xdc00 || low > 0xdfff)
		return 0;
	*out_len = utf8_put(0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00),
			    out);
	return 11;
}

/* The index of the closing quote of the string that begins at start. */
static int string_end(struct parser *p, size_t start, size_t *end)
{
	size_t i = start + 1;

	while (i < p->len && p->text[i] != '"') {
		unsigned char c = (unsigned char)p->text[i];
		size_t n = utf8_char_len(p->text + i, p->len - i);

		if (n == 0)
			return fail_at(p, start, "string is not UTF-8");
		if (c < 0x20)
			return fail_at(p, start, "control character in a string");
		i += c == '\\' && i + 1 < p->len && (unsigned char)p->text[i + 1] < 0x80 ? 2 : n;
	}
	if (i >= p->len)
		return fail_at(p, start, "string has no closing quote");
	*end = i;
	return 0;
}

/* p->at stands on the opening quote. */
static int parse_string(struct parser *p, const char **out, size_t *out_len)
{
	size_t start = p->at;
	size_t end = 0;
	size_t len = 0;
	int err = string_end(p, start, &end);
	char *text;

	if (err < 0)
		return err;
	/* No escape is shorter than what it stands for. */
	text = arena_alloc(p->doc, end - start);
	if (text == NULL)
		return -ENOMEM;
	for (size_t i = start + 1; i < end;) {
		size_t taken, put;

		if (p->text[i] != '\\') {
			text[len++] = p->text[i++];
			continue;
		}
		taken = unescape(p->text + i + 1, end - i - 1, text + len, &put);
		if (taken == 0)
			return fail_at(p, start, "string with an escape that JSON does not have");
		i += 1 + taken;
		len += put;
	}
	text[len] = '\0';
	p->at = end + 1;
	*out = text;
	*out_len = len;
	return 0;
}

static size_t count_digits(const struct parser *p, size_t at)
{
	size_t n = 0;

	while (at + n < p->len && p->text[at + n] >= '0' && p->text[at + n] <= '9')
		n++;
	return n;
}

/* Length of the number at p->at by JSON's grammar, 0 if there is none. */
static size_t number_len(const struct parser *p)
{
	size_t at = p->at;
	size_t n;

	if (p->text[at] == '-')
		at++;
	n = count_digits(p, at);
	if (n == 0 || (n > 1 && p->text[at] == '0'))
		return 0;
	at += n;
	if (at < p->len && p->text[at] == '.') {
		n = count_digits(p, at + 1);
		if (n == 0)
			return 0;
		at += 1 + n;
	}
	if (at < p->len && (p->text[at] | 0x20) == 'e') {
		at++;
		if (at < p->len && (p->text[at] == '+' || p->text[at] == '-'))
			at++;
		n = count_digits(p, at);
		if (n == 0)
			return 0;
		at += n;
	}
	return at - p->at;
}

static bool is_word_byte(int c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
	       c == '.' || c == '+' || c == '-';
}

static int parse_number(struct parser *p, struct hujson_value *v)
{
	size_t len = number_len(p);
	char *text;

	if (len == 0 || (p->at + len < p->len && is_word_byte((unsigned char)p->text[p->at + len])))
		return fail_at(p, p->at, "not a number as JSON writes them");
	text = arena_alloc(p->doc, len + 1);
	if (text == NULL)
		return -ENOMEM;
	memcpy(text, p->text + p->at, len);
	text[len] = '\0';
	p->at += len;
	v->type = HUJSON_NUMBER;
	v->text = text;
	v->text_len = len;
	return 0;
}

static int parse_word(struct parser *p, struct hujson_value *v)
{
	static const struct {
		const char *word;
		enum hujson_type type;
		bool boolean;
	} words[] = {
		{"null", HUJSON_NULL, false},
		{"true", HUJSON_BOOL, true},
		{"false", HUJSON_BOOL, false},
	};
	size_t len = 0;

	while (p->at + len < p->len && is_word_byte((unsigned char)p->text[p->at + len]))
		len++;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strlen(words[i].word) != len ||
		    memcmp(words[i].word, p->text + p->at, len) != 0)
			continue;
		v->type = words[i].type;
		v->boolean = words[i].boolean;
		p->at += len;
		return 0;
	}
	return fail_unexpected(p, "a value");
}

static int compare_keys(const void *a, const void *b)
{
	const struct hujson_value *x = *(const struct hujson_value *const *)a;
	const struct hujson_value *y = *(const struct hujson_value *const *)b;
	size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order = memcmp(x->key, y->key, len);

	if (order != 0)
		return order;
	if (x->key_len != y->key_len)
		return x->key_len < y->key_len ? -1 : 1;
	/* Equal keys in file order, so that it is the second that is called a duplicate. */
	if (x->key_place.line != y->key_place.line)
		return x->key_place.line < y->key_place.line ? -1 : 1;
	return x->key_place.column < y->key_place.column ? -1 : 1;
}

static bool same_key(const struct hujson_value *a, const struct hujson_value *b)
{
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* By sorting: objects come from files and may be large. */
static int refuse_duplicates(struct parser *p, const struct hujson_value *object)
{
	const struct hujson_value **sorted;
	uint32_t n = 0;
	int err = 0;

	if (object->count < 2)
		return 0;
	sorted = malloc(object->count * sizeof(*sorted));
	if (sorted == NULL)
		return -ENOMEM;
	for (const struct hujson_value *v = object->first; v != NULL; v = v->next)
		sorted[n++] = v;
	qsort(sorted, n, sizeof(*sorted), compare_keys);
	for (uint32_t i = 1; i < n && err == 0; i++) {
		if (!same_key(sorted[i - 1], sorted[i]))
			continue;
		err = hujson_error_at(p->err, NULL, "key \"%.64s\" was already given at line %u",
				      sorted[i]->key, sorted[i - 1]->key_place.line);
		p->err->line = sorted[i]->key_place.line;
		p->err->column = sorted[i]->key_place.column;
	}
	free(sorted);
	return err;
}

static int parse_value(struct parser *p, struct hujson_value *v);

/* Key, colon and the space around them. */
static int parse_key(struct parser *p, struct hujson_value *v)
{
	int err;

	if (peek(p) != '"')
		return fail_unexpected(p, "a key in double quotes or '}'");
	v->key_place = place_of(p, p->at);
	err = parse_string(p, &v->key, &v->key_len);
	if (err == 0)
		err = skip_space(p);
	if (err < 0)
		return err;
	if (peek(p) != ':')
		return fail_unexpected(p, "':'");
	p->at++;
	return skip_space(p);
}

/* p->at stands behind the opening bracket. */
static int parse_members(struct parser *p, struct hujson_value *container, char closer)
{
	struct hujson_value **tail = &container->first;

	for (;;) {
		struct hujson_value *v;
		int err = skip_space(p);

		if (err < 0)
			return err;
		if (peek(p) == closer)
			break;
		v = arena_alloc(p->doc, sizeof(*v));
		if (v == NULL)
			return -ENOMEM;
		memset(v, 0, sizeof(*v));
		if (closer == '}')
			err = parse_key(p, v);
		if (err == 0)
			err = parse_value(p, v);
		if (err == 0)
			err = skip_space(p);
		if (err < 0)
			return err;
		*tail = v;
		tail = &v->next;
		container->count++;
		if (peek(p) == closer)
			break;
		if (peek(p) != ',')
			return fail_unexpected(p, closer == '}' ? "',' or '}'" : "',' or ']'");
		p->at++;
	}
	p->at++;
	return closer == '}' ? refuse_duplicates(p, container) : 0;
}

static int parse_container(struct parser *p, struct hujson_value *v, char closer)
{
	int err;

	if (p->depth == HUJSON_DEPTH_MAX)
		return fail_at(p, p->at, "nested deeper than %d", HUJSON_DEPTH_MAX);
	v->type = closer == '}' ? HUJSON_OBJECT : HUJSON_ARRAY;
	p->depth++;
	p->at++;
	err = parse_members(p, v, closer);
	p->depth--;
	return err;
}

static int parse_value(struct parser *p, struct hujson_value *v)
{
	int c = peek(p);

	v->place = place_of(p, p->at);
	if (c == '{')
		return parse_container(p, v, '}');
	if (c == '[')
		return parse_container(p, v, ']');
	if (c == '"') {
		v->type = HUJSON_STRING;
		return parse_string(p, &v->text, &v->text_len);
	}
	if (c == '-' || (c >= '0' && c <= '9'))
		return parse_number(p, v);
	return parse_word(p, v);
}

static int parse_document(struct parser *p)
{
	int err = skip_space(p);

	if (err == 0)
		err = parse_value(p, p->doc->root);
	if (err == 0)
		err = skip_space(p);
	if (err == 0 && p->at < p->len)
		err = fail_unexpected(p, "the end of the file");
	return err;
}

int hujson_parse(const char *text, size_t len, struct hujson **doc, struct hujson_error *err)
{
	struct parser p = {.text = text, .len = len, .line = 1, .err = err};
	int rc = -ENOMEM;

	memset(err, 0, sizeof(*err));
	p.doc = calloc(1, sizeof(*p.doc));
	if (p.doc == NULL)
		return -ENOMEM;
	p.doc->root = arena_alloc(p.doc, sizeof(*p.doc->root));
	if (p.doc->root != NULL) {
		memset(p.doc->root, 0, sizeof(*p.doc->root));
		rc = parse_document(&p);
	}
	if (rc < 0) {
		if (rc == -ENOMEM)
			hujson_error_at(err, NULL, "out of memory");
		hujson_free(p.doc);
		return rc;
	}
	*doc = p.doc;
	return 0;
}

int hujson_parse_file(const char *path, struct hujson **doc, struct hujson_error *err)
{
	char *text;
	size_t len;
	int rc = file_read_all(path, FILE_MAX, &text, &len);

	if (rc < 0) {
		memset(err, 0, sizeof(*err));
		hujson_error_at(err, NULL, "cannot read: %s", strerror(-rc));
		return rc;
	}
	rc = hujson_parse(text, len, doc, err);
	free(text);
	return rc;
}

void hujson_free(struct hujson *doc)
{
	if (doc == NULL)
		return;
	while (doc->chunks != NULL) {
		struct hujson_chunk *c = doc->chunks;

		doc->chunks = c->next;
		free(c);
	}
	free(doc);
}
