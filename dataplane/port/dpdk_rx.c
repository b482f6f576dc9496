/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving on the dpdk port: which frames are the dataplane's. Here is decided what
 * ebpf/steer.bpf.c decides on the xdp port, with the same rule: what is rare or needs
 * judgement (ARP, fragments, options, extension headers, VLANs, ICMP errors to send)
 * is the kernel's, and goes to it through the TAP.
 *
 *   WAN   data messages (WireGuard type 4) to our port at one of our addresses
 *   LAN   every packet that could be forwarded; the route stage then looks whether
 *         its destination is the mesh's, and what is not comes back to dpdk_tx.c,
 *         which gives the kernel the frame
 */
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/dataplane.h"
#include "dataplane/port/dpdk_port.h"
#include "dataplane/table/fib.h"
#include "lib/base/clock.h"
#include "lib/wire/ether.h"
#include "lib/wire/ip.h"
#include "lib/wire/wg.h"

#define TAP_FRAMES    32
#define FRAGMENT_BITS 0x3fff /* more fragments, offset */

enum verdict { TO_DATAPLANE, TO_KERNEL, TO_NOBODY, TO_LIMITER };

/* Headers of a frame that is long enough for them. */
struct view {
	const struct ether_head *eth;
	const uint8_t *ip;
	uint32_t ip_len; /* bytes from ip to the frame's end */
};

static uint64_t mac_word(const uint8_t *mac)
{
	uint64_t v = 0;

	memcpy(&v, mac, ETHER_ADDR_BYTES);
	return v;
}

static bool is_group(const struct ether_head *eth)
{
	return eth->dst[0] & 1;
}

/* 224.0.0.0/3 holds multicast, reserved and broadcast; 169.254/16 ends at its link. */
static bool is_forwardable_v4(const uint8_t *a)
{
	return a[0] < 224 && a[0] != 127 && a[0] != 0 && !(a[0] == 169 && a[1] == 254);
}

static bool is_forwardable_v6(const uint8_t *a)
{
	return a[0] != 0xff && !(a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

/* Is there but one more header, and that one UDP, or (for a LAN) any? */
static bool is_plain_v6(uint8_t next)
{
	switch (next) {
	case IP_PROTO_TCP:
	case IP_PROTO_UDP:
	case IP_PROTO_ICMPV6:
		return true;
	default:
		return false;
	}
}

static bool is_own(const struct dataplane *dp, const uint8_t *addr, bool is_v4)
{
	uint32_t entry = is_v4 ? fib_lookup4(dp->local, addr) : fib_lookup6(dp->local, addr);

	return fib_entry_id(entry) == FIB_LOCAL_KERNEL &&
	       fib_entry_len(entry) == (is_v4 ? 32 : 128);
}

static enum verdict judge_message(const struct dpdk_port *x, const struct dataplane *dp,
				  const uint8_t *udp_at, uint32_t left, const uint8_t *dst,
				  bool is_v4)
{
	const struct ip_udp_header *udp = (const struct ip_udp_header *)udp_at;

	if (left < IP_UDP_HEADER_BYTES + 4u)
		return TO_KERNEL;
	if (be16_get(&udp->dst_port) != x->udp.listen_port &&
	    (uint32_t)be16_get(&udp->dst_port) - x->udp.lane_first >= x->udp.lane_count)
		return TO_KERNEL;
	switch (wg_msg_classify(udp_at + IP_UDP_HEADER_BYTES, left - IP_UDP_HEADER_BYTES)) {
	case WG_MSG_DATA:
		return x->accepts_any || is_own(dp, dst, is_v4) ? TO_DATAPLANE : TO_KERNEL;
	case WG_MSG_INITIATION:
	case WG_MSG_RESPONSE:
	case WG_MSG_COOKIE:
		return is_own(dp, dst, is_v4) ? TO_LIMITER : TO_KERNEL;
	default:
		return TO_KERNEL;
	}
}

static enum verdict judge_wan(const struct dpdk_port *x, const struct dataplane *dp,
			      const struct view *v)
{
	uint16_t type = be16_get(&v->eth->type);

	if (type == ETHER_TYPE_IPV4) {
		const struct ip_v4_header *h = (const struct ip_v4_header *)v->ip;

		if (v->ip_len < IP_V4_HEADER_BYTES || h->version_ihl != 0x45 ||
		    h->protocol != IP_PROTO_UDP || (be16_get(&h->fragment) & FRAGMENT_BITS))
			return TO_KERNEL;
		return judge_message(x, dp, v->ip + IP_V4_HEADER_BYTES,
				     v->ip_len - IP_V4_HEADER_BYTES, h->dst, true);
	}
	if (type == ETHER_TYPE_IPV6) {
		const struct ip_v6_header *h = (const struct ip_v6_header *)v->ip;

		if (v->ip_len < IP_V6_HEADER_BYTES || v->ip[0] >> 4 != 6 ||
		    h->next_header != IP_PROTO_UDP)
			return TO_KERNEL;
		return judge_message(x, dp, v->ip + IP_V6_HEADER_BYTES,
				     v->ip_len - IP_V6_HEADER_BYTES, h->dst, false);
	}
	return TO_KERNEL;
}

static enum verdict judge_lan(const struct view *v)
{
	uint16_t type = be16_get(&v->eth->type);

	if (type == ETHER_TYPE_IPV4) {
		const struct ip_v4_header *h = (const struct ip_v4_header *)v->ip;

		return v->ip_len >= IP_V4_HEADER_BYTES && h->version_ihl == 0x45 && h->ttl > 1 &&
				       !(be16_get(&h->fragment) & FRAGMENT_BITS) &&
				       is_forwardable_v4(h->dst)
			       ? TO_DATAPLANE
			       : TO_KERNEL;
	}
	if (type == ETHER_TYPE_IPV6) {
		const struct ip_v6_header *h = (const struct ip_v6_header *)v->ip;

		return v->ip_len >= IP_V6_HEADER_BYTES && v->ip[0] >> 4 == 6 && h->hop_limit > 1 &&
				       is_plain_v6(h->next_header) && is_forwardable_v6(h->dst) &&
				       is_forwardable_v6(h->src)
			       ? TO_DATAPLANE
			       : TO_KERNEL;
	}
	return TO_KERNEL;
}

static enum verdict judge(const struct dpdk_port *x, struct dpdk_worker *dw,
			  const struct dataplane *dp, const struct rte_mbuf *m, uint64_t mac,
			  bool is_wan)
{
	struct view v = {.eth = rte_pktmbuf_mtod(m, const struct ether_head *)};

	if (m->nb_segs != 1 || m->data_len < ETHER_HEADER_BYTES) {
		dw->counts.in_pieces += m->nb_segs != 1;
		dw->counts.runt += m->nb_segs == 1;
		return TO_NOBODY;
	}
	if (is_group(v.eth))
		return TO_KERNEL;
	if (mac_word(v.eth->dst) != mac) {
		dw->counts.other_mac++;
		return TO_NOBODY;
	}
	v.ip = (const uint8_t *)(v.eth + 1);
	v.ip_len = m->data_len - (uint32_t)ETHER_HEADER_BYTES;
	return is_wan ? judge_wan(x, dp, &v) : judge_lan(&v);
}

/* A handshake message: to the kernel and causewayd, if there are not too many. */
static enum verdict limit(const struct dpdk_port *x, struct dpdk_worker *dw,
			  const struct rte_mbuf *m)
{
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *) + ETHER_HEADER_BYTES;
	bool is_v4 = ip[0] >> 4 == 4;
	const uint8_t *src = is_v4 ? ((const struct ip_v4_header *)ip)->src
				   : ((const struct ip_v6_header *)ip)->src;

	switch (flood_take(x->flood, src, is_v4, clock_now_ns())) {
	case FLOOD_PASS:
		return TO_KERNEL;
	case FLOOD_SOURCE:
		dw->counts.flood_source++;
		break;
	case FLOOD_TOTAL:
		dw->counts.flood_total++;
		break;
	}
	return TO_NOBODY;
}

/* All of it, into L2: the cipher comes to it some packets later. */
static void prefetch_payload(const struct frame *f)
{
	for (uint32_t k = 0; k < f->len; k += 64)
		__builtin_prefetch(f->data + k, 0, 2);
}

static void take(struct batch *b, struct rte_mbuf *m, unsigned netdev, bool is_wan,
		 const struct frame_outer *outer, struct dpapi_addr *remote)
{
	struct packet *pkt = batch_add(b);
	struct frame f = {
		.mbuf = m,
		.data = rte_pktmbuf_mtod(m, uint8_t *),
		.len = m->data_len,
		.start = m->buf_addr,
		.end = (uint8_t *)m->buf_addr + m->buf_len,
		.is_sum_ok =
			(m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	};
	enum drop_reason reason;

	m->port = (uint16_t)netdev; /* if the kernel shall have it after all */
	prefetch_payload(&f);
	reason = is_wan ? frame_outside(pkt, &f, remote) : frame_inside(pkt, &f);
	if (reason)
		packet_drop(pkt, reason);
	else if (is_wan)
		frame_set_lane(pkt, outer);
}

static unsigned rx_queue(struct port *p, struct worker *w, unsigned i, struct batch *b)
{
	struct dpdk_port *x = p->priv;
	struct dpdk_worker *dw = &x->worker[w->id];
	const struct dpdk_source *s = &dw->source[i];
	uint64_t mac = atomic_load_explicit(&x->mac[s->netdev], memory_order_relaxed);
	bool is_wan = p->netdev[s->netdev].is_wan;
	struct rte_mbuf *m[BATCH_MAX];
	unsigned had = b->n;
	unsigned n = rte_eth_rx_burst(x->dev[s->netdev].ethdev, s->queue, m,
				      (uint16_t)(BATCH_MAX - b->n));

	for (unsigned k = 0; k < n; k++)
		rte_prefetch0(rte_pktmbuf_mtod(m[k], void *));
	for (unsigned k = 0; k < n; k++) {
		enum verdict v = judge(x, dw, w->dp, m[k], mac, is_wan);

		if (v == TO_LIMITER)
			v = limit(x, dw, m[k]);
		if (v == TO_DATAPLANE) {
			take(b, m[k], s->netdev, is_wan, &dw->outer, &dw->remote[i][b->n]);
			continue;
		}
		if (v == TO_KERNEL)
			dpdk_port_to_kernel(x, dw, s->netdev, rte_pktmbuf_mtod(m[k], void *),
					    m[k]->data_len);
		rte_pktmbuf_free(m[k]);
	}
	if (is_wan)
		w->stats.rx_outside += b->n - had;
	else
		w->stats.rx_inside += b->n - had;
	return n;
}

/* What the kernel sends goes out as it is: no packet of ours. */
static unsigned rx_tap(struct dpdk_port *x, struct worker *w, unsigned netdev)
{
	struct dpdk_worker *dw = &x->worker[w->id];
	struct rte_mbuf *m[TAP_FRAMES];
	unsigned n = exception_read(&x->tap[netdev], x->pool, m, TAP_FRAMES), sent;

	if (!n)
		return 0;
	sent = dpdk_port_send(x, w->id, netdev, m, n);
	dw->counts.from_kernel += sent;
	dw->counts.from_kernel_lost += n - sent;
	return n;
}

static unsigned rx_handover(struct dpdk_port *x, struct worker *w, unsigned netdev)
{
	struct rte_mbuf *m[BATCH_MAX];
	unsigned n = handover_take(&x->handover[netdev * x->worker_count + w->id], m, BATCH_MAX);

	if (n)
		x->worker[w->id].counts.handed_over_lost +=
			n - dpdk_port_send(x, w->id, netdev, m, n);
	return n;
}

unsigned dpdk_port_rx(struct port *p, struct worker *w, unsigned i, struct batch *b)
{
	struct dpdk_port *x = p->priv;
	const struct dpdk_source *s = &x->worker[w->id].source[i];

	switch ((enum dpdk_source_kind)s->kind) {
	case DPDK_SOURCE_QUEUE:
		return rx_queue(p, w, i, b);
	case DPDK_SOURCE_TAP:
		return rx_tap(x, w, s->netdev);
	case DPDK_SOURCE_HANDOVER:
		return rx_handover(x, w, s->netdev);
	}
	return 0;
}
