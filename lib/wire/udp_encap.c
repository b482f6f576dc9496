/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/udp_encap.h"

#include <errno.h>

#include "lib/wire/ecn.h"
#include "lib/wire/ip_sum.h"

static uint64_t pseudo_sum(const struct udp_encap *e, uint32_t udp_len)
{
	const uint8_t *src = e->src->addr.bytes, *dst = e->dst->addr.bytes;

	if (e->src->addr.family == AF_INET6)
		return ip_sum_pseudo_v6(src, dst, IP_PROTO_UDP, udp_len);
	return ip_sum_pseudo_v4(src, dst, IP_PROTO_UDP, udp_len);
}

static void udp_build(struct ip_udp_header *udp, const struct udp_encap *e,
		      enum udp_encap_checksum checksum, const uint8_t *payload, uint32_t len)
{
	uint32_t udp_len = IP_UDP_HEADER_BYTES + len;
	uint16_t value = 0;

	be16_put(&udp->src_port, e->src->port);
	be16_put(&udp->dst_port, e->dst->port);
	be16_put(&udp->len, (uint16_t)udp_len);
	be16_put(&udp->checksum, 0);
	switch (checksum) {
	case UDP_ENCAP_NONE:
		break;
	case UDP_ENCAP_PARTIAL:
		value = ip_sum_fold(pseudo_sum(e, udp_len));
		break;
	case UDP_ENCAP_FULL:
		value = ip_sum_finish(
			ip_sum(ip_sum(pseudo_sum(e, udp_len), udp, sizeof(*udp)), payload, len));
		/* Zero on the wire would mean "none". */
		if (!value)
			value = 0xffff;
		break;
	}
	be16_put(&udp->checksum, value);
}

static void v4_build(struct ip_v4_header *h, const struct udp_encap *e, uint32_t total_len)
{
	*h = (struct ip_v4_header){
		.version_ihl = 4 << 4 | IP_V4_HEADER_BYTES / 4,
		.tos = e->ecn & ECN_MASK,
		.ttl = IP_TTL_DEFAULT,
		.protocol = IP_PROTO_UDP,
	};
	be16_put(&h->total_len, (uint16_t)total_len);
	be16_put(&h->id, e->id);
	be16_put(&h->fragment, e->dont_fragment ? IP_V4_DF : 0);
	memcpy(h->src, e->src->addr.bytes, sizeof(h->src));
	memcpy(h->dst, e->dst->addr.bytes, sizeof(h->dst));
	ip_checksum_v4_set(h);
}

static void v6_build(struct ip_v6_header *h, const struct udp_encap *e, uint32_t payload_len)
{
	be32_put(&h->version_class_flow,
		 6u << 28 | (uint32_t)(e->ecn & ECN_MASK) << 20 | (e->flow_label & 0xfffff));
	be16_put(&h->payload_len, (uint16_t)payload_len);
	h->next_header = IP_PROTO_UDP;
	h->hop_limit = IP_TTL_DEFAULT;
	memcpy(h->src, e->src->addr.bytes, sizeof(h->src));
	memcpy(h->dst, e->dst->addr.bytes, sizeof(h->dst));
}

int udp_encap_build(uint8_t *out, const struct udp_encap *e, enum udp_encap_checksum checksum,
		    const uint8_t *payload, uint32_t len)
{
	uint8_t family = e->src->addr.family;

	if (family != e->dst->addr.family)
		return -EINVAL;
	switch (family) {
	case AF_INET:
		if (len > UINT16_MAX - UDP_ENCAP_V4_BYTES)
			return -EINVAL;
		v4_build((struct ip_v4_header *)out, e, UDP_ENCAP_V4_BYTES + len);
		udp_build((struct ip_udp_header *)(out + IP_V4_HEADER_BYTES), e, checksum, payload,
			  len);
		return UDP_ENCAP_V4_BYTES;
	case AF_INET6:
		if (len > UINT16_MAX - IP_UDP_HEADER_BYTES || checksum == UDP_ENCAP_NONE)
			return -EINVAL;
		v6_build((struct ip_v6_header *)out, e, IP_UDP_HEADER_BYTES + len);
		udp_build((struct ip_udp_header *)(out + IP_V6_HEADER_BYTES), e, checksum, payload,
			  len);
		return UDP_ENCAP_V6_BYTES;
	default:
		return -EINVAL;
	}
}
