/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds the parser of DNS queries; what is answered to one that it takes must be a
 * reply to it by the forwarder's own check, within the room.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/bug.h"
#include "lib/wire/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer(const uint8_t *data, const struct dns_query *q, size_t room)
{
	const struct ip_addr v4 = {.family = AF_INET, .bytes = {100, 64, 0, 1}};
	const struct ip_addr v6 = {.family = AF_INET6, .bytes = {0xfd, 0x7a}};
	uint8_t out[DNS_UDP_MAX];
	struct dns_answer a;
	size_t len;

	dns_answer_begin(&a, out, room, data, q, DNS_OK);
	for (unsigned i = 0; i < 8; i++) {
		dns_answer_addr(&a, &v4, 5);
		dns_answer_addr(&a, &v6, 5);
		dns_answer_ptr(&a, "host.example.com", 5);
	}
	dns_answer_soa(&a, "example.com", 1, 10);
	len = dns_answer_end(&a, q);
	BUG_ON(len > room);
	BUG_ON(!dns_reply_matches(out, len, data, q, q->id));
	BUG_ON(dns_reply_cut(out, q) > len || !dns_reply_is_cut(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[DNS_ANSWER_ROOM_MIN];
	char name[DNS_NAME_WIRE_MAX];
	struct dns_query q;
	struct ip_addr addr;
	int rc = dns_query_parse(data, size, &q);

	if (rc == -EINVAL)
		BUG_ON(dns_refuse(out, data, NULL, DNS_FORMERR) != DNS_HEADER_BYTES);
	if (rc)
		return 0;
	dns_reverse_addr(q.name, &addr);
	BUG_ON(!dns_is_within(q.name, q.name) || !dns_is_within(q.name, ""));
	if (dns_name_from_text(q.name, name))
		BUG_ON(strcmp(name, q.name) != 0);
	BUG_ON(dns_refuse(out, data, &q, DNS_SERVFAIL) > sizeof(out));
	answer(data, &q, DNS_ANSWER_ROOM_MIN);
	answer(data, &q, q.udp_room);
	return 0;
}
