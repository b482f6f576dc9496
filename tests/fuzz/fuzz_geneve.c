/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the Geneve decoder; what it takes comes out the same when encoded and decoded again. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bug.h"
#include "lib/wire/geneve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t header[GENEVE_HEADER_BYTES];
	struct geneve g, again;

	if (!geneve_decode(data, size, &g))
		return 0;
	BUG_ON(size < GENEVE_HEADER_BYTES || g.vni > GENEVE_VNI_MAX);
	geneve_encode(header, &g);
	BUG_ON(!geneve_decode(header, sizeof(header), &again));
	BUG_ON(again.vni != g.vni || again.protocol != g.protocol);
	BUG_ON(again.is_control != g.is_control);
	return 0;
}
