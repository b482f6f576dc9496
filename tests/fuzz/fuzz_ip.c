/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds the IP parser and what rewrites parsed packets; every offset lies inside the packet. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/bug.h"
#include "lib/wire/ecn.h"
#include "lib/wire/ip.h"
#include "lib/wire/ip_sum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rewrite(const uint8_t *data, size_t size, const struct ip_info *ip)
{
	uint8_t *copy = malloc(size);
	struct ip_info again;
	bool drop;

	BUG_ON(!copy);
	memcpy(copy, data, size);
	ecn_set(copy, ip, ecn_decap(ip->tos, ip->ttl, &drop));
	ip_ttl_decrement(copy, ip);
	BUG_ON(ip_parse(copy, size, &again) < 0);
	BUG_ON(again.proto != ip->proto || again.l4_offset != ip->l4_offset);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ip_info ip;
	uint32_t offset, len;
	size_t addr;

	if (ip_parse(data, size, &ip) < 0)
		return 0;
	addr = ip.family == AF_INET ? 4 : 16;
	BUG_ON(ip.total_len > size || ip.header_len > ip.total_len);
	BUG_ON(ip.l4_offset < ip.header_len || ip.l4_offset > ip.total_len);
	BUG_ON(ip.src < data || ip.src + addr > data + ip.header_len);
	BUG_ON(ip.dst < data || ip.dst + addr > data + ip.header_len);
	BUG_ON(ip.proto == IP_PROTO_TCP && ip.total_len - ip.l4_offset < IP_TCP_HEADER_BYTES);
	ip_sum_transport(data, &ip);
	if (ip_udp_payload(data, &ip, &offset, &len))
		BUG_ON(offset > ip.total_len || len > ip.total_len - offset);
	rewrite(data, size, &ip);
	return 0;
}
