/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/wg.h"

static int exact(size_t len, size_t want, enum wg_msg_type type)
{
	return len == want ? (int)type : WG_PARSE_BAD_LENGTH;
}

int wg_msg_classify(const uint8_t *data, size_t len)
{
	if (len < sizeof(wire_le32))
		return WG_PARSE_RUNT;
	/* Type and reserved bytes as one integer: a reserved bit is an unknown type. */
	switch (le32_get((const wire_le32 *)data)) {
	case WG_MSG_INITIATION:
		return exact(len, sizeof(struct wg_msg_initiation), WG_MSG_INITIATION);
	case WG_MSG_RESPONSE:
		return exact(len, sizeof(struct wg_msg_response), WG_MSG_RESPONSE);
	case WG_MSG_COOKIE:
		return exact(len, sizeof(struct wg_msg_cookie), WG_MSG_COOKIE);
	case WG_MSG_DATA:
		return len >= WG_DATA_MIN_BYTES ? WG_MSG_DATA : WG_PARSE_RUNT;
	default:
		return WG_PARSE_UNKNOWN_TYPE;
	}
}
