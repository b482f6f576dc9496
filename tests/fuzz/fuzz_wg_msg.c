/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the WireGuard classifier; the lengths that it lets pass are those of the structs. */
#include <stddef.h>
#include <stdint.h>

#include "lib/base/bug.h"
#include "lib/wire/wg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int type = wg_msg_classify(data, size);

	if (type == WG_MSG_INITIATION)
		BUG_ON(size != sizeof(struct wg_msg_initiation));
	else if (type == WG_MSG_RESPONSE)
		BUG_ON(size != sizeof(struct wg_msg_response));
	else if (type == WG_MSG_COOKIE)
		BUG_ON(size != sizeof(struct wg_msg_cookie));
	else if (type == WG_MSG_DATA)
		BUG_ON(size < WG_DATA_MIN_BYTES);
	else
		BUG_ON(type >= 0 || type < WG_PARSE_BAD_LENGTH);
	return 0;
}
