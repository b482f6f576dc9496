/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer's MTU: TCP connections are told of it when they open (MSS clamp, both
 * directions), and what is larger all the same goes to the kernel, whose route to
 * the peer has this MTU: it sends ICMP too big, or fragments.
 */
#include <sys/socket.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/peer.h"
#include "lib/wire/ip_sum.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2

static uint32_t mtu_of(const struct worker *w, uint32_t peer_id)
{
	const struct peer *peer = peer_get(w->dp->peers, peer_id);

	return peer ? atomic_load_explicit(&peer->mtu, memory_order_relaxed) : UINT16_MAX;
}

static uint16_t swap16(uint16_t v)
{
	return (uint16_t)(v << 8 | v >> 8);
}

/* The MSS option's value, or NULL. *is_odd: at an odd distance from the header's start. */
static uint8_t *find_mss(uint8_t *tcp, uint32_t header_len, bool *is_odd)
{
	uint32_t at = IP_TCP_HEADER_BYTES;

	while (at < header_len) {
		uint8_t kind = tcp[at];
		uint8_t len;

		if (kind == TCP_OPTION_END)
			return NULL;
		if (kind == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 2 > header_len)
			return NULL;
		len = tcp[at + 1];
		if (len < 2 || at + len > header_len)
			return NULL;
		if (kind == TCP_OPTION_MSS && len == 4) {
			*is_odd = at & 1;
			return tcp + at + 2;
		}
		at += len;
	}
	return NULL;
}

static void clamp_mss(struct worker *w, struct packet *p, const struct ip_info *ip, uint32_t mtu)
{
	uint32_t headers = (ip->family == AF_INET ? IP_V4_HEADER_BYTES : IP_V6_HEADER_BYTES) +
			   IP_TCP_HEADER_BYTES;
	struct ip_tcp_header *tcp = (struct ip_tcp_header *)(p->data + ip->l4_offset);
	uint32_t header_len = (uint32_t)(tcp->offset >> 4) * 4;
	uint16_t old, new = (uint16_t)(mtu - headers), sum = be16_get(&tcp->checksum);
	bool is_odd = false;
	uint8_t *mss;

	if (ip->l4_offset + header_len > p->len)
		return;
	mss = find_mss((uint8_t *)tcp, header_len, &is_odd);
	if (!mss)
		return;
	old = (uint16_t)(mss[0] << 8 | mss[1]);
	if (old <= new)
		return;
	mss[0] = (uint8_t)(new >> 8);
	mss[1] = (uint8_t) new;
	/* Ones' complement sums do not care for byte order: an odd place swaps both. */
	sum = is_odd ? ip_checksum_update(sum, swap16(old), swap16(new))
		     : ip_checksum_update(sum, old, new);
	be16_put(&tcp->checksum, sum);
	p->flags |= PACKET_INNER_CHANGED;
	w->stats.mss_clamped++;
}

static void too_big(struct packet *p, const struct ip_info *ip)
{
	/* The kernel has routed it once, with the same MTU: it knew, so there is nobody to ask. */
	if (!(p->flags & (PACKET_FROM_OUTSIDE | PACKET_FROM_LAN))) {
		packet_drop(p, DROP_MTU_TOO_BIG);
		return;
	}
	/* It counts the hop, and quotes the packet as it came. */
	ip_ttl_restore(p->data, ip);
	p->peer_out = PEER_NONE;
	p->out = PACKET_OUT_TUN;
	p->port_out = p->port_in;
}

/* With many peers they are not in the cache: here they are first looked at, then sealed to. */
static void prefetch_peers(const struct worker *w, const struct batch *b)
{
	uint32_t last = PEER_NONE;

	for (unsigned i = 0; i < b->n; i++) {
		const struct peer *peer;

		if (b->pkts[i].peer_out == last)
			continue;
		last = b->pkts[i].peer_out;
		peer = peer_get(w->dp->peers, last);
		if (peer)
			peer_prefetch(peer);
	}
}

void mtu_burst(struct worker *w, struct batch *b)
{
	uint32_t last_peer = PEER_NONE, last_mtu = UINT16_MAX;

	if (session_table_is_large(w->dp->sessions))
		prefetch_peers(w, b);

	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		const struct ip_info *ip = &b->info[i];
		uint32_t mtu = UINT16_MAX;

		if (p->drop != DROP_NONE || p->kind != PACKET_INNER)
			continue;
		if (p->peer_out != PEER_NONE) {
			if (p->peer_out != last_peer) {
				last_peer = p->peer_out;
				last_mtu = mtu_of(w, last_peer);
			}
			mtu = last_mtu;
			if (p->len > mtu) {
				too_big(p, ip);
				continue;
			}
		}
		if (!packet_is_leader(b, i) || ip->proto != IP_PROTO_TCP ||
		    !(ip->tcp_flags & IP_TCP_SYN) || ip->is_fragment)
			continue;
		if (p->peer_in != PEER_NONE) {
			uint32_t in = mtu_of(w, p->peer_in);

			mtu = in < mtu ? in : mtu;
		}
		clamp_mss(w, p, ip, mtu);
	}
}
