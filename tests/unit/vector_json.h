/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded vectors: JSON files whose byte strings are lower-case hexadecimal. */
#ifndef TESTS_UNIT_VECTOR_JSON_H
#define TESTS_UNIT_VECTOR_JSON_H

#include <jansson.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/addr.h"
#include "lib/base/bug.h"

static inline json_t *vector_load(const char *path)
{
	json_error_t err;
	json_t *root = json_load_file(path, 0, &err);

	if (!root)
		fprintf(stderr, "%s:%d: %s\n", path, err.line, err.text);
	BUG_ON(!root);
	return root;
}

static inline const char *vector_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* The object of a list whose "name" is this. */
static inline const json_t *vector_named(const json_t *list, const char *name)
{
	const json_t *one, *found = NULL;
	size_t i;

	json_array_foreach(list, i, one) if (strcmp(vector_text(one, "name"), name) == 0) found =
		one;
	BUG_ON(!found);
	return found;
}

/*
 * The bytes of object[key] in a heap buffer of exactly *len bytes, so that the
 * sanitizer sees a read behind it. The caller frees it.
 */
static inline uint8_t *vector_bytes(const json_t *object, const char *key, size_t *len)
{
	const char *hex = vector_text(object, key), *end;
	size_t max = hex ? strlen(hex) / 2 : 0;
	uint8_t *out = malloc(max ? max : 1);

	BUG_ON(!hex || !out);
	BUG_ON(sodium_hex2bin(out, max, hex, strlen(hex), NULL, len, &end) || *end);
	return out;
}

/* Exactly size bytes into out; false where the text is empty. */
static inline bool vector_fixed(const json_t *object, const char *key, uint8_t *out, size_t size)
{
	size_t len;
	uint8_t *bytes = vector_bytes(object, key, &len);

	BUG_ON(len && len != size);
	memcpy(out, bytes, len);
	free(bytes);
	return len != 0;
}

/* endpoint_parse, and port 0 as well. */
static inline struct endpoint vector_endpoint(const char *text)
{
	struct endpoint e = {0};
	char addr[64];
	size_t n = strlen(text);

	if (endpoint_parse(text, &e) == 0)
		return e;
	BUG_ON(n < 3 || n > sizeof(addr) || strcmp(text + n - 2, ":0") != 0);
	memcpy(addr, text, n - 2);
	addr[n - 2] = 0;
	if (addr[0] == '[') {
		addr[n - 3] = 0;
		BUG_ON(addr_parse(addr + 1, &e.addr));
	} else {
		BUG_ON(addr_parse(addr, &e.addr));
	}
	return e;
}

#endif
