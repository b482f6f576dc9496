/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/tailcfg/json_in.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "controlplane/tailcfg/key_text.h"
#include "controlplane/tailcfg/time_text.h"
#include "lib/base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

static size_t first_wrong_byte(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t n = utf8_char_len(text + i, len - i);

		if (!n)
			break;
		i += n;
	}
	return i;
}

/* A copy in which each byte that is no UTF-8 became U+FFFD; NULL: no memory. */
static char *mend_utf8(const char *text, size_t len, size_t *out_len)
{
	char *out = malloc(3 * len + 1);
	size_t o = 0;

	for (size_t i = 0; out && i < len;) {
		size_t n = utf8_char_len(text + i, len - i);

		if (n) {
			memcpy(out + o, text + i, n);
			i += n;
			o += n;
		} else {
			memcpy(out + o, REPLACEMENT, 3);
			i++;
			o += 3;
		}
	}
	*out_len = o;
	return out;
}

json_t *json_in_parse(struct json_in *in, const char *text, size_t len)
{
	json_error_t error;
	char *mended = NULL;
	json_t *root;

	in->error[0] = 0;
	if (first_wrong_byte(text, len) < len) {
		mended = mend_utf8(text, len, &len);
		if (!mended) {
			snprintf(in->error, sizeof(in->error), "no memory");
			return NULL;
		}
		text = mended;
	}
	root = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	free(mended);
	if (!root)
		snprintf(in->error, sizeof(in->error), "byte %d: %s", error.position, error.text);
	return root;
}

void json_in_fail(struct json_in *in, const char *key, const char *wanted)
{
	if (!in->error[0])
		snprintf(in->error, sizeof(in->error), "%s: expected %s", key, wanted);
}

void json_in_within(struct json_in *in, const char *where, long index)
{
	char inner[JSON_IN_ERROR_MAX];

	memcpy(inner, in->error, sizeof(inner));
	if (index < 0)
		snprintf(in->error, sizeof(in->error), "%s.%.200s", where, inner);
	else
		snprintf(in->error, sizeof(in->error), "%s[%ld].%.200s", where, index, inner);
}

json_t *json_in_get(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);
	const char *name;
	json_t *other;

	if (!value) {
		json_object_foreach((json_t *)object, name, other) if (strcasecmp(name, key) == 0)
			value = other;
	}
	return json_is_null(value) ? NULL : value;
}

/* The text of a string value, or NULL: none, or one that holds a zero byte. */
static const char *text_of(const json_t *value)
{
	const char *text = json_string_value(value);

	return text && strlen(text) == json_string_length(value) ? text : NULL;
}

bool json_in_string(struct json_in *in, const json_t *object, const char *key, const char **out)
{
	json_t *value = json_in_get(object, key);
	const char *text;

	if (!value)
		return false;
	text = text_of(value);
	if (!text) {
		json_in_fail(in, key, "a string");
		return false;
	}
	*out = text;
	return true;
}

bool json_in_i64(struct json_in *in, const json_t *object, const char *key, int64_t min,
		 int64_t max, int64_t *out)
{
	json_t *value = json_in_get(object, key);

	if (!value)
		return false;
	if (!json_is_integer(value) || json_integer_value(value) < min ||
	    json_integer_value(value) > max) {
		json_in_fail(in, key, "an integer in range");
		return false;
	}
	*out = json_integer_value(value);
	return true;
}

bool json_in_bool(struct json_in *in, const json_t *object, const char *key, bool *out)
{
	json_t *value = json_in_get(object, key);

	if (!value)
		return false;
	if (!json_is_boolean(value)) {
		json_in_fail(in, key, "true or false");
		return false;
	}
	*out = json_is_true(value);
	return true;
}

bool json_in_tristate(struct json_in *in, const json_t *object, const char *key,
		      enum json_tristate *out)
{
	bool value;

	if (!json_in_bool(in, object, key, &value))
		return false;
	*out = value ? JSON_YES : JSON_NO;
	return true;
}

bool json_in_key(struct json_in *in, const json_t *object, const char *key, const char *prefix,
		 struct key *out)
{
	json_t *value = json_in_get(object, key);
	const char *text;

	if (!value)
		return false;
	text = text_of(value);
	if (!text || key_text_parse(text, prefix, out)) {
		json_in_fail(in, key, prefix);
		return false;
	}
	return true;
}

bool json_in_time(struct json_in *in, const json_t *object, const char *key, int64_t *out_ns)
{
	json_t *value = json_in_get(object, key);
	const char *text;

	if (!value)
		return false;
	text = text_of(value);
	if (!text || time_text_parse(text, out_ns)) {
		json_in_fail(in, key, "a time of RFC 3339");
		return false;
	}
	return true;
}

bool json_in_addr(struct json_in *in, const json_t *object, const char *key, struct ip_addr *out)
{
	const char *text;

	if (!json_in_string(in, object, key, &text))
		return false;
	if (!text[0]) {
		*out = (struct ip_addr){0};
		return true;
	}
	if (addr_parse(text, out)) {
		json_in_fail(in, key, "an address");
		return false;
	}
	return true;
}

json_t *json_in_list(struct json_in *in, const json_t *object, const char *key)
{
	json_t *value = json_in_get(object, key);

	if (value && !json_is_array(value)) {
		json_in_fail(in, key, "a list");
		return NULL;
	}
	return value;
}

json_t *json_in_object(struct json_in *in, const json_t *object, const char *key)
{
	json_t *value = json_in_get(object, key);

	if (value && !json_is_object(value)) {
		json_in_fail(in, key, "an object");
		return NULL;
	}
	return value;
}

static int read_prefix(const char *text, void *out)
{
	return strchr(text, '/') ? prefix_parse(text, true, out) : -EINVAL;
}

/* What Go takes and nobody can send to (port 0, an address with a zone) becomes family 0. */
static int read_endpoint(const char *text, void *out)
{
	size_t n = strlen(text);

	if (strchr(text, '%') || (n > 2 && strcmp(text + n - 2, ":0") == 0))
		return 0;
	return endpoint_parse(text, out);
}

/* Every element read by one() into an array of elements of `size` bytes. */
static bool read_all(struct json_in *in, const json_t *object, const char *key, size_t size,
		     int (*one)(const char *, void *), const char *wanted, void **out,
		     uint32_t *count)
{
	json_t *list = json_in_list(in, object, key);
	size_t n = json_array_size(list);
	char *array = NULL;

	if (!list)
		return false;
	if (n) {
		array = calloc(n, size);
		if (!array) {
			json_in_fail(in, key, "less (no memory)");
			return false;
		}
	}
	for (size_t i = 0; i < n; i++) {
		const char *text = text_of(json_array_get(list, i));

		if (!text || one(text, array + i * size)) {
			json_in_fail(in, key, wanted);
			free(array);
			return false;
		}
	}
	*out = array;
	*count = (uint32_t)n;
	return true;
}

bool json_in_prefixes(struct json_in *in, const json_t *object, const char *key,
		      struct prefix **out, uint32_t *count)
{
	void *array;

	if (!read_all(in, object, key, sizeof(**out), read_prefix, "prefixes with their length",
		      &array, count))
		return false;
	*out = array;
	return true;
}

bool json_in_endpoints(struct json_in *in, const json_t *object, const char *key,
		       struct endpoint **out, uint32_t *count)
{
	void *array;

	if (!read_all(in, object, key, sizeof(**out), read_endpoint, "\"address:port\" texts",
		      &array, count))
		return false;
	*out = array;
	return true;
}
