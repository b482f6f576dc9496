/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the dpapi decoder; the length in the header is made right for every other input. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/dpapi/dpapi_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[DPAPI_MSG_MAX];
	_Alignas(8) uint8_t out[1024];
	struct dpapi_hdr hdr;
	char reason[96];
	size_t body_off = 0;

	if (size > sizeof(copy))
		return 0;
	memcpy(copy, data, size);
	if (size >= sizeof(hdr)) {
		memcpy(&hdr, copy, sizeof(hdr));
		/* Else nearly all inputs would end at the first check. */
		if ((hdr.seq & 1) == 0)
			hdr.len = (uint32_t)size;
		memcpy(copy, &hdr, sizeof(hdr));
	}
	if (dpapi_msg_decode(copy, size, out, sizeof(out), &body_off, reason, sizeof(reason)) < 0) {
		BUG_ON(reason[0] == '\0');
		return 0;
	}
	BUG_ON(body_off > size);
	return 0;
}
