/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses of this machine may be told. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/node/mesh_interfaces.h"

#define PER_SUBNET 2 /* some machines have hundreds of addresses in one */

static bool is_within(const struct ip_addr *a, const struct prefix *p, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (prefix_contains(&p[i], a))
			return true;
	}
	return false;
}

/* The mesh's own: nobody is reached there but through the mesh. */
static bool is_mesh(const struct ip_addr *a)
{
	static const struct prefix mesh[] = {
		{{AF_INET, {100, 64}}, 10}, {{AF_INET6, {0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0}}, 48}};
	static const struct prefix guests = {{AF_INET, {100, 115, 92}}, 23}; /* ChromeOS */

	return is_within(a, mesh, 2) && !prefix_contains(&guests, a);
}

static bool is_loopback(const struct mesh_interfaces_addr *a)
{
	static const struct prefix loopback[] = {{{AF_INET, {127}}, 8},
						 {{AF_INET6, {[15] = 1}}, 128}};

	return a->is_loopback || is_within(&a->addr, loopback, 2);
}

static bool is_link_local(const struct ip_addr *a)
{
	static const struct prefix local[] = {{{AF_INET, {169, 254}}, 16},
					      {{AF_INET6, {0xfe, 0x80}}, 10}};

	return is_within(a, local, 2);
}

static bool is_unique_local(const struct ip_addr *a)
{
	static const struct prefix unique = {{AF_INET6, {0xfc}}, 7};

	return prefix_contains(&unique, a);
}

static bool is_same_subnet(const struct mesh_interfaces_addr *a,
			   const struct mesh_interfaces_addr *b)
{
	unsigned bytes = a->prefix_len / 8, bits = a->prefix_len % 8;

	if (a->ifindex != b->ifindex || a->addr.family != b->addr.family ||
	    a->prefix_len != b->prefix_len || bytes > sizeof(a->addr.bytes))
		return false;
	return memcmp(a->addr.bytes, b->addr.bytes, bytes) == 0 &&
	       (!bits || (a->addr.bytes[bytes] ^ b->addr.bytes[bytes]) >> (8 - bits) == 0);
}

static bool is_one_of_many(const struct mesh_interfaces_addr *all, size_t which)
{
	size_t before = 0;

	for (size_t i = 0; i < which; i++)
		before += is_same_subnet(&all[i], &all[which]);
	return before >= PER_SUBNET;
}

static int by_addr(const void *a, const void *b)
{
	const struct ip_addr *ia = a, *ib = b;

	if (ia->family != ib->family)
		return ia->family == AF_INET ? -1 : 1;
	return memcmp(ia->bytes, ib->bytes, sizeof(ia->bytes));
}

static void add(struct mesh_interfaces_state *out, const struct ip_addr *a)
{
	if (out->count < MESH_INTERFACES_MAX)
		out->at[out->count++] = *a;
}

void mesh_interfaces_choose(const struct mesh_interfaces_addr *all, size_t count,
			    struct mesh_interfaces_state *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct ip_addr *a = &all[i].addr;

		if (is_mesh(a) || is_loopback(&all[i]) || is_link_local(a))
			continue;
		out->has_v4 |= a->family == AF_INET;
		out->has_v6 |= a->family == AF_INET6;
		if (!is_unique_local(a) && (a->family == AF_INET || !is_one_of_many(all, i)))
			add(out, a);
	}
	/* Some clouds put a NAT behind just these. */
	for (size_t i = 0, none = out->count == 0; i < count && none; i++) {
		const struct ip_addr *a = &all[i].addr;

		if (is_mesh(a) || is_loopback(&all[i]))
			continue;
		if (is_unique_local(a) || (a->family == AF_INET && is_link_local(a)))
			add(out, a);
	}
	qsort(out->at, out->count, sizeof(out->at[0]), by_addr);
}
