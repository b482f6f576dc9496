/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as initiation, as response, and as a run of records: nothing opens, nothing breaks. */
#include <errno.h>
#include <string.h>

#include "controlplane/noise/noise_ik.h"
#include "lib/base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *ctx, void *buf, size_t len)
{
	memset(buf, 0x42, len);
}

static const struct wg_random source = {.fill = fill};
static const uint8_t server_private[NOISE_KEY_BYTES] = {8, [31] = 64};
static const uint8_t server_public[NOISE_KEY_BYTES] = {9};

/* Records cut where the data says; what was not taken stays in front of the next piece. */
static void records(const uint8_t *data, size_t size)
{
	static uint8_t buffer[2 * NOISE_IK_RECORD_MAX];
	struct noise_ik_cipher c = {.key = {1}};
	size_t have = size < sizeof(buffer) ? size : sizeof(buffer), at = 0;

	memcpy(buffer, data, have);
	while (at < have) {
		uint8_t *plain;
		size_t len;
		int n = noise_ik_open(&c, buffer + at, have - at, &plain, &len);

		if (n <= 0)
			break;
		BUG_ON(plain < buffer || plain + len > buffer + have);
		at += (size_t)n;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t machine[NOISE_KEY_BYTES], response[NOISE_IK_RESPONSE_BYTES];
	uint8_t initiation[NOISE_IK_INITIATION_BYTES];
	struct noise_ik_stream stream;
	struct noise_ik_client client;
	const char *error;
	uint16_t version;
	int rc = noise_ik_respond(server_private, data, size, &source, &version, machine, response,
				  &stream, &error);

	BUG_ON((rc == -EPROTO) != (error != NULL));
	if (size >= NOISE_IK_RESPONSE_BYTES &&
	    !noise_ik_initiate(&client, 142, server_private, server_public, &source, initiation))
		noise_ik_finish(&client, data, &stream);
	records(data, size);
	return 0;
}
