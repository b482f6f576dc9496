/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/stun.h"

#include <string.h>
#include <sys/socket.h>

#include "lib/base/bug.h"
#include "lib/wire/be.h"

#define COOKIE		0x2112a442u
#define TYPE_REQUEST	0x0001
#define TYPE_RESPONSE	0x0101
#define ATTR_MAPPED	0x0001
#define ATTR_XOR_MAPPED 0x0020
#define ATTR_XOR_OLD	0x8020 /* what servers sent before RFC 5389 gave it a number */
#define ATTR_SOFTWARE	0x8022
#define ATTR_PRINT	0x8028
#define FAMILY_V4	1
#define FAMILY_V6	2
#define PRINT_XOR	0x5354554eu

static const uint8_t software[8] = "tailnode";

struct stun_header {
	wire_be16 type;
	wire_be16 len;
	wire_be32 cookie;
	uint8_t tx_id[STUN_TX_ID_BYTES];
};

struct stun_attr {
	wire_be16 type;
	wire_be16 len;
};

/* Family, port, address. */
struct stun_address {
	uint8_t zero;
	uint8_t family;
	wire_be16 port;
	uint8_t ip[16];
};

static_assert(sizeof(struct stun_header) == STUN_HEADER_BYTES, "stun_header");

static size_t padded(size_t len)
{
	return (len + 3) & ~(size_t)3;
}

/* CRC-32 of IEEE 802.3, four bits at a time: requests are 32 bytes. */
static uint32_t crc32_ieee(const uint8_t *data, size_t len)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~0u;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

const char *stun_parse_text(int rc)
{
	switch ((enum stun_parse)rc) {
	case STUN_OK:
		return "ok";
	case STUN_NOT_STUN:
		return "not STUN";
	case STUN_NOT_REQUEST:
		return "not a binding request";
	case STUN_NOT_RESPONSE:
		return "not a binding success response";
	case STUN_BAD_ATTRIBUTES:
		return "malformed attributes";
	case STUN_OTHER_SOFTWARE:
		return "request of other software";
	case STUN_NO_FINGERPRINT:
		return "no fingerprint at the end";
	case STUN_WRONG_FINGERPRINT:
		return "wrong fingerprint";
	}
	return "?";
}

bool stun_is(const uint8_t *data, size_t len)
{
	const struct stun_header *h = (const struct stun_header *)data;

	return len >= STUN_HEADER_BYTES && !(data[0] & 0xc0) && be32_get(&h->cookie) == COOKIE;
}

static void header_put(uint8_t *out, uint16_t type, size_t len, const uint8_t *tx_id)
{
	struct stun_header *h = (struct stun_header *)out;

	be16_put(&h->type, type);
	be16_put(&h->len, (uint16_t)len);
	be32_put(&h->cookie, COOKIE);
	memcpy(h->tx_id, tx_id, STUN_TX_ID_BYTES);
}

static uint8_t *attr_put(uint8_t *out, uint16_t type, size_t len)
{
	struct stun_attr *a = (struct stun_attr *)out;

	be16_put(&a->type, type);
	be16_put(&a->len, (uint16_t)len);
	return out + sizeof(*a);
}

static uint32_t fingerprint(const uint8_t *data, size_t len)
{
	return crc32_ieee(data, len) ^ PRINT_XOR;
}

void stun_request(uint8_t *out, const uint8_t tx_id[STUN_TX_ID_BYTES])
{
	uint8_t *at = out + STUN_HEADER_BYTES;

	header_put(out, TYPE_REQUEST, STUN_REQUEST_BYTES - STUN_HEADER_BYTES, tx_id);
	at = attr_put(at, ATTR_SOFTWARE, sizeof(software));
	memcpy(at, software, sizeof(software));
	at += sizeof(software);
	/* Over all before the attribute; the length in the header counts it already. */
	be32_put((wire_be32 *)attr_put(at, ATTR_PRINT, 4), fingerprint(out, (size_t)(at - out)));
}

/*
 * Walks the attributes of data..len, *at being the offset of the next one. True with
 * its type and its value's bounds; false at the end, or with *is_bad where one does
 * not fit.
 */
static bool attr_next(const uint8_t *data, size_t len, size_t *at, uint16_t *type, size_t *value,
		      size_t *value_len, bool *is_bad)
{
	const struct stun_attr *a = (const struct stun_attr *)(data + *at);

	*is_bad = false;
	if (*at >= len)
		return false;
	if (len - *at < sizeof(*a) || padded(be16_get(&a->len)) > len - *at - sizeof(*a)) {
		*is_bad = true;
		return false;
	}
	*type = be16_get(&a->type);
	*value = *at + sizeof(*a);
	*value_len = be16_get(&a->len);
	*at = *value + padded(*value_len);
	return true;
}

/* The length that the header states, header included, or 0 if there is less. */
static size_t stated_len(const uint8_t *data, size_t len)
{
	size_t want = STUN_HEADER_BYTES + be16_get(&((const struct stun_header *)data)->len);

	return want <= len ? want : 0;
}

int stun_request_parse(const uint8_t *data, size_t len, uint8_t tx_id[STUN_TX_ID_BYTES])
{
	const struct stun_header *h = (const struct stun_header *)data;
	size_t at = STUN_HEADER_BYTES, value, value_len, last = 0;
	bool is_ours = false, is_bad, has_print = false;
	uint16_t type;

	if (!stun_is(data, len))
		return STUN_NOT_STUN;
	if (be16_get(&h->type) != TYPE_REQUEST)
		return STUN_NOT_REQUEST;
	len = stated_len(data, len);
	if (!len)
		return STUN_BAD_ATTRIBUTES;
	while (attr_next(data, len, &at, &type, &value, &value_len, &is_bad)) {
		has_print = type == ATTR_PRINT && value_len == 4;
		last = value;
		if (type == ATTR_SOFTWARE && value_len == sizeof(software) &&
		    !memcmp(data + value, software, sizeof(software)))
			is_ours = true;
	}
	if (is_bad)
		return STUN_BAD_ATTRIBUTES;
	if (!is_ours)
		return STUN_OTHER_SOFTWARE;
	if (!has_print)
		return STUN_NO_FINGERPRINT;
	if (be32_get((const wire_be32 *)(data + last)) !=
	    fingerprint(data, last - sizeof(struct stun_attr)))
		return STUN_WRONG_FINGERPRINT;
	memcpy(tx_id, h->tx_id, STUN_TX_ID_BYTES);
	return STUN_OK;
}

/* What an address is combined with: the cookie and the transaction's id. */
static void mask_of(uint8_t mask[16], const uint8_t *tx_id)
{
	be32_put((wire_be32 *)mask, COOKIE);
	memcpy(mask + 4, tx_id, STUN_TX_ID_BYTES);
}

size_t stun_response(uint8_t *out, const uint8_t tx_id[STUN_TX_ID_BYTES],
		     const struct endpoint *mapped)
{
	size_t ip_bytes = mapped->addr.family == AF_INET ? 4 : 16;
	size_t value_bytes = 4 + ip_bytes;
	struct stun_address *a;
	uint8_t mask[16];

	BUG_ON(mapped->addr.family != AF_INET && mapped->addr.family != AF_INET6);
	mask_of(mask, tx_id);
	header_put(out, TYPE_RESPONSE, sizeof(struct stun_attr) + value_bytes, tx_id);
	a = (struct stun_address *)attr_put(out + STUN_HEADER_BYTES, ATTR_XOR_MAPPED, value_bytes);
	a->zero = 0;
	a->family = ip_bytes == 4 ? FAMILY_V4 : FAMILY_V6;
	be16_put(&a->port, (uint16_t)(mapped->port ^ COOKIE >> 16));
	for (size_t i = 0; i < ip_bytes; i++)
		a->ip[i] = mapped->addr.bytes[i] ^ mask[i];
	return STUN_HEADER_BYTES + sizeof(struct stun_attr) + value_bytes;
}

/* False: no address of a known family in these bytes. */
static bool address_get(const uint8_t *value, size_t len, const uint8_t *tx_id, bool is_xor,
			struct endpoint *out)
{
	static const uint8_t mapped_v4[12] = {[10] = 0xff, [11] = 0xff};
	const struct stun_address *a = (const struct stun_address *)value;
	uint8_t mask[16] = {0}, ip[16];
	size_t ip_bytes;

	if (len < 4)
		return false;
	ip_bytes = a->family == FAMILY_V4 ? 4 : a->family == FAMILY_V6 ? 16 : 0;
	if (!ip_bytes || len < 4 + ip_bytes)
		return false;
	if (is_xor)
		mask_of(mask, tx_id);
	for (size_t i = 0; i < ip_bytes; i++)
		ip[i] = a->ip[i] ^ mask[i];
	*out = (struct endpoint){
		.addr.family = ip_bytes == 4 ? AF_INET : AF_INET6,
		.port = (uint16_t)(be16_get(&a->port) ^ (is_xor ? COOKIE >> 16 : 0)),
	};
	memcpy(out->addr.bytes, ip, ip_bytes);
	if (ip_bytes == 16 && !memcmp(ip, mapped_v4, sizeof(mapped_v4))) {
		out->addr = (struct ip_addr){.family = AF_INET};
		memcpy(out->addr.bytes, ip + 12, 4);
	}
	return true;
}

int stun_response_parse(const uint8_t *data, size_t len, uint8_t tx_id[STUN_TX_ID_BYTES],
			struct endpoint *mapped)
{
	const struct stun_header *h = (const struct stun_header *)data;
	size_t at = STUN_HEADER_BYTES, value, value_len;
	struct endpoint plain = {0}, masked = {0};
	uint16_t type;
	bool is_bad;

	if (!stun_is(data, len))
		return STUN_NOT_STUN;
	if (be16_get(&h->type) != TYPE_RESPONSE)
		return STUN_NOT_RESPONSE;
	len = stated_len(data, len);
	if (!len)
		return STUN_BAD_ATTRIBUTES;
	while (attr_next(data, len, &at, &type, &value, &value_len, &is_bad)) {
		bool is_xor = type == ATTR_XOR_MAPPED || type == ATTR_XOR_OLD;

		if ((is_xor || type == ATTR_MAPPED) &&
		    !address_get(data + value, value_len, h->tx_id, is_xor,
				 is_xor ? &masked : &plain))
			return STUN_BAD_ATTRIBUTES;
	}
	if (is_bad || (!masked.addr.family && !plain.addr.family))
		return STUN_BAD_ATTRIBUTES;
	*mapped = masked.addr.family ? masked : plain;
	memcpy(tx_id, h->tx_id, STUN_TX_ID_BYTES);
	return STUN_OK;
}
