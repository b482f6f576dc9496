/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node says of itself, of any bytes: refused with a reason, or forms that the
 * store can keep: JSON of the right kind, a name that is one DNS label.
 */
#include <string.h>

#include "controlplane/coord/node_report.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_be_list(const char *text)
{
	json_t *list = json_loads(text, 0, NULL), *item;
	size_t i;

	BUG_ON(!json_is_array(list));
	json_array_foreach(list, i, item) BUG_ON(!json_is_string(item));
	json_decref(list);
}

static void must_be_label(const char *host)
{
	size_t n = strlen(host);

	BUG_ON(!n || n >= NODE_REPORT_HOST_MAX);
	BUG_ON(host[0] == '-' || host[n - 1] == '-');
	BUG_ON(strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-") != n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_in in = {0};
	struct node_report r;
	json_t *root = json_in_parse(&in, (const char *)data, size), *hostinfo;

	if (!root)
		return 0;
	if (node_report_read(&in, root, &r)) {
		BUG_ON(!in.error[0]);
	} else {
		must_be_label(r.host);
		must_be_list(r.routes);
		must_be_list(r.tags);
		must_be_list(r.endpoints);
		hostinfo = json_loads(r.hostinfo, 0, NULL);
		BUG_ON(!json_is_object(hostinfo));
		json_decref(hostinfo);
		BUG_ON(r.home < 0 || r.version < 0 || key_is_zero(&r.node_key));
	}
	node_report_fini(&r);
	json_decref(root);
	return 0;
}
