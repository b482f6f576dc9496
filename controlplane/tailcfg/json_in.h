/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON as the nodes and coordinators of a tailnet do (docs/protocol/control.md,
 * "Text forms and JSON"; Go's encoding/json): member names match without regard to
 * case, an exact one first; null is the same as a member that is not there; members
 * that nobody asks for are passed over; a value of a wrong type fails the message.
 *
 * The first failure sticks in `error`, so a reader of many members looks once, at
 * the end. Values are borrowed from the tree. One thread at a time.
 */
#ifndef CONTROLPLANE_TAILCFG_JSON_IN_H
#define CONTROLPLANE_TAILCFG_JSON_IN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/addr.h"
#include "lib/base/key.h"

#define JSON_IN_ERROR_MAX 256

struct json_in {
	char error[JSON_IN_ERROR_MAX]; /* "" = none */
};

/* Yes, no, and what Go's opt.Bool calls unset. */
enum json_tristate { JSON_UNSET = -1, JSON_NO = 0, JSON_YES = 1 };

/*
 * The whole text is one value; bytes that are not UTF-8 are read as U+FFFD. NULL
 * with in->error filled; else the caller's, json_decref.
 */
json_t *json_in_parse(struct json_in *in, const char *text, size_t len);

static inline bool json_in_failed(const struct json_in *in)
{
	return in->error[0] != 0;
}
/* Notes "key: expected WANTED" unless something failed before. */
void json_in_fail(struct json_in *in, const char *key, const char *wanted);
/* Puts "WHERE[index]." (index < 0: "WHERE.") in front of the failure. */
void json_in_within(struct json_in *in, const char *where, long index);

/* The member, or NULL: not there, null, or `object` is none. */
json_t *json_in_get(const json_t *object, const char *key);

/*
 * Each: true if the member is there and right, *out is then written; else *out
 * stays, and if it is there but wrong the failure is noted.
 */
bool json_in_string(struct json_in *in, const json_t *object, const char *key, const char **out);
bool json_in_i64(struct json_in *in, const json_t *object, const char *key, int64_t min,
		 int64_t max, int64_t *out);
bool json_in_bool(struct json_in *in, const json_t *object, const char *key, bool *out);
bool json_in_tristate(struct json_in *in, const json_t *object, const char *key,
		      enum json_tristate *out);
/* "nodekey:" and 64 hexadecimal digits of either case, with the prefix that is given. */
bool json_in_key(struct json_in *in, const json_t *object, const char *key, const char *prefix,
		 struct key *out);
/* RFC 3339 -> ns since 1970; year 1 (Go's zero time) is 0; clamped to 1678..2262. */
bool json_in_time(struct json_in *in, const json_t *object, const char *key, int64_t *out_ns);
/* An address, or "" for none. */
bool json_in_addr(struct json_in *in, const json_t *object, const char *key, struct ip_addr *out);

/* The array or object, or NULL: not there, null, or wrong (noted). */
json_t *json_in_list(struct json_in *in, const json_t *object, const char *key);
json_t *json_in_object(struct json_in *in, const json_t *object, const char *key);

/*
 * Lists of text forms. *out is malloc'd (NULL when empty), *count its length; false
 * as above (then *out and *count stay). Prefixes need their length; host bits are
 * cleared. Endpoints are "ip:port"; one that nobody can send to (port 0, a zone) has
 * family 0.
 */
bool json_in_prefixes(struct json_in *in, const json_t *object, const char *key,
		      struct prefix **out, uint32_t *count);
bool json_in_endpoints(struct json_in *in, const json_t *object, const char *key,
		       struct endpoint **out, uint32_t *count);

#endif
