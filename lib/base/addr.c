/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static unsigned addr_bits(const struct ip_addr *a)
{
	return a->family == AF_INET ? 32 : 128;
}

int addr_parse(const char *text, struct ip_addr *out)
{
	struct ip_addr a = {0};

	a.family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(a.family, text, a.bytes) != 1)
		return -EINVAL;
	*out = a;
	return 0;
}

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

const char *addr_print(const struct ip_addr *a, char *buf)
{
	if (a->family == 0 || inet_ntop(a->family, a->bytes, buf, ADDR_STR_MAX) == NULL)
		snprintf(buf, ADDR_STR_MAX, "none");
	return buf;
}

/* A decimal number without sign or leading zeros, up to max. */
static int number_parse(const char *text, unsigned max, unsigned *out)
{
	unsigned value = 0;

	if (*text == '\0' || (text[0] == '0' && text[1] != '\0'))
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
		if (value > max)
			return -EINVAL;
	}
	*out = value;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *out)
{
	const char *colon = strrchr(text, ':');
	const char *host = text;
	struct endpoint e = {0};
	char buf[ADDR_STR_MAX];
	size_t host_len;
	unsigned port;
	bool bracketed;

	if (colon == NULL || number_parse(colon + 1, UINT16_MAX, &port) < 0 || port == 0)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	bracketed = host_len >= 2 && text[0] == '[' && colon[-1] == ']';
	if (bracketed) {
		host++;
		host_len -= 2;
	}
	if (host_len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, host, host_len);
	buf[host_len] = '\0';
	if (addr_parse(buf, &e.addr) < 0 || bracketed != (e.addr.family == AF_INET6))
		return -EINVAL;
	e.port = (uint16_t)port;
	*out = e;
	return 0;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

const char *endpoint_print(const struct endpoint *e, char *buf)
{
	char addr[ADDR_STR_MAX];

	if (e->addr.family == 0)
		snprintf(buf, ENDPOINT_STR_MAX, "none");
	else
		snprintf(buf, ENDPOINT_STR_MAX, e->addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
			 addr_print(&e->addr, addr), e->port);
	return buf;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (e->addr.family == AF_INET6) {
		struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons(e->port);
		memcpy(&sin6->sin6_addr, e->addr.bytes, 16);
		return sizeof(*sin6);
	}
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;

	sin->sin_family = e->addr.family;
	sin->sin_port = htons(e->port);
	memcpy(&sin->sin_addr, e->addr.bytes, 4);
	return sizeof(*sin);
}

int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct endpoint *out)
{
	struct endpoint e = {0};

	if (len >= (socklen_t)sizeof(struct sockaddr_in) && sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)sa;

		e.addr.family = AF_INET;
		memcpy(e.addr.bytes, &sin->sin_addr, 4);
		e.port = ntohs(sin->sin_port);
	} else if (len >= (socklen_t)sizeof(struct sockaddr_in6) && sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)sa;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr);

		e.addr.family = mapped ? AF_INET : AF_INET6;
		memcpy(e.addr.bytes, sin6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
		e.port = ntohs(sin6->sin6_port);
	} else {
		return -EAFNOSUPPORT;
	}
	*out = e;
	return 0;
}

/* Clears the bits of a behind len; true if one was set. */
static bool clear_host_bits(struct ip_addr *a, unsigned len)
{
	unsigned whole = len / 8;
	bool any = false;

	for (unsigned i = whole; i < addr_bits(a) / 8; i++) {
		uint8_t keep = i == whole ? (uint8_t)(0xff00 >> len % 8) : 0;

		any |= (a->bytes[i] & ~keep) != 0;
		a->bytes[i] &= keep;
	}
	return any;
}

int prefix_parse(const char *text, bool mask_host_bits, struct prefix *out)
{
	const char *slash = strchr(text, '/');
	size_t addr_len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char buf[ADDR_STR_MAX];
	struct prefix p = {0};
	unsigned len;

	if (addr_len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, addr_len);
	buf[addr_len] = '\0';
	if (addr_parse(buf, &p.addr) < 0)
		return -EINVAL;
	len = addr_bits(&p.addr);
	if (slash != NULL && number_parse(slash + 1, len, &len) < 0)
		return -EINVAL;
	if (clear_host_bits(&p.addr, len) && !mask_host_bits)
		return -EINVAL;
	p.len = (uint8_t)len;
	*out = p;
	return 0;
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && addr_equal(&a->addr, &b->addr);
}

bool prefix_contains(const struct prefix *p, const struct ip_addr *a)
{
	struct ip_addr masked = *a;

	if (p->addr.family != a->family || a->family == 0)
		return false;
	clear_host_bits(&masked, p->len);
	return addr_equal(&masked, &p->addr);
}

const char *prefix_print(const struct prefix *p, char *buf)
{
	char addr[ADDR_STR_MAX];

	snprintf(buf, PREFIX_STR_MAX, "%s/%u", addr_print(&p->addr, addr), p->len);
	return buf;
}
