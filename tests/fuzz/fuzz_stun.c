/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the STUN parsers; a response that they take comes out the same when made again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t tx_id[STUN_TX_ID_BYTES], again[STUN_TX_ID_BYTES], out[STUN_RESPONSE_BYTES_MAX];
	struct endpoint mapped, back;
	size_t len;

	stun_request_parse(data, size, tx_id);
	if (stun_response_parse(data, size, tx_id, &mapped))
		return 0;
	len = stun_response(out, tx_id, &mapped);
	BUG_ON(stun_response_parse(out, len, again, &back));
	BUG_ON(!endpoint_equal(&mapped, &back) || memcmp(tx_id, again, sizeof(again)) != 0);
	return 0;
}
