/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes JSON text into a buffer that grows.
 *
 *   struct json_out j;
 *   json_out_init(&j);
 *   json_out_object(&j, NULL);              {
 *   json_out_array(&j, "peers");              "peers":[
 *   json_out_u64(&j, NULL, 7);                  7
 *   json_out_end(&j);                         ]
 *   json_out_end(&j);                       }
 *   if (j.error == 0) use j.text, j.len;
 *   json_out_fini(&j);
 *
 * Inside an object every call has a key, inside an array and at the root NULL.
 * Want of memory sticks in error, so callers look once, at the end. One thread at
 * a time.
 */
#ifndef LIB_BASE_JSON_OUT_H
#define LIB_BASE_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_OUT_DEPTH 32

struct json_out {
	char *text; /* zero-terminated once something was written */
	size_t len;
	size_t cap;
	int error; /* 0 or a negative errno */
	unsigned depth;
	bool has_item[JSON_OUT_DEPTH];
	char closer[JSON_OUT_DEPTH];
};

void json_out_init(struct json_out *j);
void json_out_fini(struct json_out *j);

void json_out_object(struct json_out *j, const char *key);
void json_out_array(struct json_out *j, const char *key);
/* Closes the innermost object or array. */
void json_out_end(struct json_out *j);

/* NULL is written as null; bytes that are not UTF-8 as U+FFFD. */
void json_out_string(struct json_out *j, const char *key, const char *value);
void json_out_u64(struct json_out *j, const char *key, uint64_t value);
void json_out_i64(struct json_out *j, const char *key, int64_t value);
/* Infinities and NaN, which JSON lacks, are written as null. */
void json_out_double(struct json_out *j, const char *key, double value);
void json_out_bool(struct json_out *j, const char *key, bool value);
void json_out_null(struct json_out *j, const char *key);
/* Text that is JSON already: a value; some members, with their commas, of an object. */
void json_out_raw(struct json_out *j, const char *key, const char *json);
void json_out_members(struct json_out *j, const char *json);

#endif
