/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/dns_names.h"

#include <stdlib.h>
#include <string.h>

#include "controlplane/dns/dns_names_int.h"
#include "lib/base/bug.h"

#define SERVICE_NAME "magicdns.localhost-tailscale-daemon"

int dns_name_entry_cmp(const void *a, const void *b)
{
	return strcmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

int dns_addr_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family != b->family ? (int)a->family - (int)b->family
				      : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int dns_zone_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct name_entry *dns_name_entry(const struct dns_names *n, uint32_t count, const char *name)
{
	struct name_entry want = {.name = (char *)name};

	if (!count)
		return NULL;
	return bsearch(&want, n->names, count, sizeof(want), dns_name_entry_cmp);
}

bool dns_is_service(const struct ip_addr *a)
{
	struct ip_addr v4, v6;

	addr_parse(DNS_SERVICE_IP4, &v4);
	addr_parse(DNS_SERVICE_IP6, &v6);
	return addr_equal(a, &v4) || addr_equal(a, &v6);
}

/* The longest zone of ours that the name is in, or NULL. */
static const char *zone_of(const struct dns_names *n, const char *name)
{
	for (const char *at = name; at; at = strchr(at, '.'), at = at ? at + 1 : NULL) {
		const char *const *zone = n->zone_count ? bsearch(&at, n->zones, n->zone_count,
								  sizeof(at), dns_zone_cmp)
							: NULL;

		if (zone)
			return *zone;
	}
	/* A route of "." without resolvers. */
	return n->zone_count && !n->zones[0][0] ? n->zones[0] : NULL;
}

static const char *pointer_of(const struct dns_names *n, const struct ip_addr *addr)
{
	uint32_t low = 0, high = n->pointer_count;

	if (dns_is_service(addr))
		return SERVICE_NAME;
	/* The first of those with the address. */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (dns_addr_cmp(&n->pointers[mid].addr, addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == n->pointer_count || dns_addr_cmp(&n->pointers[low].addr, addr) != 0)
		return NULL;
	return n->pointers[low].name;
}

/* b, db, r, dr, lb._dns-sd._udp: browsing for services in a reverse zone; nobody has any. */
static bool is_service_browsing(const char *name)
{
	static const char rest[] = "._dns-sd._udp.";
	static const char *const first[] = {"b", "db", "r", "dr", "lb"};

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		size_t len = strlen(first[i]);

		if (strncmp(name, first[i], len) == 0 &&
		    strncmp(name + len, rest, sizeof(rest) - 1) == 0)
			return true;
	}
	return false;
}

static enum dns_verdict find_pointer(const struct dns_names *n, const char *name,
				     struct dns_found *out)
{
	struct ip_addr addr;

	if (is_service_browsing(name))
		return DNS_NOT_HERE;
	if (!dns_reverse_addr(name, &addr))
		return DNS_ELSEWHERE;
	out->pointer = pointer_of(n, &addr);
	if (out->pointer)
		return DNS_HERE;
	return out->zone ? DNS_NOT_HERE : DNS_ELSEWHERE;
}

static const struct name_entry *find_entry(const struct dns_names *n, const char *name)
{
	const struct name_entry *e = dns_name_entry(n, n->name_count, name);

	for (const char *dot = strchr(name, '.'); !e && dot; dot = strchr(dot + 1, '.')) {
		const struct name_entry *parent = dns_name_entry(n, n->name_count, dot + 1);

		if (parent && parent->has_subdomains)
			e = parent;
	}
	return e;
}

static void service_addrs(struct dns_found *out)
{
	static struct ip_addr both[2];

	addr_parse(DNS_SERVICE_IP4, &both[0]);
	addr_parse(DNS_SERVICE_IP6, &both[1]);
	out->addrs = both;
	out->addr_count = ARRAY_SIZE(both);
}

enum dns_verdict dns_names_find(const struct dns_names *n, const char *name, uint16_t type,
				struct dns_found *out)
{
	const struct name_entry *e;

	*out = (struct dns_found){.zone = zone_of(n, name)};
	if (type == DNS_TYPE_PTR)
		return find_pointer(n, name, out);
	/* RFC 7686: such names are for nobody's resolver. */
	if (dns_is_within(name, "onion"))
		return DNS_NOT_HERE;
	if (strcmp(name, SERVICE_NAME) == 0) {
		service_addrs(out);
		return DNS_HERE;
	}
	e = find_entry(n, name);
	if (!e)
		return out->zone ? DNS_NOT_HERE : DNS_ELSEWHERE;
	out->addrs = e->addrs;
	out->addr_count = e->addr_count;
	if (type == DNS_TYPE_NS || type == DNS_TYPE_SOA || type == DNS_TYPE_AXFR ||
	    type == DNS_TYPE_HINFO)
		return DNS_NOT_MADE;
	return DNS_HERE;
}

struct dns_resolvers dns_names_resolvers(const struct dns_names *n, const char *name)
{
	const struct route_entry *r = &n->defaults;

	for (uint32_t i = 0; i < n->route_count; i++)
		if (dns_is_within(name, n->routes[i].suffix)) {
			r = &n->routes[i];
			break;
		}
	return (struct dns_resolvers){.at = r->at, .count = r->count, .unusable = r->unusable};
}

uint32_t dns_names_count(const struct dns_names *n)
{
	return n->name_count;
}
