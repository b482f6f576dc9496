/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows that the HuJSON parser reads what tailscale/hujson reads and refuses the
 * rest at the same line and column (recorded cases), and that its getters tell
 * the operator what was expected and where.
 * Usage: test_hujson VECTORS.json
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/base/hujson.h"

static const char *vectors_path;

static void assert_same(const struct hujson_value *v, const json_t *want);

static void assert_same_object(const struct hujson_value *v, const json_t *want)
{
	const char *key;
	json_t *member;

	assert_int_equal(v->type, HUJSON_OBJECT);
	assert_int_equal(v->count, json_object_size(want));
	json_object_foreach((json_t *)want, key, member)
	{
		assert_non_null(hujson_get(v, key));
		assert_same(hujson_get(v, key), member);
	}
}

static void assert_same(const struct hujson_value *v, const json_t *want)
{
	struct hujson_error err;
	const struct hujson_value *member = v->first;
	const char *text;
	double number;

	switch (json_typeof(want)) {
	case JSON_OBJECT:
		assert_same_object(v, want);
		break;
	case JSON_ARRAY:
		assert_int_equal(v->type, HUJSON_ARRAY);
		assert_int_equal(v->count, json_array_size(want));
		for (size_t i = 0; i < json_array_size(want); i++, member = member->next)
			assert_same(member, json_array_get(want, i));
		break;
	case JSON_STRING:
		assert_int_equal(hujson_string(v, &text, &err), 0);
		assert_string_equal(text, json_string_value(want));
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		assert_int_equal(hujson_double(v, &number, &err), 0);
		assert_true(number == json_number_value(want));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		assert_int_equal(v->type, HUJSON_BOOL);
		assert_int_equal(v->boolean, json_is_true(want));
		break;
	case JSON_NULL:
		assert_int_equal(v->type, HUJSON_NULL);
		break;
	}
}

static void run_case(const json_t *c)
{
	const char *name = json_string_value(json_object_get(c, "name"));
	const char *text = json_string_value(json_object_get(c, "text"));
	const json_t *value = json_object_get(c, "expect_value");
	const json_t *place = json_object_get(c, "expect_error");
	struct hujson_error err;
	struct hujson *doc = NULL;
	int rc = hujson_parse(text, json_string_length(json_object_get(c, "text")), &doc, &err);

	if (value != NULL) {
		if (rc < 0)
			fail_msg("%s: %u:%u %s", name, err.line, err.column, err.text);
		assert_same(doc->root, value);
		hujson_free(doc);
		return;
	}
	if (rc == 0)
		fail_msg("%s: was not refused", name);
	if (err.line != json_integer_value(json_object_get(place, "line")) ||
	    err.column != json_integer_value(json_object_get(place, "column")))
		fail_msg("%s: refused at %u:%u (%s)", name, err.line, err.column, err.text);
	assert_true(strlen(err.text) > 0);
}

static void recorded_cases(void **state)
{
	json_error_t jerr;
	json_t *file = json_load_file(vectors_path, 0, &jerr);
	const json_t *cases = json_object_get(file, "cases");

	if (file == NULL)
		fail_msg("%s: %s", vectors_path, jerr.text);
	assert_true(json_array_size(cases) >= 30);
	for (size_t i = 0; i < json_array_size(cases); i++)
		run_case(json_array_get(cases, i));
	json_decref(file);
}

static struct hujson *parse_ok(const char *text)
{
	struct hujson_error err;
	struct hujson *doc;

	if (hujson_parse(text, strlen(text), &doc, &err) < 0)
		fail_msg("%s: %u:%u %s", text, err.line, err.column, err.text);
	return doc;
}

static void refused(const char *text, size_t len, uint32_t line, uint32_t column, const char *part)
{
	struct hujson_error err;
	struct hujson *doc;

	assert_int_equal(hujson_parse(text, len, &doc, &err), -EINVAL);
	if (err.line != line || err.column != column || strstr(err.text, part) == NULL)
		fail_msg("%s: %u:%u %s", text, err.line, err.column, err.text);
}

static void refused_text(const char *text, uint32_t line, uint32_t column, const char *part)
{
	refused(text, strlen(text), line, column, part);
}

static void own_refusals(void **state)
{
	refused_text("{\"a\":1,\n \"b\":2, \"a\":3}", 2, 9,
		     "key \"a\" was already given at line 1");
	refused_text("[1, 2] 3", 1, 8, "end of the file");
	refused_text("[truer]", 1, 2, "a value");
	refused_text("[1.]", 1, 2, "number");
	refused_text("[1e]", 1, 2, "number");
	refused_text("[-]", 1, 2, "number");
	refused_text("[1x]", 1, 2, "number");
	refused_text("/* [1]", 1, 1, "*/");
	refused_text("[1 / 2]", 1, 4, "'/'");
	refused_text("[\"a", 1, 2, "closing quote");
	refused_text("[\"\\ud800\"]", 1, 2, "escape");
	refused_text("[\"\\udc00\"]", 1, 2, "escape");
	refused_text("[\"\\u12g4\"]", 1, 2, "escape");
	refused_text("[\"\xff\"]", 1, 2, "UTF-8");
	refused_text("[\"\xc0\x80\"]", 1, 2, "UTF-8");
	refused_text("[\"\xed\xa0\x80\"]", 1, 2, "UTF-8");
	refused_text("[\"\xf4\x90\x80\x80\"]", 1, 2, "UTF-8");
	refused_text("[ // \xff\n]", 1, 6, "UTF-8");
	refused("[\"a\0b\"]", 7, 1, 2, "control character");
	refused("\0", 1, 1, 1, "0x00");
}

static void depth_is_limited(void **state)
{
	char text[2 * HUJSON_DEPTH_MAX + 3];
	size_t n = HUJSON_DEPTH_MAX;

	memset(text, '[', n);
	memset(text + n, ']', n);
	text[2 * n] = '\0';
	hujson_free(parse_ok(text));
	n++;
	memset(text, '[', n);
	memset(text + n, ']', n);
	text[2 * n] = '\0';
	refused_text(text, 1, HUJSON_DEPTH_MAX + 1, "nested deeper");
}

static void strings_are_unescaped(void **state)
{
	struct hujson *doc = parse_ok("[\"\\u00e9\\n\\\"\\\\\\/\\ud83d\\ude00\", \"a\\u0000b\"]");
	const struct hujson_value *second = doc->root->first->next;
	struct hujson_error err;
	const char *text;

	assert_int_equal(hujson_string(doc->root->first, &text, &err), 0);
	assert_string_equal(text, "\xc3\xa9\n\"\\/\xf0\x9f\x98\x80");
	assert_int_equal(second->text_len, 3);
	assert_int_equal(hujson_string(second, &text, &err), -EINVAL);
	assert_int_equal(err.column, 32);
	hujson_free(doc);
}

static void every_value_knows_its_place(void **state)
{
	struct hujson *doc = parse_ok("{\n  // c\n  \"a\": [1,\n    \"x\",],\n}\n");
	const struct hujson_value *a = hujson_get(doc->root, "a");

	assert_int_equal(a->key_place.line, 3);
	assert_int_equal(a->key_place.column, 3);
	assert_int_equal(a->place.line, 3);
	assert_int_equal(a->place.column, 8);
	assert_int_equal(a->first->next->place.line, 4);
	assert_int_equal(a->first->next->place.column, 5);
	assert_null(hujson_get(doc->root, "b"));
	assert_null(hujson_get(a, "a"));
	hujson_free(doc);
}

static void getters_say_what_they_expected(void **state)
{
	struct hujson *doc = parse_ok("{\"s\": 7,\n \"i\": 1.5, \"big\": 70000,\n \"o\": []}");
	const struct hujson_value *root = doc->root;
	struct hujson_error err;
	const char *text;
	int64_t number;
	double real;
	bool yes;

	assert_int_equal(hujson_string(hujson_get(root, "s"), &text, &err), -EINVAL);
	assert_string_equal(err.text, "expected a string, found a number");
	assert_int_equal(err.line, 1);
	assert_int_equal(err.column, 7);
	assert_int_equal(hujson_int(hujson_get(root, "s"), 0, 9, &number, &err), 0);
	assert_int_equal(number, 7);
	assert_int_equal(hujson_int(hujson_get(root, "i"), 0, 9, &number, &err), -EINVAL);
	assert_string_equal(err.text, "expected a whole number, found 1.5");
	assert_int_equal(hujson_int(hujson_get(root, "big"), 1, 65535, &number, &err), -EINVAL);
	assert_string_equal(err.text, "70000 is not between 1 and 65535");
	assert_int_equal(hujson_double(hujson_get(root, "i"), &real, &err), 0);
	assert_true(real == 1.5);
	assert_int_equal(hujson_bool(hujson_get(root, "i"), &yes, &err), -EINVAL);
	assert_int_equal(hujson_object(hujson_get(root, "o"), &err), -EINVAL);
	assert_int_equal(err.line, 3);
	assert_int_equal(hujson_array(hujson_get(root, "o"), &err), 0);
	hujson_free(doc);
}

static void unknown_keys_name_the_nearest(void **state)
{
	static const char *const allowed[] = {"endpoint", "allowed_ips", "mtu", NULL};
	struct hujson *good = parse_ok("{\"mtu\": 1, \"endpoint\": 2}");
	struct hujson *bad = parse_ok("{\"mtu\": 1,\n  \"alowed_ip\": []}");
	struct hujson_error err;

	assert_int_equal(hujson_check_keys(good->root, allowed, &err), 0);
	assert_int_equal(hujson_check_keys(bad->root, allowed, &err), -EINVAL);
	assert_int_equal(err.line, 2);
	assert_int_equal(err.column, 3);
	assert_string_equal(err.text, "unknown key \"alowed_ip\"; the nearest known one is "
				      "\"allowed_ips\"");
	hujson_free(good);
	hujson_free(bad);
}

/* Every prefix of a good text, and every single changed byte, ends with a verdict. */
static void damaged_texts_end_with_a_verdict(void **state)
{
	static const char good[] = "{/*c*/\"a\": [1, -2.5e3, \"\\u00e9\\ud83d\\ude00\", true,],\n"
				   "// x\n\"b\": {\"c\": null}}\n";
	size_t len = sizeof(good) - 1;
	struct hujson_error err;
	struct hujson *doc;

	for (size_t i = 0; i <= len; i++) {
		char *copy = malloc(i + 1);

		memcpy(copy, good, i);
		if (hujson_parse(copy, i, &doc, &err) == 0)
			hujson_free(doc);
		for (size_t at = 0; at < i; at++) {
			copy[at] = (char)(good[at] ^ (char)(1 + (at * 37 + i) % 255));
			if (hujson_parse(copy, i, &doc, &err) == 0)
				hujson_free(doc);
			else
				assert_true(err.line >= 1 && err.column >= 1);
			copy[at] = good[at];
		}
		free(copy);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_cases),
		cmocka_unit_test(own_refusals),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(strings_are_unescaped),
		cmocka_unit_test(every_value_knows_its_place),
		cmocka_unit_test(getters_say_what_they_expected),
		cmocka_unit_test(unknown_keys_name_the_nearest),
		cmocka_unit_test(damaged_texts_end_with_a_verdict),
	};

	if (argc != 2)
		return 2;
	vectors_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
