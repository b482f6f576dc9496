/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/netmap/netmap_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool prefixes_equal(const struct prefix *a, uint32_t na, const struct prefix *b, uint32_t nb)
{
	if (na != nb)
		return false;
	for (uint32_t i = 0; i < na; i++)
		if (!prefix_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool endpoints_equal(const struct netmap_node *a, const struct netmap_node *b)
{
	if (a->endpoint_count != b->endpoint_count)
		return false;
	for (uint32_t i = 0; i < a->endpoint_count; i++)
		if (!endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	return true;
}

static uint32_t node_diff(const struct netmap_node *a, const struct netmap_node *b)
{
	uint32_t what = 0;

	if (a == b)
		return 0;
	if (!key_equal(&a->key, &b->key))
		what |= NETMAP_DIFF_KEY;
	if (!key_equal(&a->disco, &b->disco))
		what |= NETMAP_DIFF_DISCO;
	if (!prefixes_equal(a->allowed, a->allowed_count, b->allowed, b->allowed_count))
		what |= NETMAP_DIFF_ALLOWED;
	if (!prefixes_equal(a->addresses, a->address_count, b->addresses, b->address_count))
		what |= NETMAP_DIFF_ADDRESSES;
	if (!endpoints_equal(a, b))
		what |= NETMAP_DIFF_ENDPOINTS;
	if (a->home_derp != b->home_derp)
		what |= NETMAP_DIFF_HOME;
	if (a->online != b->online)
		what |= NETMAP_DIFF_ONLINE;
	if (strcmp(a->name, b->name) != 0)
		what |= NETMAP_DIFF_NAME;
	if (a->is_jailed != b->is_jailed || a->is_wireguard_only != b->is_wireguard_only ||
	    a->is_expired != b->is_expired || a->key_expiry_ns != b->key_expiry_ns ||
	    a->is_authorized != b->is_authorized || !addr_equal(&a->masq4, &b->masq4) ||
	    !addr_equal(&a->masq6, &b->masq6))
		what |= NETMAP_DIFF_FLAGS;
	if (!what && !json_equal(a->raw, b->raw))
		what = NETMAP_DIFF_OTHER;
	return what;
}

/* "cap:" sources of the filter follow the attributes of every node. */
static bool caps_differ(const struct netmap_node *a, const struct netmap_node *b)
{
	return a != b && !json_equal(json_in_get(a->raw, "CapMap"), json_in_get(b->raw, "CapMap"));
}

static void note(struct netmap_diff *d, const struct netmap_node *a, const struct netmap_node *b)
{
	uint32_t what = a && b ? node_diff(a, b) : 0;

	if (a && b && !what)
		return;
	if (!a || !b || (what & (NETMAP_DIFF_NAME | NETMAP_DIFF_ADDRESSES)))
		d->dns_changed = true;
	if (!a || !b || (what & NETMAP_DIFF_ADDRESSES) || caps_differ(a, b))
		d->filter_changed = true;
	d->changes[d->count++] = (struct netmap_change){
		.kind = !a   ? NETMAP_PEER_ADDED
			: !b ? NETMAP_PEER_REMOVED
			     : NETMAP_PEER_CHANGED,
		.what = what,
		.old_peer = a,
		.new_peer = b,
	};
}

/* Both lists are sorted by id: one walk. removals: only those, else all others. */
static void walk(const struct netmap *old, const struct netmap *new_map, bool removals,
		 struct netmap_diff *d)
{
	uint32_t i = 0, j = 0, n = old ? old->peer_count : 0;

	while (i < n || j < new_map->peer_count) {
		const struct netmap_node *a = i < n ? old->peers[i] : NULL;
		const struct netmap_node *b = j < new_map->peer_count ? new_map->peers[j] : NULL;

		if (a && b && a->id != b->id) {
			if (a->id < b->id)
				b = NULL;
			else
				a = NULL;
		}
		i += a != NULL;
		j += b != NULL;
		if (removals == !b)
			note(d, a, b);
	}
}

static bool value_differs(const struct netmap *a, const struct netmap *b, const char *name)
{
	json_t *x = netmap_value(a, name), *y = netmap_value(b, name);

	return x != y && !json_equal(x, y);
}

int netmap_diff_make(const struct netmap *old, const struct netmap *new_map,
		     struct netmap_diff *out)
{
	size_t room = (old ? old->peer_count : 0) + (size_t)new_map->peer_count;

	*out = (struct netmap_diff){0};
	out->changes = malloc((room + 1) * sizeof(*out->changes));
	if (!out->changes)
		return -ENOMEM;
	walk(old, new_map, true, out);
	walk(old, new_map, false, out);
	if (!old) {
		out->self = UINT32_MAX;
		out->filter_changed = out->derp_changed = out->dns_changed = true;
		return 0;
	}
	out->self = node_diff(old->self, new_map->self);
	out->filter_changed |=
		(old->filters != new_map->filters && !json_equal(old->filters, new_map->filters)) ||
		caps_differ(old->self, new_map->self);
	out->derp_changed = old->derp != new_map->derp && !json_equal(old->derp, new_map->derp);
	out->dns_changed |= value_differs(old, new_map, "DNSConfig") ||
			    value_differs(old, new_map, "Domain") ||
			    (out->self & (NETMAP_DIFF_NAME | NETMAP_DIFF_ADDRESSES));
	return 0;
}

void netmap_diff_fini(struct netmap_diff *d)
{
	free(d->changes);
	*d = (struct netmap_diff){0};
}
