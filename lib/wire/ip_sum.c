/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums are kept in the machine's byte order over 32-bit words, which RFC 1071
 * allows (the sum of swapped words is the swapped sum), and swapped once when
 * folded. Halves of 64-bit loads go to separate accumulators, so that no carry
 * is lost below 2^32 additions and the compiler may use vectors.
 */
#include "lib/wire/ip_sum.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

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

/*
 * 1 to 7 bytes, as if zeros followed. Put together in a register: a load of what was
 * stored byte by byte waits until all of it has reached the cache.
 */
static uint64_t load_tail(const uint8_t *p, size_t len)
{
	uint64_t w = 0;
	unsigned shift = 0;

	if (len & 4) {
		uint32_t v;

		memcpy(&v, p, sizeof(v));
		w = v;
		shift = 32;
		p += 4;
	}
	if (len & 2) {
		uint16_t v;

		memcpy(&v, p, sizeof(v));
		w |= (uint64_t)v << shift;
		shift += 16;
		p += 2;
	}
	if (len & 1)
		w |= (uint64_t)*p << shift;
	return w;
}

#ifdef __x86_64__
#define VECTOR_MIN 128 /* bytes; below, setting up costs more than it gains */

/* The same with four lanes a register; len is a multiple of 64. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint8_t *p, size_t len)
{
	const __m256i mask = _mm256_set1_epi64x(0xffffffff);
	__m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
	uint64_t lane[4];

	for (; len; p += 64, len -= 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)p);
		__m256i b = _mm256_loadu_si256((const __m256i *)(p + 32));

		low = _mm256_add_epi64(low, _mm256_and_si256(a, mask));
		high = _mm256_add_epi64(high, _mm256_srli_epi64(a, 32));
		low = _mm256_add_epi64(low, _mm256_and_si256(b, mask));
		high = _mm256_add_epi64(high, _mm256_srli_epi64(b, 32));
	}
	_mm256_storeu_si256((__m256i *)lane, _mm256_add_epi64(low, high));
	return halves(lane[0]) + halves(lane[1]) + halves(lane[2]) + halves(lane[3]);
}
#endif

uint64_t ip_sum(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t low = halves(sum), high = 0;

#ifdef __x86_64__
	if (len >= VECTOR_MIN && __builtin_cpu_supports("avx2")) {
		size_t whole = len & ~(size_t)63;

		low += sum_avx2(p, whole);
		p += whole;
		len -= whole;
	}
#endif
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
	if (len)
		low += halves(load_tail(p, len));
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

/* Length and protocol as the words that they are in the pseudo header. */
static uint64_t pseudo_tail(uint64_t sum, uint8_t proto, uint32_t len)
{
	return sum + htonl(len) + htonl(proto);
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

void ip_ttl_restore(uint8_t *data, const struct ip_info *ip)
{
	struct ip_v4_header *h = (struct ip_v4_header *)data;
	uint16_t old;

	if (ip->family == AF_INET6) {
		((struct ip_v6_header *)data)->hop_limit = ip->ttl;
		return;
	}
	old = (uint16_t)(h->ttl << 8 | h->protocol);
	h->ttl = ip->ttl;
	be16_put(&h->checksum, ip_checksum_update(be16_get(&h->checksum), old,
						  (uint16_t)(h->ttl << 8 | h->protocol)));
}
