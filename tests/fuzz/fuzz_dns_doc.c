/* SPDX-License-Identifier: Apache-2.0 */
/* DNS settings of any bytes: refused with a place, or JSON that nodes can read. */
#include <jansson.h>
#include <stdlib.h>

#include "controlplane/coord/dns_doc.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hujson_error err = {0};
	char *config;
	json_t *read;

	if (dns_doc_read((const char *)data, size, "mesh.test", &config, &err)) {
		BUG_ON(!err.text[0]);
		return 0;
	}
	read = json_loads(config, JSON_REJECT_DUPLICATES, NULL);
	BUG_ON(!json_is_object(json_object_get(read, "Routes")));
	json_decref(read);
	free(config);
	return 0;
}
