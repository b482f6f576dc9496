/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the HuJSON parser and its getters; whatever is taken must walk without a fault. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bug.h"
#include "lib/base/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct hujson_value *v)
{
	static const char *const allowed[] = {"endpoint", "mtu", NULL};
	struct hujson_error err;
	const char *text;
	int64_t number;
	uint32_t n = 0;
	double real;

	BUG_ON(v->place.line == 0 || v->place.column == 0);
	hujson_string(v, &text, &err);
	hujson_int(v, INT64_MIN, INT64_MAX, &number, &err);
	hujson_double(v, &real, &err);
	if (v->type == HUJSON_OBJECT)
		hujson_check_keys(v, allowed, &err);
	for (const struct hujson_value *m = v->first; m != NULL; m = m->next, n++)
		walk(m);
	BUG_ON(n != v->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hujson_error err;
	struct hujson *doc;

	if (hujson_parse((const char *)data, size, &doc, &err) < 0) {
		BUG_ON(err.line == 0 || err.column == 0 || err.text[0] == '\0');
		return 0;
	}
	walk(doc->root);
	hujson_free(doc);
	return 0;
}
