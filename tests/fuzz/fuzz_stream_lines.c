/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of JSON out of chunks: in one piece and byte by byte they are the same ones. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/stream_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many values came, and how it ended. */
static unsigned run(const uint8_t *data, size_t size, size_t step, int *how)
{
	struct stream_lines s = {0};
	unsigned count = 0;

	*how = 0;
	for (size_t at = 0; at < size && !*how; at += step) {
		size_t n = size - at < step ? size - at : step;
		json_t *value;
		char *to;
		int rc;

		if (stream_lines_reserve(&s, n, &to))
			break;
		memcpy(to, data + at, n);
		stream_lines_came(&s, n);
		while ((rc = stream_lines_next(&s, &value)) == 1) {
			json_decref(value);
			count++;
		}
		*how = rc;
	}
	stream_lines_fini(&s);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int whole_how, bytes_how;
	unsigned whole = run(data, size, size ? size : 1, &whole_how);
	unsigned bytes = run(data, size, 1, &bytes_how);

	if (whole != bytes || whole_how != bytes_how)
		abort();
	return 0;
}
