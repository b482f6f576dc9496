/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed to clear, in passes over the batch: find the sessions (open_jobs.c), decrypt all,
 * then judge each in the order that the protocol prescribes: tag, replay window,
 * IP length, allowed source (docs/protocol/wireguard.md). Nothing of a packet
 * whose tag is wrong is looked at.
 *
 * What a packet shows about its peer (alive, confirmed, moved, due for a rekey)
 * is noted once a run of packets of the same session.
 */
#include <string.h>
#include <sys/socket.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/open_jobs.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/fib.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/wire/ecn.h"
#include "lib/wire/lane.h"
#include "lib/wire/wg.h"

#define ROAM_TELL_NS	(10 * NS_PER_MS)
#define REKEY_TELL_NS	NS_PER_SEC
#define TRAFFIC_TELL_NS NS_PER_SEC
/* Messages about lanes for causewayd, a worker; gateways with a thousand peers send fewer. */
#define LANE_SECOND_MAX 4096
/* A peer's share of it: 16 lanes, five pings and five pongs, twice as many at a rekey. */
#define LANE_PEER_SECOND_MAX 512

/* Peers have arrived while the engine worked; the paths of those without IPv4 are compared next. */
static void prefetch_paths(const struct open_batch *o)
{
	for (unsigned k = 0; k < o->jobs; k++) {
		const struct peer *peer = o->session[k]->peer;

		if (!atomic_load_explicit(&peer->remote4, memory_order_relaxed))
			__builtin_prefetch(peer_path_get(peer));
	}
}

static enum drop_reason replay_drop(enum replay_verdict v)
{
	switch (v) {
	case REPLAY_OK:
		return DROP_NONE;
	case REPLAY_SEEN:
		return DROP_OPEN_REPLAY;
	case REPLAY_TOO_OLD:
		return DROP_OPEN_TOO_OLD;
	case REPLAY_LIMIT:
		return DROP_OPEN_COUNTER_LIMIT;
	case REPLAY_NO_WINDOW:
		return DROP_OPEN_NO_WINDOW;
	}
	return DROP_OPEN_REPLAY;
}

static enum drop_reason ip_drop(int error)
{
	return error == IP_PARSE_BAD_VERSION ? DROP_OPEN_NOT_IP : DROP_OPEN_BAD_LENGTH;
}

/*
 * A peer has few addresses, most have one: the first that is seen after a change of routes
 * is remembered, so that nobody but a subnet's router costs more than a look at the peer.
 */
static bool is_allowed_source(const struct fib *mesh, struct peer *peer, const struct ip_info *ip)
{
	/* Before the look-up: a change in between makes what is noted out of date. */
	uint32_t epoch = fib_epoch(mesh);
	uint64_t noted, source;

	if (ip->family != AF_INET)
		return fib_entry_id(fib_lookup6(mesh, ip->src)) == peer->id;
	noted = atomic_load_explicit(&peer->source4, memory_order_relaxed);
	source = peer_source4(ip->src, epoch);
	if (source == noted)
		return true;
	if (fib_entry_id(fib_lookup4(mesh, ip->src)) != peer->id)
		return false;
	if ((uint32_t)noted != epoch)
		atomic_store_explicit(&peer->source4, source, memory_order_relaxed);
	return true;
}

static uint8_t room(uint32_t bytes)
{
	return bytes > UINT8_MAX ? UINT8_MAX : (uint8_t)bytes;
}

static void carry_ecn(struct worker *w, struct packet *p, struct ip_info *ip)
{
	bool drop = false;
	uint8_t ecn;

	/* No mark outside: whatever the inner packet says stays. */
	if (!(p->outer_tos & ECN_MASK))
		return;
	ecn = ecn_decap(ip->tos, p->outer_tos, &drop);
	if (drop) {
		packet_drop(p, DROP_OPEN_ECN);
		return;
	}
	if (ecn == (ip->tos & ECN_MASK))
		return;
	ecn_set(p->data, ip, ecn);
	ip->tos = (uint8_t)((ip->tos & ~ECN_MASK) | ecn);
	p->flags |= PACKET_INNER_CHANGED;
	w->stats.ecn_ce_marked++;
}

/* Counted roughly where workers share a peer: none can take the others' lanes away. */
static bool is_lane_flood(struct peer *peer, uint64_t now_ns)
{
	uint64_t since = atomic_load_explicit(&peer->lane_since_ns, memory_order_relaxed);

	/* Another worker's batch may be a little later than ours. */
	if ((int64_t)(now_ns - since) >= (int64_t)NS_PER_SEC) {
		atomic_store_explicit(&peer->lane_since_ns, now_ns, memory_order_relaxed);
		atomic_store_explicit(&peer->lane_count, 0, memory_order_relaxed);
	}
	return atomic_fetch_add_explicit(&peer->lane_count, 1, memory_order_relaxed) >=
	       LANE_PEER_SECOND_MAX;
}

/* No IP packet, but a message about lanes: causewayd's. */
static void to_control(struct worker *w, struct packet *p, struct peer *peer, uint32_t len,
		       uint64_t now_ns)
{
	p->kind = PACKET_LANE;
	p->len = (uint16_t)len;
	p->out = PACKET_OUT_CHANNEL;
	p->port_out = p->port_in;
	if (now_ns - w->lane_since_ns >= NS_PER_SEC) {
		w->lane_since_ns = now_ns;
		w->lane_count = 0;
	}
	if (is_lane_flood(peer, now_ns) || ++w->lane_count > LANE_SECOND_MAX)
		packet_drop(p, DROP_OPEN_LANE_FLOOD);
}

/* The packet is authentic: from here on data is the inner packet. */
static void unwrap(struct worker *w, struct batch *b, unsigned i, struct session *s)
{
	struct packet *p = &b->pkts[i];
	struct ip_info *ip = &b->info[i];
	uint32_t payload = p->len - WG_DATA_MIN_BYTES;
	int ret;

	p->data += WG_DATA_HEADER_BYTES;
	p->headroom = room(p->headroom + (uint32_t)WG_DATA_HEADER_BYTES);
	p->peer_in = s->peer->id;
	if (payload == 0) {
		p->kind = PACKET_KEEPALIVE;
		p->len = 0;
		w->stats.keepalives_received++;
		return;
	}
	p->kind = PACKET_INNER;
	ret = ip_parse(p->data, payload, ip);
	if (ret < 0) {
		if (lane_msg_is(p->data, payload))
			to_control(w, p, s->peer, payload, b->now_ns);
		else
			packet_drop(p, ip_drop(ret));
		return;
	}
	/* Padding and tag are free room now: a hub seals the packet where it lies. */
	p->tailroom = room(p->tailroom + p->len - WG_DATA_HEADER_BYTES - ip->total_len);
	p->len = (uint16_t)ip->total_len;
	if (!is_allowed_source(w->dp->mesh, s->peer, ip)) {
		packet_drop(p, DROP_OPEN_SRC_NOT_ALLOWED);
		return;
	}
	carry_ecn(w, p, ip);
}

static void post(struct worker *w, const struct session *s, uint32_t type, uint64_t now_ns)
{
	struct worker_event e = {.type = type,
				 .peer_id = s->peer->id,
				 .local_index = s->local_index,
				 .time_ns = now_ns};

	worker_post(w, &e);
}

/* Not from where the peer's path leads, which an IPv4 peer's own line says. */
static bool is_elsewhere(const struct packet *p, const struct peer *peer)
{
	const struct peer_path *path;

	if (!p->remote || p->vni_lane)
		return false;
	if (atomic_load_explicit(&peer->remote4, memory_order_relaxed) == peer_remote4(p->remote))
		return false;
	path = peer_path_get(peer);
	return !path || path->path.kind != DPAPI_PATH_UDP ||
	       memcmp(&path->path.remote, p->remote, sizeof(*p->remote)) != 0;
}

static void note_address(struct worker *w, const struct packet *p, const struct session *s,
			 uint64_t now_ns)
{
	struct worker_event e;

	/* Where lanes come from says nothing of lane 0. */
	if (s->lane)
		return;
	if (!peer_claim(&s->peer->roam_told_ns, now_ns, ROAM_TELL_NS))
		return;
	e = (struct worker_event){
		.type = DPAPI_EVENT_ROAMED,
		.peer_id = s->peer->id,
		.local_index = s->local_index,
		.time_ns = now_ns,
		.path = {.kind = DPAPI_PATH_UDP, .local_port = p->port_in, .remote = *p->remote},
	};
	worker_post(w, &e);
}

/* What packets of a session tell about their peer; n_data of them were data. */
static void note_run(struct worker *w, struct session *s, uint64_t now_ns, uint64_t n_data,
		     uint64_t bytes)
{
	peer_note_rx(s->peer, now_ns, n_data, bytes, w->dp->worker_count > 1);
	if (peer_promote(s->peer, s)) {
		post(w, s, DPAPI_EVENT_CONFIRMED, now_ns);
		/* What waits here leaves now; the control thread tells the other workers. */
		w->is_flush_wanted = true;
	}
	if (s->rekey_rx_ns && now_ns > s->rekey_rx_ns &&
	    session_claim_rekey(s, now_ns, REKEY_TELL_NS))
		post(w, s, DPAPI_EVENT_REKEY, now_ns);
	if (peer_claim(&s->peer->traffic_told_ns, now_ns, TRAFFIC_TELL_NS))
		post(w, s, DPAPI_EVENT_TRAFFIC, now_ns);
}

/*
 * Counters in a row are marked at once: jobs from k on, before end, that are of one
 * block of the session's window, each counter for the first time. Returns how many;
 * verdicts go into the packets' drop.
 */
static unsigned mark_replays(const struct worker *w, struct batch *b, const struct open_batch *o,
			     unsigned k, unsigned end)
{
	uint64_t block = replay_block(o->job[k].counter), bits = 0, too_old, fresh;
	uint64_t first = replay_first(block);
	enum replay_verdict why;
	unsigned n = 0;

	for (; k + n < end; n++) {
		const struct aead_job *j = &o->job[k + n];
		uint64_t at = j->counter - first;

		if (!j->ok || at >= REPLAY_BITS || (bits >> at & 1))
			break;
		bits |= 1ull << at;
	}
	fresh = replay_mark(&o->session[k]->replay, block, bits, w->dp->worker_count > 1, &too_old,
			    &why);
	for (unsigned i = 0; i < n && fresh != bits; i++) {
		uint64_t bit = 1ull << (o->job[k + i].counter - first);

		if (!(fresh & bit))
			packet_drop(&b->pkts[o->packet_of[k + i]],
				    replay_drop(too_old & bit ? REPLAY_TOO_OLD : why));
	}
	return n;
}

static void judge_replays(const struct worker *w, struct batch *b, const struct open_batch *o,
			  unsigned k, unsigned end)
{
	while (k < end) {
		if (o->job[k].ok)
			k += mark_replays(w, b, o, k, end);
		else
			packet_drop(&b->pkts[o->packet_of[k++]], DROP_OPEN_BAD_TAG);
	}
}

/* Jobs first to end - 1 are of one session. */
static void take_in_run(struct worker *w, struct batch *b, const struct open_batch *o,
			unsigned first, unsigned end)
{
	struct session *s = o->session[first];
	uint64_t n_data = 0, bytes = 0;
	bool is_alive = false;

	judge_replays(w, b, o, first, end);
	for (unsigned k = first; k < end; k++) {
		struct packet *p = &b->pkts[o->packet_of[k]];

		if (p->drop != DROP_NONE)
			continue;
		is_alive = true;
		if (is_elsewhere(p, s->peer))
			note_address(w, p, s, b->now_ns);
		unwrap(w, b, o->packet_of[k], s);
		if (p->kind == PACKET_INNER && p->drop == DROP_NONE) {
			n_data++;
			bytes += p->len;
		}
	}
	if (is_alive)
		note_run(w, s, b->now_ns, n_data, bytes);
}

static bool is_noted(const struct peer *peer, const uint8_t *inner, uint32_t epoch)
{
	return atomic_load_explicit(&peer->source4, memory_order_relaxed) ==
	       peer_source4(((const struct ip_v4_header *)inner)->src, epoch);
}

/* Sources of what has been opened are looked up next. */
static void warm_sources(const struct worker *w, const struct batch *b, const struct open_batch *o)
{
	uint32_t epoch = fib_epoch(w->dp->mesh);
	struct fib_query q[BATCH_MAX];
	unsigned n = 0;

	for (unsigned k = 0; k < o->jobs; k++) {
		const uint8_t *inner = b->pkts[o->packet_of[k]].data + WG_DATA_HEADER_BYTES;

		if (!o->job[k].ok)
			continue;
		if (o->job[k].len >= IP_V6_HEADER_BYTES && inner[0] >> 4 == 6)
			q[n++] = (struct fib_query){
				.addr = ((const struct ip_v6_header *)inner)->src,
				.is_v6 = true,
			};
		else if (o->job[k].len >= IP_V4_HEADER_BYTES && inner[0] >> 4 == 4 &&
			 !is_noted(o->session[k]->peer, inner, epoch))
			q[n++] = (struct fib_query){
				.addr = ((const struct ip_v4_header *)inner)->src,
			};
	}
	fib_lookup_many(w->dp->mesh, q, n);
}

void open_burst(struct worker *w, struct batch *b)
{
	struct open_batch o;

	open_jobs_make(w, b, &o);
	if (o.jobs == 0)
		return;
	w->engine->open(w->aead, o.job, o.jobs);
	if (o.is_ahead)
		prefetch_paths(&o);
	if (fib_is_large(w->dp->mesh))
		warm_sources(w, b, &o);
	for (unsigned k = 0, end; k < o.jobs; k = end) {
		for (end = k + 1; end < o.jobs && o.session[end] == o.session[k]; end++)
			;
		take_in_run(w, b, &o, k, end);
	}
}
