/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/path/endpoint_list.h"

#include "controlplane/path/path_addr.h"
#include "lib/base/clock.h"

#define KEPT_NS		(310 * NS_PER_SEC)
#define PER_ADDRESS_MAX 6

static bool has(const struct endpoint_list *l, const struct endpoint *e)
{
	for (size_t i = 0; i < l->count; i++) {
		if (endpoint_equal(&l->at[i].at, e))
			return true;
	}
	return false;
}

/*
 * The mesh's own IPv4 range: a relay that sees us there was asked through the tunnel, and so would
 * peers reach us, a tunnel in a tunnel. (The IPv6 range is never allowed.)
 */
static bool is_mesh(const struct ip_addr *a)
{
	static const struct prefix mesh = {{AF_INET, {100, 64}}, 10};

	return prefix_contains(&mesh, a);
}

/* The first source that names an endpoint says its type; what no peer would take is left out. */
static void add(struct endpoint_list *l, const struct endpoint *e, enum endpoint_type type,
		uint64_t seen_ns)
{
	if (l->count == ENDPOINT_LIST_MAX || !path_addr_is_allowed(e) || has(l, e))
		return;
	l->at[l->count++] = (struct endpoint_entry){*e, type, seen_ns};
}

static void add_stun(struct endpoint_list *l, const struct endpoint_sources *s, uint64_t now_ns)
{
	for (size_t i = 0; i < s->stun_count; i++) {
		if (!is_mesh(&s->stun[i].addr))
			add(l, &s->stun[i], ENDPOINT_STUN, now_ns);
	}
	/* Someone may have forwarded our port by hand on a NAT that else picks ports at will. */
	for (size_t i = 0; i < s->stun_count && s->is_mapping_varying && s->is_port_fixed; i++) {
		struct endpoint guess = {s->stun[i].addr, s->port4};

		if (guess.addr.family != AF_INET || is_mesh(&guess.addr))
			continue;
		add(l, &guess, ENDPOINT_STUN4_LOCAL_PORT, now_ns);
		break;
	}
}

static void add_kept(struct endpoint_list *l, const struct endpoint_list *old, uint64_t now_ns)
{
	for (size_t i = 0; i < old->count; i++) {
		const struct endpoint_entry *e = &old->at[i];
		size_t same = 0;

		if (e->type == ENDPOINT_LOCAL || e->type == ENDPOINT_EXPLICIT ||
		    now_ns - e->seen_ns > KEPT_NS)
			continue;
		for (size_t k = 0; k < l->count; k++)
			same += addr_equal(&l->at[k].at.addr, &e->at.addr);
		if (same < PER_ADDRESS_MAX)
			add(l, &e->at, e->type, e->seen_ns);
	}
}

bool endpoint_list_update(struct endpoint_list *l, const struct endpoint_sources *s,
			  uint64_t now_ns)
{
	struct endpoint_list old = *l;
	bool is_same;

	l->count = 0;
	add(l, &s->port_mapped, ENDPOINT_PORT_MAPPED, now_ns);
	add_stun(l, s, now_ns);
	add_kept(l, &old, now_ns);
	for (size_t i = 0; i < s->configured_count; i++)
		add(l, &s->configured[i], ENDPOINT_EXPLICIT, now_ns);
	for (size_t i = 0; i < s->interface_count; i++) {
		const struct ip_addr *a = &s->interfaces[i];
		struct endpoint e = {*a, a->family == AF_INET ? s->port4 : s->port6};

		add(l, &e, ENDPOINT_LOCAL, now_ns);
	}
	is_same = l->count == old.count;
	for (size_t i = 0; is_same && i < l->count; i++)
		is_same = has(&old, &l->at[i].at);
	return !is_same;
}
