/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where packets go. Two tables: `mesh` (allowed IPs of peers) and `local` (what
 * the kernel routes elsewhere than into our TUN); the longer prefix of the two
 * wins, as it would in the kernel, and where both are equal the mesh does.
 *
 *   opened packet   peer (a hub between spokes) | neighbour on our own interface |
 *                   the kernel, through the TUN
 *   from the TUN    peer, or nobody
 *   from a LAN      peer, or the kernel
 *
 * Where the packet does not pass through the kernel this is the router: TTL goes
 * down by one, and a packet whose TTL has run out goes to the kernel, which
 * answers it.
 */
#include <string.h>
#include <sys/socket.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/fib.h"
#include "dataplane/table/neigh.h"
#include "lib/wire/ip_sum.h"

static uint32_t lookup(const struct fib *f, const struct ip_info *ip)
{
	return ip->family == AF_INET ? fib_lookup4(f, ip->dst) : fib_lookup6(f, ip->dst);
}

/* The destination as it stands in a packet that may be anything. */
static bool query_make(const struct packet *p, struct fib_query *q)
{
	if (p->len >= IP_V6_HEADER_BYTES && p->data[0] >> 4 == 6)
		*q = (struct fib_query){
			.addr = ((const struct ip_v6_header *)p->data)->dst,
			.is_v6 = true,
		};
	else if (p->len >= IP_V4_HEADER_BYTES && p->data[0] >> 4 == 4)
		*q = (struct fib_query){.addr = ((const struct ip_v4_header *)p->data)->dst};
	else
		return false;
	return true;
}

/*
 * In a large table: the mesh's entries for a whole batch, by packet. Inside it is leaders
 * that are routed, from the outside what has been opened.
 */
static void lookup_batch(const struct worker *w, const struct batch *b, bool is_inside,
			 uint32_t mesh[BATCH_MAX])
{
	struct fib_query q[BATCH_MAX];
	uint8_t packet_of[BATCH_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = &b->pkts[i];

		mesh[i] = 0;
		if (p->drop != DROP_NONE ||
		    !(is_inside ? packet_is_leader(b, i) : p->kind == PACKET_INNER))
			continue;
		if (query_make(p, &q[n]))
			packet_of[n++] = (uint8_t)i;
	}
	fib_lookup_many(w->dp->mesh, q, n);
	for (unsigned i = 0; i < n; i++)
		mesh[packet_of[i]] = q[i].entry;
}

static void to_kernel(struct packet *p)
{
	p->peer_out = PEER_NONE;
	p->out = PACKET_OUT_TUN;
	p->port_out = p->port_in;
}

/* The neighbour's number, or 0 where only the kernel can deliver. */
static uint16_t find_neighbour(const struct worker *w, const struct ip_info *ip, uint32_t id)
{
	if (id == FIB_LOCAL_KERNEL)
		return NEXTHOP_NONE;
	if (!(id & FIB_LOCAL_CONNECTED_BIT))
		return (uint16_t)(id - 1);
	return neigh_find(w->dp->neigh, (uint8_t)(id >> 8), (uint8_t)id, ip->family, ip->dst);
}

static bool to_neighbour(const struct worker *w, struct packet *p, const struct ip_info *ip,
			 uint32_t id)
{
	uint16_t number = find_neighbour(w, ip, id);
	const struct nexthop *n = neigh_get(w->dp->neigh, number);

	if (!(atomic_load_explicit(&n->mac, memory_order_relaxed) & NEIGH_MAC_VALID))
		return false;
	if (p->len > w->dp->ports[n->port].netdev[n->netdev].mtu)
		return false;
	if (!ip_ttl_decrement(p->data, ip))
		return false;
	p->flags |= PACKET_INNER_CHANGED;
	p->nexthop = number;
	p->out = PACKET_OUT_LAN;
	p->port_out = n->port;
	return true;
}

/* True: to another peer. */
static bool route_opened(const struct worker *w, struct packet *p, const struct ip_info *ip,
			 uint32_t mesh)
{
	uint32_t local = lookup(w->dp->local, ip);

	if (mesh && fib_entry_len(mesh) >= fib_entry_len(local)) {
		if (ip_ttl_decrement(p->data, ip)) {
			p->flags |= PACKET_INNER_CHANGED;
			p->peer_out = fib_entry_id(mesh);
			return true;
		}
	} else if (local && to_neighbour(w, p, ip, fib_entry_id(local))) {
		return false;
	}
	to_kernel(p);
	return false;
}

unsigned route_outside_burst(struct worker *w, struct batch *b)
{
	bool is_large = fib_is_large(w->dp->mesh);
	uint32_t mesh[BATCH_MAX];
	unsigned forwarded = 0;

	if (is_large)
		lookup_batch(w, b, false, mesh);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop == DROP_NONE && p->kind == PACKET_INNER)
			forwarded +=
				route_opened(w, p, &b->info[i],
					     is_large ? mesh[i] : lookup(w->dp->mesh, &b->info[i]));
	}
	return forwarded;
}

/* known: the mesh's entry, or NULL where it has not been looked up. */
static void route_leader(const struct worker *w, struct packet *p, struct ip_info *ip,
			 const uint32_t *known)
{
	int ret = ip_parse(p->data, p->len, ip);
	uint32_t mesh;
	bool is_lan = p->flags & PACKET_FROM_LAN;

	if (ret < 0) {
		packet_drop(p, ret == IP_PARSE_BAD_VERSION ? DROP_ROUTE_NOT_IP
							   : DROP_ROUTE_BAD_LENGTH);
		return;
	}
	p->len = (uint16_t)ip->total_len;
	mesh = known ? *known : lookup(w->dp->mesh, ip);
	/* Out of the TUN the kernel has chosen the mesh; off a LAN it has not been asked. */
	if (is_lan && (!mesh || fib_entry_len(lookup(w->dp->local, ip)) > fib_entry_len(mesh))) {
		to_kernel(p);
		return;
	}
	if (!mesh) {
		packet_drop(p, DROP_ROUTE_NO_PEER);
		return;
	}
	/* Steering left packets with a TTL of 1 to the kernel; out of the TUN it has counted. */
	if (is_lan && !ip_ttl_decrement(p->data, ip)) {
		packet_drop(p, DROP_ROUTE_TTL);
		return;
	}
	p->peer_out = fib_entry_id(mesh);
}

void route_inside_burst(struct worker *w, struct batch *b)
{
	bool is_large = fib_is_large(w->dp->mesh);
	uint32_t mesh[BATCH_MAX];

	if (is_large)
		lookup_batch(w, b, true, mesh);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop != DROP_NONE)
			continue;
		if (packet_is_leader(b, i)) {
			route_leader(w, p, &b->info[i], is_large ? &mesh[i] : NULL);
		} else {
			p->drop = b->pkts[p->leader].drop;
			p->peer_out = b->pkts[p->leader].peer_out;
		}
	}
}
