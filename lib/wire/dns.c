/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/wire/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/bug.h"
#include "lib/wire/be.h"

#define FLAG_REPLY	       0x8000
#define FLAG_AUTHORITATIVE     0x0400
#define FLAG_CUT	       0x0200
#define FLAG_RECURSION_WANTED  0x0100
#define FLAG_RECURSION_THERE   0x0080
#define FLAG_CHECKING_DISABLED 0x0010
#define OPCODE_MASK	       0x7800
#define POINTER		       0xc0
#define OPT_BYTES	       11   /* root name, type, size, flags, no options */
#define RECORD_HEAD_BYTES      10   /* behind the name */
#define UDP_ROOM_OFFERED       1232 /* what passes every path without fragments */

struct dns_header {
	wire_be16 id, flags;
	wire_be16 questions, answers, authorities, additional;
};

static_assert(sizeof(struct dns_header) == DNS_HEADER_BYTES, "dns_header");

struct record_head {
	wire_be16 type, class;
	wire_be32 ttl;
	wire_be16 len;
};

static_assert(sizeof(struct record_head) == RECORD_HEAD_BYTES, "record_head");

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_plain(uint8_t c)
{
	c = (uint8_t)lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Reads a name without pointers, as a question has. The offset behind it, or 0. */
static size_t question_name(const uint8_t *msg, size_t len, size_t at, char *text)
{
	size_t start = at, used = 0;

	for (;;) {
		uint8_t label;

		if (at >= len)
			return 0;
		label = msg[at++];
		if (!label)
			break;
		if (label > DNS_LABEL_MAX || label >= len - at ||
		    at + label + 1 - start > DNS_NAME_WIRE_MAX)
			return 0;
		if (used)
			text[used++] = '.';
		for (; label; label--, at++) {
			if (is_plain(msg[at]))
				text[used++] = lower(msg[at]);
			else
				used += (size_t)snprintf(text + used, 5, "\\%03u", msg[at]);
		}
	}
	text[used] = 0;
	return at;
}

/* Skips a name that may end in a pointer. The offset behind it, or 0. */
static size_t skip_name(const uint8_t *msg, size_t len, size_t at)
{
	while (at < len) {
		uint8_t label = msg[at];

		if (!label)
			return at + 1;
		if (label >= POINTER)
			return len - at >= 2 ? at + 2 : 0;
		if (label > DNS_LABEL_MAX)
			return 0;
		at += 1u + label;
	}
	return 0;
}

/* Looks for OPT among the records behind the question. False: they do not parse. */
static bool find_edns(const uint8_t *msg, size_t len, struct dns_query *q)
{
	const struct dns_header *h = (const struct dns_header *)msg;
	uint32_t count = be16_get(&h->answers) + be16_get(&h->authorities) +
			 (uint32_t)be16_get(&h->additional);
	size_t at = q->question_end;

	for (; count; count--) {
		const struct record_head *r;

		at = skip_name(msg, len, at);
		if (!at || len - at < sizeof(*r))
			return false;
		r = (const struct record_head *)(msg + at);
		at += sizeof(*r);
		if (be16_get(&r->len) > len - at)
			return false;
		at += be16_get(&r->len);
		if (be16_get(&r->type) == DNS_TYPE_OPT && !q->has_edns) {
			q->has_edns = true;
			q->udp_room = be16_get(&r->class);
		}
	}
	return true;
}

int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *q)
{
	const struct dns_header *h = (const struct dns_header *)msg;
	const uint8_t *rest;

	memset(q, 0, sizeof(*q));
	if (len < sizeof(*h) || be16_get(&h->flags) & FLAG_REPLY)
		return -EBADMSG;
	q->id = be16_get(&h->id);
	q->flags = be16_get(&h->flags);
	q->udp_room = DNS_UDP_PLAIN_MAX;
	if (be16_get(&h->questions) != 1)
		return -EINVAL;
	q->question_end = question_name(msg, len, sizeof(*h), q->name);
	if (!q->question_end || len - q->question_end < 4)
		return -EINVAL;
	rest = msg + q->question_end;
	q->type = be16_get((const wire_be16 *)rest);
	q->class = be16_get((const wire_be16 *)(rest + 2));
	q->question_end += 4;
	if (!find_edns(msg, len, q))
		return -EINVAL;
	if (q->udp_room < DNS_UDP_PLAIN_MAX)
		q->udp_room = DNS_UDP_PLAIN_MAX;
	if (q->udp_room > DNS_UDP_MAX)
		q->udp_room = DNS_UDP_MAX;
	return 0;
}

/* Header and question, of an answer that is ours or (no authority) a refusal. */
static size_t reply_head(uint8_t *out, const uint8_t *msg, const struct dns_query *q,
			 uint16_t flags)
{
	const struct dns_header *asked = (const struct dns_header *)msg;
	struct dns_header *h = (struct dns_header *)out;
	uint16_t kept = be16_get(&asked->flags) &
			(OPCODE_MASK | FLAG_RECURSION_WANTED | FLAG_CHECKING_DISABLED);
	size_t len = sizeof(*h);

	memset(h, 0, sizeof(*h));
	h->id = asked->id;
	if (kept & FLAG_RECURSION_WANTED)
		kept |= FLAG_RECURSION_THERE;
	be16_put(&h->flags, FLAG_REPLY | kept | flags);
	if (q) {
		be16_put(&h->questions, 1);
		memcpy(out + len, msg + len, q->question_end - len);
		len = q->question_end;
	}
	return len;
}

size_t dns_refuse(uint8_t *out, const uint8_t *msg, const struct dns_query *q, enum dns_rcode rcode)
{
	struct dns_answer a = {.out = out, .room = DNS_ANSWER_ROOM_MIN};

	a.len = reply_head(out, msg, q, (uint16_t)rcode);
	return q ? dns_answer_end(&a, q) : a.len;
}

void dns_answer_begin(struct dns_answer *a, uint8_t *out, size_t room, const uint8_t *msg,
		      const struct dns_query *q, enum dns_rcode rcode)
{
	BUG_ON(room < DNS_ANSWER_ROOM_MIN);
	*a = (struct dns_answer){.out = out, .room = room};
	a->len = reply_head(out, msg, q, (uint16_t)(FLAG_AUTHORITATIVE | rcode));
}

static void count_one(wire_be16 *count)
{
	be16_put(count, (uint16_t)(be16_get(count) + 1));
}

/* Room for a record and, behind it, for OPT. NULL: none; the answer is cut from here on. */
static uint8_t *take(struct dns_answer *a, size_t len)
{
	uint8_t *at = a->out + a->len;

	if (a->is_cut || len > a->room - OPT_BYTES - a->len) {
		a->is_cut = true;
		return NULL;
	}
	a->len += len;
	return at;
}

static uint8_t *put_head(uint8_t *at, enum dns_type type, uint32_t ttl_s, size_t len)
{
	struct record_head *r = (struct record_head *)at;

	be16_put(&r->type, type);
	be16_put(&r->class, DNS_CLASS_IN);
	be32_put(&r->ttl, ttl_s);
	be16_put(&r->len, (uint16_t)len);
	return at + sizeof(*r);
}

/* A record of the question's name: a pointer to it, then the head. NULL: no room. */
static uint8_t *answer_of_question(struct dns_answer *a, enum dns_type type, uint32_t ttl_s,
				   size_t len)
{
	uint8_t *at = take(a, 2 + sizeof(struct record_head) + len);

	if (!at)
		return NULL;
	count_one(&((struct dns_header *)a->out)->answers);
	at[0] = POINTER;
	at[1] = DNS_HEADER_BYTES;
	return put_head(at + 2, type, ttl_s, len);
}

void dns_answer_addr(struct dns_answer *a, const struct ip_addr *addr, uint32_t ttl_s)
{
	bool is_v4 = addr->family == AF_INET;
	size_t len = is_v4 ? 4 : 16;
	uint8_t *data = answer_of_question(a, is_v4 ? DNS_TYPE_A : DNS_TYPE_AAAA, ttl_s, len);

	if (data)
		memcpy(data, addr->bytes, len);
}

/* Length on the wire of a name of plain letters. */
static size_t name_bytes(const char *name)
{
	return name[0] ? strlen(name) + 2 : 1;
}

static uint8_t *put_name(uint8_t *at, const char *name)
{
	while (*name) {
		size_t len = strcspn(name, ".");

		BUG_ON(!len || len > DNS_LABEL_MAX);
		*at++ = (uint8_t)len;
		memcpy(at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	*at++ = 0;
	return at;
}

void dns_answer_ptr(struct dns_answer *a, const char *target, uint32_t ttl_s)
{
	uint8_t *data = answer_of_question(a, DNS_TYPE_PTR, ttl_s, name_bytes(target));

	if (data)
		put_name(data, target);
}

void dns_answer_soa(struct dns_answer *a, const char *zone, uint32_t serial, uint32_t ttl_s)
{
	size_t name = name_bytes(zone), at = a->len;
	size_t len = 2 + 2 + 5 * sizeof(wire_be32); /* both names are pointers to the zone */
	uint8_t *p = take(a, name + sizeof(struct record_head) + len);
	const uint32_t times[5] = {serial, ttl_s, ttl_s, ttl_s, ttl_s};

	if (!p)
		return;
	count_one(&((struct dns_header *)a->out)->authorities);
	p = put_head(put_name(p, zone), DNS_TYPE_SOA, ttl_s, len);
	for (unsigned i = 0; i < 2; i++, p += 2)
		be16_put((wire_be16 *)p, (uint16_t)(POINTER << 8 | at));
	for (unsigned i = 0; i < 5; i++, p += sizeof(wire_be32))
		be32_put((wire_be32 *)p, times[i]);
}

size_t dns_answer_end(struct dns_answer *a, const struct dns_query *q)
{
	struct dns_header *h = (struct dns_header *)a->out;

	if (a->is_cut)
		be16_put(&h->flags, be16_get(&h->flags) | FLAG_CUT);
	if (q->has_edns) {
		uint8_t *at = a->out + a->len;
		struct record_head *r = (struct record_head *)(at + 1);

		BUG_ON(a->room - a->len < OPT_BYTES);
		at[0] = 0;
		put_head(at + 1, DNS_TYPE_OPT, 0, 0);
		be16_put(&r->class, UDP_ROOM_OFFERED);
		be16_put(&h->additional, 1);
		a->len += OPT_BYTES;
	}
	return a->len;
}

static bool same_letters(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool dns_reply_matches(const uint8_t *reply, size_t len, const uint8_t *query,
		       const struct dns_query *q, uint16_t id)
{
	const struct dns_header *h = (const struct dns_header *)reply;
	size_t question = q->question_end - DNS_HEADER_BYTES;

	if (len < q->question_end || be16_get(&h->id) != id)
		return false;
	if (!(be16_get(&h->flags) & FLAG_REPLY) ||
	    (be16_get(&h->flags) & OPCODE_MASK) != (q->flags & OPCODE_MASK))
		return false;
	/* Lengths of labels are below 'A': only letters are taken for letters. */
	return be16_get(&h->questions) == 1 &&
	       same_letters(reply + DNS_HEADER_BYTES, query + DNS_HEADER_BYTES, question - 4) &&
	       memcmp(reply + q->question_end - 4, query + q->question_end - 4, 4) == 0;
}

size_t dns_reply_cut(uint8_t *reply, const struct dns_query *q)
{
	struct dns_header *h = (struct dns_header *)reply;

	be16_put(&h->flags, be16_get(&h->flags) | FLAG_CUT);
	be16_put(&h->answers, 0);
	be16_put(&h->authorities, 0);
	be16_put(&h->additional, 0);
	return q->question_end;
}

bool dns_is_within(const char *name, const char *zone)
{
	size_t name_len = strlen(name), zone_len = strlen(zone);

	if (!zone_len)
		return true;
	if (name_len < zone_len || strcmp(name + name_len - zone_len, zone) != 0)
		return false;
	return name_len == zone_len || name[name_len - zone_len - 1] == '.';
}

static bool reverse_v4(const char *name, size_t len, struct ip_addr *out)
{
	char text[ADDR_STR_MAX];
	struct ip_addr a;

	if (len >= sizeof(text))
		return false;
	memcpy(text, name, len);
	text[len] = 0;
	if (addr_parse(text, &a) || a.family != AF_INET)
		return false;
	*out = (struct ip_addr){.family = AF_INET};
	for (unsigned i = 0; i < 4; i++)
		out->bytes[i] = a.bytes[3 - i];
	return true;
}

static bool reverse_v6(const char *name, size_t len, struct ip_addr *out)
{
	static const char digits[] = "0123456789abcdef";
	struct ip_addr a = {.family = AF_INET6};

	if (len != 63)
		return false;
	for (unsigned i = 0; i < 32; i++) {
		const char *digit = name[2 * i] ? strchr(digits, name[2 * i]) : NULL;

		if (!digit || (i < 31 && name[2 * i + 1] != '.'))
			return false;
		/* The first digit is the lowest of the last byte. */
		a.bytes[15 - i / 2] |= (uint8_t)((digit - digits) << (i % 2 ? 4 : 0));
	}
	*out = a;
	return true;
}

bool dns_reverse_addr(const char *name, struct ip_addr *out)
{
	static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
	size_t len = strlen(name);

	if (len > sizeof(v4) - 1 && strcmp(name + len - (sizeof(v4) - 1), v4) == 0)
		return reverse_v4(name, len - (sizeof(v4) - 1), out);
	if (len > sizeof(v6) - 1 && strcmp(name + len - (sizeof(v6) - 1), v6) == 0)
		return reverse_v6(name, len - (sizeof(v6) - 1), out);
	return false;
}

bool dns_name_from_text(const char *text, char *out)
{
	size_t len = strlen(text), label = 0;

	if (len && text[len - 1] == '.')
		len--;
	if (!len || len > DNS_NAME_WIRE_MAX - 2)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '.' ? !label : !is_plain((uint8_t)text[i]))
			return false;
		label = text[i] == '.' ? 0 : label + 1;
		if (label > DNS_LABEL_MAX)
			return false;
		out[i] = lower((uint8_t)text[i]);
	}
	out[len] = 0;
	return label != 0;
}
