/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the DERP body parsers and the judges of headers. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/derp_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[DERP_KEY_BYTES], reason, out[DERP_PRESENT_BYTES_MAX];
	struct derp_present p, again;
	uint32_t a, b;
	struct derp_header h;

	derp_server_key_get(data, size, key);
	derp_gone_get(data, size, key, &reason);
	derp_restarting_get(data, size, &a, &b);
	if (size >= DERP_HEADER_BYTES) {
		h = derp_header_get(data);
		BUG_ON(derp_server_verdict(&h, true) == DERP_TAKE &&
		       h.len > 2 * DERP_KEY_BYTES + DERP_PACKET_MAX);
		BUG_ON(derp_client_verdict(&h) == DERP_TAKE && h.len > 2 * DERP_CLIENT_MAX);
	}
	if (derp_present_get(data, size, &p))
		return 0;
	BUG_ON(derp_present_get(out, derp_present_put(out, &p), &again));
	BUG_ON(strcmp(p.app_name, again.app_name) != 0 || p.flags != again.flags);
	return 0;
}
