/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the disco decoder; what it takes can be encoded and decoded again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/disco.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disco_msg m, again;
	uint8_t *out;
	size_t len;

	if (disco_decode(data, size, &m))
		return 0;
	len = disco_plain_bytes(&m);
	out = malloc(len);
	BUG_ON(!out || disco_encode(out, &m) != len);
	/* A relay message of another version comes out empty, which is none of this one. */
	BUG_ON(disco_decode(out, len, &again) && !m.version);
	BUG_ON(again.type != m.type);
	free(out);
	return 0;
}
