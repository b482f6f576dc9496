/* SPDX-License-Identifier: Apache-2.0 */
/* Shows that what the JSON writer writes reads back the same, whatever bytes a string holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "lib/base/hujson.h"
#include "lib/base/json_out.h"

static void form(void **state)
{
	struct json_out j;

	json_out_init(&j);
	json_out_object(&j, NULL);
	json_out_array(&j, "rows");
	json_out_object(&j, NULL);
	json_out_u64(&j, "u", UINT64_MAX);
	json_out_i64(&j, "i", INT64_MIN);
	json_out_end(&j);
	json_out_bool(&j, NULL, true);
	json_out_end(&j);
	json_out_object(&j, "none");
	json_out_end(&j);
	json_out_double(&j, "d", 0.1);
	json_out_double(&j, "nan", NAN);
	json_out_string(&j, "s", "a\"\\\n\x01\xff\xc3\xa9");
	json_out_string(&j, "null", NULL);
	json_out_end(&j);
	assert_int_equal(j.error, 0);
	assert_string_equal(j.text,
			    "{\"rows\":[{\"u\":18446744073709551615,\"i\":-9223372036854775808},"
			    "true],\"none\":{},\"d\":0.1,\"nan\":null,"
			    "\"s\":\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\",\"null\":null}");
	assert_int_equal(j.len, strlen(j.text));
	json_out_fini(&j);
}

static void strings_read_back(void **state)
{
	char bytes[128];

	for (int i = 0; i < 127; i++)
		bytes[i] = (char)(i + 1);
	bytes[127] = '\0';
	for (int rounds = 0; rounds < 40; rounds++) {
		struct hujson_error err;
		struct hujson *doc;
		struct json_out j;
		const char *back;

		json_out_init(&j);
		json_out_array(&j, NULL);
		for (int i = 0; i <= rounds; i++)
			json_out_string(&j, NULL, bytes);
		json_out_end(&j);
		assert_int_equal(j.error, 0);
		assert_int_equal(hujson_parse(j.text, j.len, &doc, &err), 0);
		assert_int_equal(doc->root->count, rounds + 1);
		assert_int_equal(hujson_string(doc->root->first, &back, &err), 0);
		assert_string_equal(back, bytes);
		hujson_free(doc);
		json_out_fini(&j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form),
		cmocka_unit_test(strings_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
