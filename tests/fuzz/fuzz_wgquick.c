/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the wg-quick parser; what it takes must come out as HuJSON that parses. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "controlplane/cli/import.h"
#include "lib/base/bug.h"
#include "lib/base/hujson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hujson_error hujson_err;
	struct wgquick_error err;
	struct wgquick *wg;
	struct hujson *doc;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (wgquick_parse((const char *)data, size, &wg, &err) < 0) {
		BUG_ON(err.text[0] == '\0');
		return 0;
	}
	out = open_memstream(&text, &len);
	BUG_ON(out == NULL);
	import_print_config(wg, "/state", "a\n\"file", (size & 1) != 0, out);
	BUG_ON(fclose(out) != 0);
	BUG_ON(hujson_parse(text, len, &doc, &hujson_err) < 0);
	BUG_ON(hujson_get(doc->root, "peers")->count != wg->peer_count);
	hujson_free(doc);
	free(text);
	wgquick_free(wg);
	return 0;
}
