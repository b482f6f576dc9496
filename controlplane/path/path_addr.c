/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/path_addr.h"

#include <string.h>

static bool is_loopback(const struct ip_addr *a)
{
	static const uint8_t one[16] = {[15] = 1};

	return a->family == AF_INET ? a->bytes[0] == 127 : memcmp(a->bytes, one, 16) == 0;
}

static bool is_link_local(const struct ip_addr *a)
{
	if (a->family == AF_INET)
		return a->bytes[0] == 169 && a->bytes[1] == 254;
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_private(const struct ip_addr *a)
{
	const uint8_t *b = a->bytes;

	if (a->family == AF_INET6)
		return (b[0] & 0xfe) == 0xfc;
	return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168);
}

bool path_addr_is_allowed(const struct endpoint *e)
{
	static const uint8_t zero[16];
	static const uint8_t mesh[6] = {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0};
	const uint8_t *b = e->addr.bytes;

	if (!e->port || is_loopback(&e->addr))
		return false;
	if (e->addr.family == AF_INET)
		return b[0] != 0 && b[0] < 224; /* from 224 on: multicast, reserved, broadcast */
	if (e->addr.family != AF_INET6)
		return false;
	/* An address mapped into IPv6 is written as IPv4 wherever it is meant honestly. */
	return b[0] != 0xff && memcmp(b, zero, 12) != 0 && !is_link_local(&e->addr) &&
	       memcmp(b, mesh, sizeof(mesh)) != 0 &&
	       !(memcmp(b, zero, 10) == 0 && b[10] == 0xff && b[11] == 0xff);
}

unsigned path_addr_points(const struct path_addr *a, const struct path_addr *b)
{
	unsigned points = 0;

	if (a->latency_ns < b->latency_ns)
		points = 100 - (unsigned)(a->latency_ns * 100 / b->latency_ns);
	if (is_loopback(&a->at.addr))
		points += 50;
	else if (is_link_local(&a->at.addr))
		points += 30;
	else if (is_private(&a->at.addr))
		points += 20;
	return points + (a->at.addr.family == AF_INET6 ? 10 : 0);
}

bool path_addr_is_better(const struct path_addr *a, const struct path_addr *b)
{
	unsigned of_a, of_b;

	if (endpoint_equal(&a->at, &b->at) && a->vni == b->vni)
		return a->wire_mtu > b->wire_mtu;
	if (!b->at.addr.family)
		return true;
	if (!a->at.addr.family)
		return false;
	if (!a->vni != !b->vni)
		return !a->vni;
	of_a = path_addr_points(a, b);
	of_b = path_addr_points(b, a);
	if (of_a <= 1 && of_b == 0)
		return false;
	return of_a > of_b;
}
