/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What MagicDNS knows: the names of a picture of the mesh, the zones that we answer
 * for, and the resolvers of everything else (docs/protocol/dns.md). Immutable: another
 * picture makes another one, and the server swaps them. Pure; one thread.
 *
 *   Node.Name, DNSConfig.ExtraRecords      -> names
 *   DNSConfig.Proxied, Routes without any  -> zones
 *   DNSConfig.Routes with resolvers        -> routes, the longest suffix first
 *   Resolvers, else FallbackResolvers      -> defaults; none: the system's
 */
#ifndef CONTROLPLANE_DNS_DNS_NAMES_H
#define CONTROLPLANE_DNS_DNS_NAMES_H

#include "controlplane/netmap/netmap.h"
#include "lib/wire/dns.h"

#define DNS_TTL_S	   5  /* names move with nodes */
#define DNS_NEGATIVE_TTL_S 10 /* a node may join any moment */
#define DNS_SERVICE_IP4	   "100.100.100.100"
#define DNS_SERVICE_IP6	   "fd7a:115c:a1e0::53"

struct dns_names;

struct dns_resolvers {
	const struct endpoint *at;
	uint32_t count;
	uint32_t unusable; /* named, but not spoken to: DNS over HTTPS */
};

enum dns_verdict {
	DNS_HERE,      /* answer with what is in dns_found, perhaps nothing */
	DNS_NOT_HERE,  /* NXDOMAIN */
	DNS_NOT_MADE,  /* NOTIMP: a type that only a real zone has */
	DNS_ELSEWHERE, /* ask the resolvers */
};

/* Borrowed from the names. */
struct dns_found {
	const struct ip_addr *addrs; /* all of the name; the caller takes those of the type */
	uint32_t addr_count;
	const char *pointer; /* of PTR, or NULL */
	const char *zone;    /* whose SOA goes with a "no"; NULL: none */
};

/*
 * m NULL, or a self whose key expired: knows nothing. accept_dns: of the user's
 * settings; without it names are answered, but no zone is ours and no resolver of the
 * coordinator's counts. Entries that do not read are passed over. 0, or -ENOMEM.
 */
int dns_names_make(const struct netmap *m, bool accept_dns, int64_t now_ns, struct dns_names **out);
void dns_names_free(struct dns_names *n);

/* name, type: of a question. *out is written in any case. */
enum dns_verdict dns_names_find(const struct dns_names *n, const char *name, uint16_t type,
				struct dns_found *out);
/* For a name that is ELSEWHERE. count 0: the system's, unless some are unusable. */
struct dns_resolvers dns_names_resolvers(const struct dns_names *n, const char *name);
/* One of the two service addresses: ourselves. */
bool dns_is_service(const struct ip_addr *a);
/* For status: names, zones, routes. */
uint32_t dns_names_count(const struct dns_names *n);

#endif
