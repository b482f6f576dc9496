/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packet filter, with the semantics that all nodes of a tailnet share
 * (docs/protocol/tunnel.md): inbound packets need a rule or a state, outbound
 * ones pass and leave the state that lets their answers in. Without a policy
 * nothing passes, either way.
 */
#include <sys/socket.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/flow.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/rule.h"

/* ICMP types that answer or report: let in whatever the rules say. */
static bool is_icmp_answer(const struct ip_info *ip)
{
	if (ip->family == AF_INET) {
		/* 18 stands where the reference meant 12; all nodes behave so. */
		return (ip->icmp_type == 0 && ip->icmp_code == 0) || ip->icmp_type == 3 ||
		       ip->icmp_type == 11 || ip->icmp_type == 18;
	}
	return (ip->icmp_type == 129 && ip->icmp_code == 0) ||
	       (ip->icmp_type >= 1 && ip->icmp_type <= 4);
}

static bool is_multicast(const struct ip_info *ip)
{
	return ip->family == AF_INET ? (ip->dst[0] & 0xf0) == 0xe0 : ip->dst[0] == 0xff;
}

static bool is_link_local(const struct ip_info *ip)
{
	if (ip->family == AF_INET6)
		return ip->dst[0] == 0xfe && (ip->dst[1] & 0xc0) == 0x80;
	if (ip->dst[0] != 169 || ip->dst[1] != 254)
		return false;
	return !(ip->dst[2] == 169 && ip->dst[3] == 254); /* metadata services are let through */
}

/* Both directions. *pass: decided already, let it through. */
static enum drop_reason precheck(const struct ip_info *ip, bool *pass)
{
	*pass = false;
	if (ip->proto == IP_PROTO_UNKNOWN)
		return DROP_FILTER_MALFORMED;
	if (is_multicast(ip))
		return DROP_FILTER_MULTICAST;
	if (is_link_local(ip))
		return DROP_FILTER_LINK_LOCAL;
	*pass = ip->proto == IP_PROTO_FRAGMENT;
	return DROP_NONE;
}

static enum flow_space space_of(const struct worker *w, uint32_t peer_id)
{
	const struct peer *peer = peer_get(w->dp->peers, peer_id);

	return peer && (atomic_load_explicit(&peer->flags, memory_order_relaxed) &
			DPAPI_PEER_JAILED)
		       ? FLOW_SPACE_JAILED
		       : FLOW_SPACE_NORMAL;
}

static uint32_t find_flow(struct worker *w, const struct ip_info *ip, enum flow_space space,
			  uint64_t now_ns)
{
	struct flow_key key;

	flow_key_make(&key, false, ip->family, ip->proto, ip->src, ip->src_port, ip->dst,
		      ip->dst_port, space);
	return flow_lookup_in(w->dp->flows, &key, flow_hash(w->dp->flows, &key), now_ns);
}

static enum drop_reason ruled(struct packet *p, uint16_t rule)
{
	p->rule = rule;
	return rule ? DROP_NONE : DROP_FILTER_NO_RULE;
}

static enum drop_reason judge_in(struct worker *w, const struct rule_set *set, struct packet *p,
				 const struct ip_info *ip, uint64_t now_ns)
{
	enum flow_space space = space_of(w, p->peer_in);
	bool is_jailed = space == FLOW_SPACE_JAILED;
	bool pass;
	enum drop_reason reason = precheck(ip, &pass);

	if (reason != DROP_NONE || pass)
		return reason;
	if (!rule_is_local(w->dp->rules, ip->family, ip->dst))
		return DROP_FILTER_NOT_LOCAL;
	switch (ip->proto) {
	case IP_PROTO_TSMP:
		return DROP_NONE;
	case IP_PROTO_ICMP:
	case IP_PROTO_ICMPV6:
		if ((ip->proto == IP_PROTO_ICMP) != (ip->family == AF_INET))
			break;
		if (is_icmp_answer(ip))
			return DROP_NONE;
		return ruled(p, is_jailed ? 0 : rule_match_addr(set, ip->family, ip->src, ip->dst));
	case IP_PROTO_TCP:
		if (!ip_is_tcp_syn(ip))
			return DROP_NONE;
		return ruled(p, is_jailed ? 0
					  : rule_match_l4(set, ip->family, ip->src, ip->dst,
							  ip->proto, ip->dst_port));
	case IP_PROTO_UDP:
	case IP_PROTO_SCTP:
		p->flow = find_flow(w, ip, space, now_ns);
		if (p->flow) {
			flow_count(w->dp->flows, p->flow, false, 1, p->len);
			return DROP_NONE;
		}
		return ruled(p, is_jailed ? 0
					  : rule_match_l4(set, ip->family, ip->src, ip->dst,
							  ip->proto, ip->dst_port));
	default:
		break;
	}
	return ruled(p, is_jailed ? 0
				  : rule_match_proto(set, ip->family, ip->src, ip->dst, ip->proto));
}

static void drop_all(struct batch *b, bool is_out)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop == DROP_NONE && p->kind == PACKET_INNER &&
		    (!is_out || p->peer_out != PEER_NONE))
			packet_drop(p, DROP_FILTER_NO_POLICY);
	}
}

void filter_in_burst(struct worker *w, struct batch *b)
{
	const struct rule_set *set = rule_current(w->dp->rules);

	switch (rule_mode(set)) {
	case DPAPI_FILTER_ALLOW_ALL:
		return;
	case DPAPI_FILTER_NONE:
		drop_all(b, false);
		return;
	case DPAPI_FILTER_RULES:
		break;
	}
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop == DROP_NONE && p->kind == PACKET_INNER)
			p->drop = (uint8_t)judge_in(w, set, p, &b->info[i], b->now_ns);
	}
}

static enum drop_reason judge_out(struct worker *w, struct packet *p, const struct ip_info *ip,
				  uint64_t now_ns)
{
	struct flow_key key;
	bool pass;
	enum drop_reason reason = precheck(ip, &pass);

	if (reason != DROP_NONE || pass)
		return reason;
	if (ip->proto != IP_PROTO_UDP && ip->proto != IP_PROTO_SCTP)
		return DROP_NONE;
	flow_key_make(&key, true, ip->family, ip->proto, ip->src, ip->src_port, ip->dst,
		      ip->dst_port, space_of(w, p->peer_out));
	p->flow = flow_note_out(w->dp->flows, &key, flow_hash(w->dp->flows, &key), p->peer_out,
				now_ns);
	return DROP_NONE;
}

void filter_out_burst(struct worker *w, struct batch *b)
{
	const struct rule_set *set = rule_current(w->dp->rules);

	switch (rule_mode(set)) {
	case DPAPI_FILTER_ALLOW_ALL:
		return;
	case DPAPI_FILTER_NONE:
		drop_all(b, true);
		return;
	case DPAPI_FILTER_RULES:
		break;
	}
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop != DROP_NONE || p->kind != PACKET_INNER || p->peer_out == PEER_NONE)
			continue;
		if (!packet_is_leader(b, i)) {
			p->drop = b->pkts[p->leader].drop;
			p->flow = b->pkts[p->leader].flow;
		} else {
			p->drop = (uint8_t)judge_out(w, p, &b->info[i], b->now_ns);
		}
		if (p->flow)
			flow_count(w->dp->flows, p->flow, true, 1, p->len);
	}
}
