/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/dns_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

#define DNS_PORT	   53
#define SERVICE_NAME	   "magicdns.localhost-tailscale-daemon"
#define ATTR_PEER_AAAA	   "magicdns-aaaa"
#define ATTR_SUBDOMAINS	   "dns-subdomain-resolve"
#define RANGE6_ZONE	   "0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa"
#define RANGE4_FIRST	   64 /* 100.64.0.0/10 has the reverse zones 64.100 to 127.100 */
#define RANGE4_LAST	   127
#define RESOLVERS_PER_NAME 64

struct name_entry {
	char *name;
	struct ip_addr *addrs;
	uint32_t addr_count;
	bool has_subdomains; /* names below it are its, too */
};

struct pointer_entry {
	struct ip_addr addr;
	uint32_t order; /* the first one who says so is right */
	char *name;
};

struct route_entry {
	char *suffix;
	struct endpoint *at;
	uint32_t count, unusable;
};

/* Names, pointers and zones are sorted; routes the longest first. */
struct dns_names {
	struct name_entry *names;
	struct pointer_entry *pointers;
	struct route_entry *routes, defaults;
	char **zones;
	uint32_t name_count, pointer_count, route_count, zone_count;
	uint32_t name_room, pointer_room, route_room, zone_room;
};

/* Room for one more in an array that doubles. False: no memory. */
static bool grow(void *array, uint32_t count, uint32_t *room, size_t item)
{
	uint32_t wanted = *room ? 2 * *room : 16;
	void *p;

	if (count < *room)
		return true;
	p = realloc(*(void **)array, wanted * item);
	if (!p)
		return false;
	*(void **)array = p;
	*room = wanted;
	return true;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(((const struct name_entry *)a)->name, ((const struct name_entry *)b)->name);
}

static int addr_cmp(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family != b->family ? (int)a->family - (int)b->family
				      : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int pointer_cmp(const void *pa, const void *pb)
{
	const struct pointer_entry *a = pa, *b = pb;
	int c = addr_cmp(&a->addr, &b->addr);

	return c ? c : (a->order > b->order) - (a->order < b->order);
}

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int route_cmp(const void *pa, const void *pb)
{
	const struct route_entry *a = pa, *b = pb;
	size_t la = strlen(a->suffix), lb = strlen(b->suffix);

	return la != lb ? (la < lb) - (la > lb) : strcmp(a->suffix, b->suffix);
}

static int add_pointer(struct dns_names *n, const struct ip_addr *addr, const char *name)
{
	struct pointer_entry *p;

	if (!grow(&n->pointers, n->pointer_count, &n->pointer_room, sizeof(*p)))
		return -ENOMEM;
	p = &n->pointers[n->pointer_count];
	*p = (struct pointer_entry){.addr = *addr, .order = n->pointer_count, .name = strdup(name)};
	if (!p->name)
		return -ENOMEM;
	n->pointer_count++;
	return 0;
}

static struct name_entry *add_name(struct dns_names *n, const char *name, uint32_t addr_room)
{
	struct name_entry *e;

	if (!grow(&n->names, n->name_count, &n->name_room, sizeof(*e)))
		return NULL;
	e = &n->names[n->name_count];
	*e = (struct name_entry){.name = strdup(name),
				 .addrs = calloc(addr_room, sizeof(*e->addrs))};
	n->name_count++;
	return e->name && e->addrs ? e : NULL;
}

static bool has_family(const struct netmap_node *node, uint8_t family)
{
	for (uint32_t i = 0; i < node->address_count; i++)
		if (node->addresses[i].addr.family == family)
			return true;
	return false;
}

/*
 * Names give IPv4 addresses, as clients cannot tell whether IPv6 works at the peer: IPv6
 * to nodes without the other, when we have no other, and with the attribute.
 */
static bool is_given(const struct netmap_node *self, const struct netmap_node *node, uint8_t family)
{
	bool is_v6_only = has_family(self, AF_INET6) && !has_family(self, AF_INET);

	if (is_v6_only)
		return family == AF_INET6;
	return family == AF_INET || !has_family(node, AF_INET) ||
	       netmap_node_has_cap(self, ATTR_PEER_AAAA);
}

static int add_node(struct dns_names *n, const struct netmap_node *self,
		    const struct netmap_node *node)
{
	char name[DNS_NAME_WIRE_MAX];
	struct name_entry *e;

	if (!node->address_count || !dns_name_from_text(node->name, name))
		return 0;
	e = add_name(n, name, node->address_count);
	if (!e)
		return -ENOMEM;
	e->has_subdomains = netmap_node_has_cap(node, ATTR_SUBDOMAINS);
	for (uint32_t i = 0; i < node->address_count; i++) {
		const struct ip_addr *a = &node->addresses[i].addr;

		if (is_given(self, node, a->family))
			e->addrs[e->addr_count++] = *a;
		if (add_pointer(n, a, name))
			return -ENOMEM;
	}
	return 0;
}

static struct name_entry *find_name(const struct dns_names *n, const char *name)
{
	struct name_entry want = {.name = (char *)name};

	if (!n->name_count)
		return NULL;
	return bsearch(&want, n->names, n->name_count, sizeof(want), name_cmp);
}

struct extra_record {
	char name[DNS_NAME_WIRE_MAX];
	struct ip_addr addr;
};

/* By name; those of a name stay as they came, which is the order of answers. */
static int extra_cmp(const void *a, const void *b)
{
	const struct extra_record *const *x = a, *const *y = b;
	int c = strcmp((*x)->name, (*y)->name);

	return c ? c : (*x > *y) - (*x < *y);
}

static bool read_extra(const json_t *entry, struct extra_record *out)
{
	const char *name = NULL, *type = "", *value = NULL;
	struct json_in in = {0};

	json_in_string(&in, entry, "Name", &name);
	json_in_string(&in, entry, "Type", &type);
	json_in_string(&in, entry, "Value", &value);
	if (json_in_failed(&in) || !name || !value || addr_parse(value, &out->addr))
		return false;
	if (type[0] && strcmp(type, out->addr.family == AF_INET ? "A" : "AAAA") != 0)
		return false;
	return dns_name_from_text(name, out->name);
}

/* One run of records with one name. It counts instead of a node's of that name. */
static int add_extra_run(struct dns_names *n, struct extra_record **run, uint32_t count,
			 uint32_t sorted)
{
	struct dns_names nodes = *n;
	struct name_entry *e;

	nodes.name_count = sorted;
	e = find_name(&nodes, run[0]->name);
	if (e) {
		struct ip_addr *addrs = calloc(count, sizeof(*addrs));

		if (!addrs)
			return -ENOMEM;
		free(e->addrs);
		e->addrs = addrs;
		e->addr_count = 0;
	} else {
		e = add_name(n, run[0]->name, count);
	}
	if (!e)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		e->addrs[e->addr_count++] = run[i]->addr;
		if (add_pointer(n, &run[i]->addr, run[i]->name))
			return -ENOMEM;
	}
	return 0;
}

/* The nodes' names are sorted by now. */
static int add_extra(struct dns_names *n, const json_t *list)
{
	size_t room = json_array_size(list), i;
	struct extra_record *records = calloc(room + 1, sizeof(*records));
	struct extra_record **sorted = calloc(room + 1, sizeof(*sorted));
	uint32_t count = 0, nodes = n->name_count;
	json_t *entry;
	int rc = records && sorted ? 0 : -ENOMEM;

	json_array_foreach(list, i, entry)
	{
		if (!rc && read_extra(entry, &records[count])) {
			sorted[count] = &records[count];
			count++;
		}
	}
	if (count)
		qsort(sorted, count, sizeof(*sorted), extra_cmp);
	for (uint32_t k = 0, run; k < count && !rc; k += run) {
		for (run = 1; k + run < count; run++)
			if (strcmp(sorted[k]->name, sorted[k + run]->name) != 0)
				break;
		rc = add_extra_run(n, &sorted[k], run, nodes);
	}
	free(sorted);
	free(records);
	return rc;
}

static int add_zone(struct dns_names *n, const char *zone)
{
	if (!grow(&n->zones, n->zone_count, &n->zone_room, sizeof(*n->zones)))
		return -ENOMEM;
	n->zones[n->zone_count] = strdup(zone);
	return n->zones[n->zone_count] ? (n->zone_count++, 0) : -ENOMEM;
}

/* The suffix of our own name, and the reverse zones of the mesh's addresses. */
static int add_magic_zones(struct dns_names *n, const struct netmap_node *self)
{
	char name[DNS_NAME_WIRE_MAX], reverse[32];
	const char *dot;
	int rc;

	if (!dns_name_from_text(self->name, name))
		return 0;
	dot = strchr(name, '.');
	if (!dot)
		return 0;
	rc = add_zone(n, dot + 1);
	if (!rc)
		rc = add_zone(n, RANGE6_ZONE);
	for (unsigned i = RANGE4_FIRST; i <= RANGE4_LAST && !rc; i++) {
		snprintf(reverse, sizeof(reverse), "%u.100.in-addr.arpa", i);
		rc = add_zone(n, reverse);
	}
	return rc;
}

static bool is_service(const struct ip_addr *a)
{
	struct ip_addr v4, v6;

	addr_parse(DNS_SERVICE_IP4, &v4);
	addr_parse(DNS_SERVICE_IP6, &v6);
	return addr_equal(a, &v4) || addr_equal(a, &v6);
}

/* "ip" or "ip:port". Ourselves is nobody to ask. */
static bool read_resolver(const json_t *entry, struct endpoint *out)
{
	const char *text = NULL;
	struct json_in in = {0};

	if (!json_in_string(&in, entry, "Addr", &text))
		return false;
	if (addr_parse(text, &out->addr) == 0)
		out->port = DNS_PORT;
	else if (endpoint_parse(text, out))
		return false;
	return !is_service(&out->addr);
}

static int add_resolvers(struct route_entry *r, const json_t *list)
{
	size_t i;
	json_t *entry;

	r->at = calloc(json_array_size(list) + 1, sizeof(*r->at));
	if (!r->at)
		return -ENOMEM;
	json_array_foreach(list, i, entry)
	{
		if (r->count < RESOLVERS_PER_NAME && read_resolver(entry, &r->at[r->count]))
			r->count++;
		else
			r->unusable++;
	}
	return 0;
}

static int add_route(struct dns_names *n, const char *suffix, const json_t *list)
{
	char name[DNS_NAME_WIRE_MAX];
	struct route_entry *r;

	/* "." is every name. */
	if (strcmp(suffix, ".") == 0)
		name[0] = 0;
	else if (!dns_name_from_text(suffix, name))
		return 0;
	if (!json_array_size(list))
		return add_zone(n, name);
	if (!grow(&n->routes, n->route_count, &n->route_room, sizeof(*r)))
		return -ENOMEM;
	r = &n->routes[n->route_count];
	*r = (struct route_entry){.suffix = strdup(name)};
	n->route_count++;
	return r->suffix ? add_resolvers(r, list) : -ENOMEM;
}

static int add_config(struct dns_names *n, const json_t *config)
{
	json_t *routes = json_in_get(config, "Routes"), *list;
	const char *suffix;
	int rc = 0;

	if (json_is_object(routes)) {
		json_object_foreach(routes, suffix, list)
		{
			if (!rc)
				rc = add_route(n, suffix, list);
		}
	}
	if (rc)
		return rc;
	list = json_in_get(config, "Resolvers");
	if (!json_array_size(list))
		list = json_in_get(config, "FallbackResolvers");
	return add_resolvers(&n->defaults, list);
}

static int fill(struct dns_names *n, const struct netmap *m, bool accept_dns)
{
	const json_t *config = netmap_value(m, "DNSConfig");
	struct json_in in = {0};
	bool is_magic = false;
	int rc = add_node(n, m->self, m->self);

	for (uint32_t i = 0; i < m->peer_count && !rc; i++)
		rc = add_node(n, m->self, m->peers[i]);
	if (!rc && n->name_count)
		qsort(n->names, n->name_count, sizeof(*n->names), name_cmp);
	if (!rc)
		rc = add_extra(n, json_in_get(config, "ExtraRecords"));
	json_in_bool(&in, config, "Proxied", &is_magic);
	if (!rc && accept_dns && is_magic)
		rc = add_magic_zones(n, m->self);
	if (!rc && accept_dns)
		rc = add_config(n, config);
	return rc;
}

static void sort(struct dns_names *n)
{
	if (n->name_count)
		qsort(n->names, n->name_count, sizeof(*n->names), name_cmp);
	if (n->pointer_count)
		qsort(n->pointers, n->pointer_count, sizeof(*n->pointers), pointer_cmp);
	if (n->zone_count)
		qsort(n->zones, n->zone_count, sizeof(*n->zones), text_cmp);
	if (n->route_count)
		qsort(n->routes, n->route_count, sizeof(*n->routes), route_cmp);
}

int dns_names_make(const struct netmap *m, bool accept_dns, int64_t now_ns, struct dns_names **out)
{
	struct dns_names *n = calloc(1, sizeof(*n));
	int rc = n ? 0 : -ENOMEM;

	if (!rc && m && !netmap_node_has_expired(m->self, now_ns))
		rc = fill(n, m, accept_dns);
	if (rc) {
		dns_names_free(n);
		return rc;
	}
	sort(n);
	*out = n;
	return 0;
}

void dns_names_free(struct dns_names *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < n->name_count; i++) {
		free(n->names[i].name);
		free(n->names[i].addrs);
	}
	for (uint32_t i = 0; i < n->pointer_count; i++)
		free(n->pointers[i].name);
	for (uint32_t i = 0; i < n->route_count; i++) {
		free(n->routes[i].suffix);
		free(n->routes[i].at);
	}
	for (uint32_t i = 0; i < n->zone_count; i++)
		free(n->zones[i]);
	free(n->defaults.at);
	free(n->names);
	free(n->pointers);
	free(n->routes);
	free(n->zones);
	free(n);
}

/* The longest zone of ours that the name is in, or NULL. */
static const char *zone_of(const struct dns_names *n, const char *name)
{
	for (const char *at = name; at; at = strchr(at, '.'), at = at ? at + 1 : NULL) {
		const char *const *zone =
			n->zone_count ? bsearch(&at, n->zones, n->zone_count, sizeof(at), text_cmp)
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

	if (is_service(addr))
		return SERVICE_NAME;
	/* The first of those with the address. */
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (addr_cmp(&n->pointers[mid].addr, addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == n->pointer_count || addr_cmp(&n->pointers[low].addr, addr) != 0)
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
	const struct name_entry *e = find_name(n, name);

	for (const char *dot = strchr(name, '.'); !e && dot; dot = strchr(dot + 1, '.')) {
		const struct name_entry *parent = find_name(n, dot + 1);

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
