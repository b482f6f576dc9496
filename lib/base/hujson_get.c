/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader of a configuration asks of the parsed values: this type, in this
 * range, with these keys; and the sentence for the operator when it is not so.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/hujson.h"
#include "lib/base/nearest.h"

const char *hujson_type_name(enum hujson_type type)
{
	switch (type) {
	case HUJSON_NULL:
		return "null";
	case HUJSON_BOOL:
		return "true or false";
	case HUJSON_NUMBER:
		return "a number";
	case HUJSON_STRING:
		return "a string";
	case HUJSON_ARRAY:
		return "an array";
	case HUJSON_OBJECT:
		return "an object";
	}
	return "nothing";
}

int hujson_error_at(struct hujson_error *err, const struct hujson_value *value, const char *fmt,
		    ...)
{
	va_list ap;

	err->line = value != NULL ? value->place.line : 0;
	err->column = value != NULL ? value->place.column : 0;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	for (char *c = err->text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return -EINVAL;
}

static int expect(const struct hujson_value *value, enum hujson_type type, struct hujson_error *err)
{
	if (value->type == type)
		return 0;
	return hujson_error_at(err, value, "expected %s, found %s", hujson_type_name(type),
			       hujson_type_name(value->type));
}

const struct hujson_value *hujson_get(const struct hujson_value *object, const char *key)
{
	size_t len = strlen(key);

	if (object == NULL || object->type != HUJSON_OBJECT)
		return NULL;
	for (const struct hujson_value *v = object->first; v != NULL; v = v->next) {
		if (v->key_len == len && memcmp(v->key, key, len) == 0)
			return v;
	}
	return NULL;
}

int hujson_string(const struct hujson_value *value, const char **out, struct hujson_error *err)
{
	int rc = expect(value, HUJSON_STRING, err);

	if (rc < 0)
		return rc;
	if (strlen(value->text) != value->text_len)
		return hujson_error_at(err, value, "string holds a zero byte");
	*out = value->text;
	return 0;
}

int hujson_bool(const struct hujson_value *value, bool *out, struct hujson_error *err)
{
	int rc = expect(value, HUJSON_BOOL, err);

	if (rc == 0)
		*out = value->boolean;
	return rc;
}

int hujson_int(const struct hujson_value *value, int64_t min, int64_t max, int64_t *out,
	       struct hujson_error *err)
{
	int rc = expect(value, HUJSON_NUMBER, err);
	long long number;
	char *end;

	if (rc < 0)
		return rc;
	errno = 0;
	number = strtoll(value->text, &end, 10);
	if (*end != '\0')
		return hujson_error_at(err, value, "expected a whole number, found %.32s",
				       value->text);
	if (errno == ERANGE || number < min || number > max)
		return hujson_error_at(err, value, "%.32s is not between %lld and %lld",
				       value->text, (long long)min, (long long)max);
	*out = number;
	return 0;
}

int hujson_double(const struct hujson_value *value, double *out, struct hujson_error *err)
{
	int rc = expect(value, HUJSON_NUMBER, err);
	double number;

	if (rc < 0)
		return rc;
	number = strtod(value->text, NULL);
	if (!isfinite(number))
		return hujson_error_at(err, value, "%.32s is too large", value->text);
	*out = number;
	return 0;
}

int hujson_array(const struct hujson_value *value, struct hujson_error *err)
{
	return expect(value, HUJSON_ARRAY, err);
}

int hujson_object(const struct hujson_value *value, struct hujson_error *err)
{
	return expect(value, HUJSON_OBJECT, err);
}

static bool is_allowed(const struct hujson_value *v, const char *const *allowed)
{
	for (; *allowed != NULL; allowed++) {
		if (strlen(*allowed) == v->key_len && memcmp(*allowed, v->key, v->key_len) == 0)
			return true;
	}
	return false;
}

int hujson_check_keys(const struct hujson_value *object, const char *const *allowed,
		      struct hujson_error *err)
{
	int rc = expect(object, HUJSON_OBJECT, err);

	if (rc < 0)
		return rc;
	for (const struct hujson_value *v = object->first; v != NULL; v = v->next) {
		const char *near;

		if (is_allowed(v, allowed))
			continue;
		near = nearest_name(v->key, v->key_len, allowed);
		if (near != NULL)
			hujson_error_at(err, v,
					"unknown key \"%.48s\"; the nearest known one is \"%s\"",
					v->key, near);
		else
			hujson_error_at(err, v, "unknown key \"%.48s\"", v->key);
		err->line = v->key_place.line;
		err->column = v->key_place.column;
		return -EINVAL;
	}
	return 0;
}
