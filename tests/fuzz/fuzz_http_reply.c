/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the CLI's reader of HTTP responses, whole and piece by piece: both must agree. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/net/http_reply.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_reply reply;
	char *copy = malloc(size + 1);
	int rc;

	BUG_ON(copy == NULL);
	memcpy(copy, data, size);
	rc = http_reply_parse(copy, size / 2, false, &reply);
	if (rc == 0) {
		rc = http_reply_parse(copy, size, true, &reply);
		BUG_ON(rc == 0);
	}
	if (rc == 1)
		BUG_ON(reply.body < copy || reply.body + reply.body_len > copy + size);
	free(copy);
	return 0;
}
