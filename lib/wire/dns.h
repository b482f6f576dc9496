/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages (RFC 1035, RFC 6891), as far as a resolver for one zone and a
 * forwarder need them: the question of a query, answers of a few types, and the
 * check that a reply belongs to a question. Records of replies that are passed on
 * are not read. Pure.
 *
 *   0       2       4         6         8         10        12
 *   | id    | flags | qdcount | ancount | nscount | arcount | question, records ...
 */
#ifndef LIB_WIRE_DNS_H
#define LIB_WIRE_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/addr.h"

#define DNS_HEADER_BYTES    12
#define DNS_MESSAGE_MAX	    65535
#define DNS_UDP_PLAIN_MAX   512	 /* without EDNS0 */
#define DNS_UDP_MAX	    4095 /* what stock cuts at, whatever a client offers */
#define DNS_NAME_WIRE_MAX   255
#define DNS_NAME_TEXT_MAX   1017 /* every byte as \DDD, dots, the final zero */
#define DNS_LABEL_MAX	    63
#define DNS_ANSWER_ROOM_MIN (DNS_HEADER_BYTES + DNS_NAME_WIRE_MAX + 4 + 11)

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_NS = 2,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_HINFO = 13,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_SRV = 33,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_AXFR = 252,
	DNS_TYPE_ANY = 255,
};

enum dns_rcode {
	DNS_OK = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

#define DNS_CLASS_IN 1

struct dns_query {
	uint16_t id, flags;
	uint16_t type, class;
	/* Lower case, labels with dots between, no final dot; "" = the root. Bytes other
	 * than letters, digits, '-' and '_' are \DDD. */
	char name[DNS_NAME_TEXT_MAX];
	size_t question_end; /* offset behind the question */
	bool has_edns;
	uint16_t udp_room; /* largest reply over UDP: 512 to DNS_UDP_MAX */
};

/*
 * A query with one question. 0; -EBADMSG: not a query, or not enough of a header to
 * answer at all; -EINVAL: answer with FORMERR (dns_refuse).
 */
int dns_query_parse(const uint8_t *msg, size_t len, struct dns_query *q);
/*
 * A reply to msg without records: its header, and the question if q is not NULL.
 * msg: at least a header, out: DNS_ANSWER_ROOM_MIN bytes. Returns the length.
 */
size_t dns_refuse(uint8_t *out, const uint8_t *msg, const struct dns_query *q,
		  enum dns_rcode rcode);

/* An authoritative answer being made. What does not fit is left out, and TC says so. */
struct dns_answer {
	uint8_t *out;
	size_t room, len;
	bool is_cut;
};

/* room: at least DNS_ANSWER_ROOM_MIN; the end of an answer may take all of it. */
void dns_answer_begin(struct dns_answer *a, uint8_t *out, size_t room, const uint8_t *msg,
		      const struct dns_query *q, enum dns_rcode rcode);
/* A or AAAA of the question's name. */
void dns_answer_addr(struct dns_answer *a, const struct ip_addr *addr, uint32_t ttl_s);
/* target: text as dns_query.name, of letters that need no \DDD. */
void dns_answer_ptr(struct dns_answer *a, const char *target, uint32_t ttl_s);
/* Into the authority section, after all answers: how long a "no" may be kept (RFC 2308). */
void dns_answer_soa(struct dns_answer *a, const char *zone, uint32_t serial, uint32_t ttl_s);
/* Adds OPT if the query had one. Returns the length. */
size_t dns_answer_end(struct dns_answer *a, const struct dns_query *q);

/*
 * A reply to a query that was sent: its id, a reply, of the same operation, with the
 * same question (letters of either case).
 */
bool dns_reply_matches(const uint8_t *reply, size_t len, const uint8_t *query,
		       const struct dns_query *q, uint16_t id);
static inline enum dns_rcode dns_reply_rcode(const uint8_t *reply)
{
	return (enum dns_rcode)(reply[3] & 0xf);
}
static inline bool dns_reply_is_cut(const uint8_t *reply)
{
	return reply[2] & 0x02;
}
static inline void dns_set_id(uint8_t *msg, uint16_t id)
{
	msg[0] = (uint8_t)(id >> 8);
	msg[1] = (uint8_t)id;
}
/* Leaves header and question, with TC. For a reply that dns_reply_matches. Returns its length. */
size_t dns_reply_cut(uint8_t *reply, const struct dns_query *q);

/*
 * "10.64.100.in-addr.arpa" and "....ip6.arpa" of a whole address. False: it is none.
 * name as dns_query.name.
 */
bool dns_reverse_addr(const char *name, struct ip_addr *out);
/* name is zone, or below it. */
bool dns_is_within(const char *name, const char *zone);
/*
 * A name as people and coordinators write it -> the form of dns_query.name. out holds
 * DNS_NAME_WIRE_MAX bytes. False: labels empty or too long, or letters that no host has.
 */
bool dns_name_from_text(const char *text, char *out);

#endif
