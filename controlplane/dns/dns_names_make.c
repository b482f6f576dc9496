/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/dns/dns_names_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bug.h"

#define DNS_PORT	   53
#define ATTR_PEER_AAAA	   "magicdns-aaaa"
#define ATTR_SUBDOMAINS	   "dns-subdomain-resolve"
#define RANGE6_ZONE	   "0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa"
#define RANGE4_FIRST	   64 /* 100.64.0.0/10 has the reverse zones 64.100 to 127.100 */
#define RANGE4_LAST	   127
#define RESOLVERS_PER_NAME 64

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

static int pointer_cmp(const void *pa, const void *pb)
{
	const struct pointer_entry *a = pa, *b = pb;
	int c = dns_addr_cmp(&a->addr, &b->addr);

	return c ? c : (a->order > b->order) - (a->order < b->order);
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
	struct name_entry *e = dns_name_entry(n, sorted, run[0]->name);

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
	return !dns_is_service(&out->addr);
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
		qsort(n->names, n->name_count, sizeof(*n->names), dns_name_entry_cmp);
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
		qsort(n->names, n->name_count, sizeof(*n->names), dns_name_entry_cmp);
	if (n->pointer_count)
		qsort(n->pointers, n->pointer_count, sizeof(*n->pointers), pointer_cmp);
	if (n->zone_count)
		qsort(n->zones, n->zone_count, sizeof(*n->zones), dns_zone_cmp);
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
