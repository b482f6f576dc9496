/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums are kept in the machine's byte order over 32-bit words, which RFC 1071
 * allows (the sum of swapped words is the swapped sum), and swapped once when
 * folded. Halves of 64-bit loads go to separate accumulators, so that no carry
 * is lost below 2^32 additions and the compiler may use vectors.
 */
#include "lib/wire/ip_sum.h"

#include <string.h>
#include <sys/socket.h>

static uint64_t load64(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static uint64_t halves(uint64_t sum)
{
	return (sum & 0xffffffff) + (sum >> 32);
}

uint64_t ip_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t low = halves(sum), high = 0;

	for (; len >= 32; p += 32, len -= 32) {
		uint64_t a = load64(p), b = load64(p + 8);
		uint64_t c = load64(p + 16), d = load64(p + 24);

		low += (a & 0xffffffff) + (b & 0xffffffff);
		high += (a >> 32) + (b >> 32);
		low += (c & 0xffffffff) + (d & 0xffffffff);
		high += (c >> 32) + (d >> 32);
	}
	for (; len >= 8; p += 8, len -= 8)
		low += halves(load64(p));
	if (len) {
		/* An odd last byte counts as if a zero followed. */
		uint64_t w = 0;

		memcpy(&w, p, len);
		low += halves(w);
	}
	return halves(low) + halves(high);
}

uint16_t ip_sum_fold(uint64_t sum)
{
	wire_be16 folded;
	uint16_t native;

	sum = halves(sum);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	native = (uint16_t)sum;
	memcpy(&folded, &native, sizeof(folded));
	return be16_get(&folded);
}

static uint64_t pseudo_tail(uint64_t sum, uint8_t proto, uint32_t len)
{
	struct {
		wire_be32 len;
		wire_be32 proto;
	} tail;

	be32_put(&tail.len, len);
	be32_put(&tail.proto, proto);
	return ip_sum(sum, &tail, sizeof(tail));
}

uint64_t ip_sum_pseudo_v4(const uint8_t src[4], const uint8_t dst[4], uint8_t proto, uint32_t len)
{
	return pseudo_tail(ip_sum(ip_sum(0, src, 4), dst, 4), proto, len);
}

uint64_t ip_sum_pseudo_v6(const uint8_t src[16], const uint8_t dst[16], uint8_t proto, uint32_t len)
{
	return pseudo_tail(ip_sum(ip_sum(0, src, 16), dst, 16), proto, len);
}

uint16_t ip_sum_transport(const uint8_t *data, const struct ip_info *ip)
{
	uint32_t len = ip->total_len - ip->l4_offset;
	uint64_t sum = 0;

	if (ip->family == AF_INET6)
		sum = ip_sum_pseudo_v6(ip->src, ip->dst, ip->proto, len);
	else if (ip->proto != IP_PROTO_ICMP)
		sum = ip_sum_pseudo_v4(ip->src, ip->dst, ip->proto, len);
	return ip_sum_fold(ip_sum(sum, data + ip->l4_offset, len));
}

uint16_t ip_checksum_update_bytes(uint16_t checksum, const uint8_t *old, const uint8_t *new,
				  size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		checksum = ip_checksum_update(checksum, be16_get((const wire_be16 *)(old + i)),
					      be16_get((const wire_be16 *)(new + i)));
	return checksum;
}

static size_t v4_header_len(const struct ip_v4_header *h)
{
	return (size_t)(h->version_ihl & 15) * 4;
}

void ip_checksum_v4_set(struct ip_v4_header *h)
{
	be16_put(&h->checksum, 0);
	be16_put(&h->checksum, ip_checksum(h, v4_header_len(h)));
}

bool ip_checksum_v4_ok(const struct ip_v4_header *h)
{
	return ip_sum_fold(ip_sum(0, h, v4_header_len(h))) == 0xffff;
}

bool ip_ttl_decrement(uint8_t *data, const struct ip_info *ip)
{
	struct ip_v4_header *h = (struct ip_v4_header *)data;

	if (ip->ttl <= 1)
		return false;
	if (ip->family == AF_INET6) {
		((struct ip_v6_header *)data)->hop_limit = ip->ttl - 1;
		return true;
	}
	h->ttl = ip->ttl - 1;
	be16_put(&h->checksum,
		 ip_checksum_update(be16_get(&h->checksum), (uint16_t)(ip->ttl << 8 | h->protocol),
				    (uint16_t)(h->ttl << 8 | h->protocol)));
	return true;
}
