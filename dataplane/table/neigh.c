/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See neigh.h and neigh_build.h. Chains of numbers, walked by readers under RCU: a
 * hop that is unlinked keeps its `next` until nobody can be on it any more.
 */
#include "dataplane/table/neigh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dataplane/table/neigh_build.h"
#include "dataplane/table/retire.h"

#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

struct neigh_build {
	uint32_t *free; /* stack of numbers */
	uint32_t free_count;
	size_t count;
	/* What each interface gives its next hops, IPv4 and IPv6. */
	struct neigh_source *source[NEIGH_PORTS][NEIGH_NETDEVS][2];
};

static uint32_t hash(uint8_t port, uint8_t netdev, int family, const uint8_t *ip)
{
	uint64_t w[2] = {0, 0}, h;

	if (family == AF_INET)
		memcpy(w, ip, 4);
	else
		memcpy(w, ip, sizeof(w));
	h = (w[0] ^ (uint64_t)port << 40 ^ (uint64_t)netdev << 32) * 0x9e3779b97f4a7c15ull;
	h = (h ^ h >> 32 ^ w[1]) * 0xff51afd7ed558ccdull;
	return (uint32_t)(h >> 32);
}

static bool is_hop(const struct nexthop *n, uint8_t port, uint8_t netdev, int family,
		   const uint8_t *ip)
{
	return n->port == port && n->netdev == netdev && neigh_is(n, family, ip);
}

uint16_t neigh_find(const struct neigh_table *t, uint8_t port, uint8_t netdev, int family,
		    const uint8_t *ip)
{
	uint32_t i = atomic_load_explicit(
		&t->bucket[hash(port, netdev, family, ip) & t->bucket_mask], memory_order_acquire);

	while (i && !is_hop(&t->hop[i], port, netdev, family, ip))
		i = atomic_load_explicit(&t->hop[i].hash_next, memory_order_acquire);
	return (uint16_t)i;
}

struct neigh_table *neigh_table_new(uint32_t capacity)
{
	struct neigh_table *t;
	uint32_t buckets = 1;

	if (capacity == 0 || capacity > NEIGH_CAPACITY_MAX)
		return NULL;
	while (buckets < capacity)
		buckets *= 2;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->capacity = capacity;
	t->bucket_mask = buckets - 1;
	t->bucket = calloc(buckets, sizeof(*t->bucket));
	t->hop = aligned_alloc(64, (capacity + 1) * sizeof(*t->hop));
	t->build = calloc(1, sizeof(*t->build));
	if (t->build)
		t->build->free = calloc(capacity, sizeof(*t->build->free));
	if (!t->bucket || !t->hop || !t->build || !t->build->free) {
		neigh_table_free(t);
		return NULL;
	}
	memset(t->hop, 0, (capacity + 1) * sizeof(*t->hop));
	for (uint32_t i = capacity; i > 0; i--)
		t->build->free[t->build->free_count++] = i;
	return t;
}

void neigh_table_free(struct neigh_table *t)
{
	if (!t)
		return;
	for (unsigned p = 0; t->build && p < NEIGH_PORTS; p++) {
		for (unsigned d = 0; d < NEIGH_NETDEVS; d++) {
			free(t->build->source[p][d][0]);
			free(t->build->source[p][d][1]);
		}
	}
	if (t->build)
		free(t->build->free);
	free(t->build);
	free(t->bucket);
	free(t->hop);
	free(t);
}

static bool is_bad(uint8_t port, uint8_t netdev, int family)
{
	return port >= NEIGH_PORTS || netdev >= NEIGH_NETDEVS ||
	       (family != AF_INET && family != AF_INET6);
}

static struct neigh_source **source_of(struct neigh_table *t, uint8_t port, uint8_t netdev,
				       int family)
{
	return &t->build->source[port][netdev][family == AF_INET6];
}

/* The hop of this address, made if it is new. Its number, or a negative errno. */
static int get_hop(struct neigh_table *t, uint8_t port, uint8_t netdev, int family,
		   const uint8_t *ip)
{
	_Atomic uint32_t *bucket = &t->bucket[hash(port, netdev, family, ip) & t->bucket_mask];
	uint32_t i = neigh_find(t, port, netdev, family, ip);
	struct nexthop *n;

	if (i)
		return (int)i;
	if (t->build->free_count == 0)
		return -ENOSPC;
	i = t->build->free[--t->build->free_count];
	n = &t->hop[i];
	memset(n, 0, sizeof(*n));
	n->port = port;
	n->netdev = netdev;
	n->family = (uint8_t)family;
	memcpy(n->ip, ip, family == AF_INET ? 4 : 16);
	n->in_use = 1;
	atomic_init(&n->source, *source_of(t, port, netdev, family));
	atomic_init(&n->hash_next, GET(*bucket));
	atomic_store_explicit(bucket, i, memory_order_release);
	t->build->count++;
	return (int)i;
}

static void put_back(void *table, uint32_t i)
{
	struct neigh_table *t = table;

	t->hop[i].in_use = 0;
	t->build->free[t->build->free_count++] = i;
}

/* Unlinks a hop that the kernel does not have and nobody holds. */
static void drop_if_idle(struct neigh_table *t, uint32_t i)
{
	struct nexthop *n = &t->hop[i];
	_Atomic uint32_t *at;

	if (n->refs || n->is_known)
		return;
	at = &t->bucket[hash(n->port, n->netdev, n->family, n->ip) & t->bucket_mask];
	while (GET(*at) != i)
		at = &t->hop[GET(*at)].hash_next;
	atomic_store_explicit(at, GET(n->hash_next), memory_order_release);
	t->build->count--;
	retire_index(t, i, put_back);
}

int neigh_set(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip,
	      const uint8_t *mac)
{
	uint64_t word = 0;
	int i;

	if (is_bad(port, netdev, family))
		return -EINVAL;
	i = get_hop(t, port, netdev, family, ip);
	if (i < 0)
		return i;
	if (mac) {
		memcpy(&word, mac, 6);
		word |= NEIGH_MAC_VALID;
	}
	t->hop[i].is_known = 1;
	atomic_store_explicit(&t->hop[i].mac, word, memory_order_release);
	return i;
}

int neigh_del(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip)
{
	uint32_t i;

	if (is_bad(port, netdev, family))
		return -EINVAL;
	i = neigh_find(t, port, netdev, family, ip);
	if (!i)
		return -ENOENT;
	atomic_store_explicit(&t->hop[i].mac, 0, memory_order_release);
	t->hop[i].is_known = 0;
	drop_if_idle(t, i);
	return 0;
}

void neigh_forget(struct neigh_table *t)
{
	for (uint32_t i = 1; i <= t->capacity; i++) {
		struct nexthop *n = &t->hop[i];

		if (!n->in_use || !n->is_known)
			continue;
		atomic_store_explicit(&n->mac, 0, memory_order_release);
		n->is_known = 0;
		drop_if_idle(t, i);
	}
}

int neigh_hold(struct neigh_table *t, uint8_t port, uint8_t netdev, int family, const uint8_t *ip)
{
	int i;

	if (is_bad(port, netdev, family))
		return -EINVAL;
	i = get_hop(t, port, netdev, family, ip);
	if (i > 0)
		t->hop[i].refs++;
	return i;
}

void neigh_put(struct neigh_table *t, uint16_t id)
{
	if (id == 0 || id > t->capacity || t->hop[id].refs == 0)
		return;
	t->hop[id].refs--;
	drop_if_idle(t, id);
}

int neigh_source_set(struct neigh_table *t, uint8_t port, uint8_t netdev, int family,
		     const uint8_t *mac, const uint8_t *addr)
{
	struct neigh_source **at, *old, *new = NULL;

	if (is_bad(port, netdev, family))
		return -EINVAL;
	if (mac) {
		new = calloc(1, sizeof(*new));
		if (!new)
			return -ENOMEM;
		memcpy(new->mac, mac, 6);
		new->has_addr = addr != NULL;
		if (addr)
			memcpy(new->addr, addr, family == AF_INET ? 4 : 16);
	}
	at = source_of(t, port, netdev, family);
	old = *at;
	if (old && new &&memcmp(old, new, sizeof(*old)) == 0) {
		free(new);
		return 0;
	}
	*at = new;
	for (uint32_t i = 1; i <= t->capacity; i++) {
		struct nexthop *n = &t->hop[i];

		if (n->in_use && n->port == port && n->netdev == netdev && n->family == family)
			atomic_store_explicit(&n->source, new, memory_order_release);
	}
	retire(old, free);
	return 0;
}

size_t neigh_count(const struct neigh_table *t)
{
	return t->build->count;
}

int neigh_walk(const struct neigh_table *t,
	       int (*fn)(uint16_t id, const struct nexthop *n, void *arg), void *arg)
{
	for (uint32_t i = 1; i <= t->capacity; i++) {
		int ret = t->hop[i].in_use ? fn((uint16_t)i, &t->hop[i], arg) : 0;

		if (ret)
			return ret;
	}
	return 0;
}
