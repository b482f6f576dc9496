/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses, endpoints and prefixes of both families. Bytes are in network
 * order, ports in host order.
 */
#ifndef LIB_BASE_ADDR_H
#define LIB_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDR_STR_MAX	 46 /* INET6_ADDRSTRLEN */
#define PREFIX_STR_MAX	 50 /* address/128 */
#define ENDPOINT_STR_MAX 56 /* [address]:65535 */

struct ip_addr {
	uint8_t family;	   /* AF_INET, AF_INET6, 0 = none */
	uint8_t bytes[16]; /* IPv4 in the first four, the rest zero */
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port; /* host order */
};

struct prefix {
	struct ip_addr addr; /* host bits are zero once parsed */
	uint8_t len;	     /* bits */
};

/* All _parse: 0, or -EINVAL. No names are resolved, no leading zeros, no zone. */
int addr_parse(const char *text, struct ip_addr *out);
bool addr_equal(const struct ip_addr *a, const struct ip_addr *b);
/* All _print return buf. buf holds at least the _STR_MAX of its type. */
const char *addr_print(const struct ip_addr *a, char *buf);

/* "1.2.3.4:5", "[::1]:5"; port 0 is refused. */
int endpoint_parse(const char *text, struct endpoint *out);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
const char *endpoint_print(const struct endpoint *e, char *buf);
/* Returns the length of the sockaddr written. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss);
/* v4-mapped IPv6 becomes IPv4. 0, or -EAFNOSUPPORT. */
int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct endpoint *out);

/*
 * "10.0.0.0/8", "::/0", or a bare address (full length). With mask_host_bits the
 * bits behind the length are cleared, else they are an error (-EINVAL).
 */
int prefix_parse(const char *text, bool mask_host_bits, struct prefix *out);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
bool prefix_contains(const struct prefix *p, const struct ip_addr *a);
const char *prefix_print(const struct prefix *p, char *buf);

#endif
