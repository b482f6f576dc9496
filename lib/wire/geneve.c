/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/geneve.h"

#include "lib/wire/be.h"

#define VERSION_MASK  0xc0
#define CONTROL_BIT   0x80
#define RESERVED_MASK 0x3f

bool geneve_decode(const uint8_t *data, size_t len, struct geneve *out)
{
	uint16_t protocol;

	if (len < GENEVE_HEADER_BYTES)
		return false;
	protocol = be16_get((const wire_be16 *)(data + 2));
	if ((data[0] & VERSION_MASK) || (data[1] & RESERVED_MASK) || data[7])
		return false;
	if (protocol != GENEVE_DISCO && protocol != GENEVE_WIREGUARD)
		return false;
	out->is_control = data[1] & CONTROL_BIT;
	out->protocol = protocol;
	out->vni = be32_get((const wire_be32 *)(data + 4)) >> 8;
	return true;
}

void geneve_encode(uint8_t out[GENEVE_HEADER_BYTES], const struct geneve *g)
{
	out[0] = 0;
	out[1] = g->is_control ? CONTROL_BIT : 0;
	be16_put((wire_be16 *)(out + 2), g->protocol);
	be32_put((wire_be32 *)(out + 4), g->vni << 8);
}
