/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the decoder of lane messages; what it takes comes out the same when encoded and decoded. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/lane.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[LANE_MSG_BYTES];
	struct lane_msg m, again;
	size_t len;

	if (lane_msg_decode(data, size, &m))
		return 0;
	BUG_ON(m.lanes > LANE_MAX || m.count > LANE_MAX || m.lane > LANE_MAX);
	len = lane_msg_encode(out, &m);
	BUG_ON(len > size || len > sizeof(out));
	BUG_ON(lane_msg_decode(out, len, &again));
	BUG_ON(memcmp(&m, &again, sizeof(m)) != 0);
	return 0;
}
