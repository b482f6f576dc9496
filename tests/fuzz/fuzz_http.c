/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LocalAPI's HTTP parser: whatever it accepts lies inside of the bytes given,
 * and its answer does not depend on what follows the request.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct http_request req;
	char value[8];
	long n, again;

	if (!copy)
		return 0;
	if (size)
		memcpy(copy, data, size);
	n = http_parse(copy, size, &req);
	if (n > (long)size)
		abort();
	if (n > 0) {
		if (req.body < copy || req.body + req.body_len > copy + size)
			abort();
		memcpy(copy, data, size);
		again = http_parse(copy, (size_t)n, &req);
		if (again != n)
			abort();
		/* A short room: what does not fit is cut. */
		if (http_query_get(&req, "q", value, sizeof(value)) &&
		    strlen(value) >= sizeof(value))
			abort();
	}
	free(copy);
	return 0;
}
