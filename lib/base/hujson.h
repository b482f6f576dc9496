/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HuJSON: JSON with comments and trailing commas, the language of the
 * configuration and policy files. The parser takes what tailscale/hujson takes,
 * except for two things that a file written by hand should not hold: a key that
 * comes twice in an object, and nesting deeper than HUJSON_DEPTH_MAX.
 *
 * Every value and every key knows where it stands: line and column from 1, the
 * column counted in bytes. A document is one arena: values live until
 * hujson_free, nothing is freed alone. One thread at a time.
 */
#ifndef LIB_BASE_HUJSON_H
#define LIB_BASE_HUJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HUJSON_DEPTH_MAX 64

enum hujson_type {
	HUJSON_NULL,
	HUJSON_BOOL,
	HUJSON_NUMBER,
	HUJSON_STRING,
	HUJSON_ARRAY,
	HUJSON_OBJECT,
};

struct hujson_place {
	uint32_t line;
	uint32_t column; /* bytes */
};

struct hujson_error {
	uint32_t line;
	uint32_t column;
	char text[192]; /* no control characters */
};

struct hujson_value {
	enum hujson_type type;
	bool boolean;
	struct hujson_place place;
	const char *text; /* string: unescaped; number: as written. Zero-terminated */
	size_t text_len;  /* a string may hold zero bytes */
	uint32_t count;	  /* array, object: members */
	struct hujson_value *first;
	struct hujson_value *next; /* in the same array or object */
	const char *key;	   /* in an object, else NULL */
	size_t key_len;
	struct hujson_place key_place;
};

struct hujson {
	struct hujson_value *root;
	struct hujson_chunk *chunks;
};

/* 0, or -EINVAL with err filled, or -ENOMEM. Text need not be zero-terminated. */
int hujson_parse(const char *text, size_t len, struct hujson **doc, struct hujson_error *err);
/* Reads the file first (at most 64 MiB); errors of reading are told at line 0. */
int hujson_parse_file(const char *path, struct hujson **doc, struct hujson_error *err);
void hujson_free(struct hujson *doc);

/* The member of an object, or NULL: not there, or no object. */
const struct hujson_value *hujson_get(const struct hujson_value *object, const char *key);

/*
 * Each takes a value and gives what it holds: 0, or -EINVAL with err saying what
 * was expected and where. value may not be NULL. Strings end at text_len: one
 * with a zero byte inside is refused. Integers: written without fraction or
 * exponent, within min and max.
 */
int hujson_string(const struct hujson_value *value, const char **out, struct hujson_error *err);
int hujson_bool(const struct hujson_value *value, bool *out, struct hujson_error *err);
int hujson_int(const struct hujson_value *value, int64_t min, int64_t max, int64_t *out,
	       struct hujson_error *err);
int hujson_double(const struct hujson_value *value, double *out, struct hujson_error *err);
int hujson_array(const struct hujson_value *value, struct hujson_error *err);
int hujson_object(const struct hujson_value *value, struct hujson_error *err);

/*
 * Every key of the object must be one of allowed, a list that ends with NULL; else
 * -EINVAL, and err names the key and the nearest allowed one.
 */
int hujson_check_keys(const struct hujson_value *object, const char *const *allowed,
		      struct hujson_error *err);

/* An error of the caller's own at a value. Returns -EINVAL. */
int hujson_error_at(struct hujson_error *err, const struct hujson_value *value, const char *fmt,
		    ...) __attribute__((format(printf, 3, 4)));
const char *hujson_type_name(enum hujson_type type);

#endif
