/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/ecn.h"

#include <sys/socket.h>

#include "lib/wire/ip_sum.h"

uint8_t ecn_decap(uint8_t inner, uint8_t outer, bool *drop)
{
	inner &= ECN_MASK;
	outer &= ECN_MASK;
	*drop = inner == ECN_NOT_ECT && outer == ECN_CE;
	if (inner == ECN_NOT_ECT || inner == ECN_CE)
		return inner;
	if (outer == ECN_CE)
		return ECN_CE;
	/* ECT(1) outside is the stronger of the two; Not-ECT and ECT(0) change nothing. */
	return outer == ECN_ECT1 ? ECN_ECT1 : inner;
}

void ecn_set(uint8_t *data, const struct ip_info *ip, uint8_t ecn)
{
	uint8_t tos = (uint8_t)((ip->tos & ~ECN_MASK) | (ecn & ECN_MASK));
	struct ip_v4_header *h = (struct ip_v4_header *)data;

	if (ip->family == AF_INET6) {
		data[1] = (uint8_t)((data[1] & 0x0f) | tos << 4);
		return;
	}
	be16_put(&h->checksum, ip_checksum_update(be16_get(&h->checksum),
						  (uint16_t)(h->version_ihl << 8 | h->tos),
						  (uint16_t)(h->version_ihl << 8 | tos)));
	h->tos = tos;
}
