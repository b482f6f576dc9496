/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed to clear, in passes over the batch: find the sessions, decrypt all,
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

struct open_batch {
	struct session *found[BATCH_MAX];   /* by packet; NULL = not to be opened */
	struct session *session[BATCH_MAX]; /* by job */
	struct aead_job job[BATCH_MAX];
	uint8_t packet_of[BATCH_MAX]; /* by job */
	unsigned jobs;
};

/* Packets in a row of one session: what they tell about their peer. */
struct open_run {
	struct session *session;
	uint64_t n_data, bytes;
};

static const struct wg_msg_data *data_header(const struct packet *p)
{
	return (const struct wg_msg_data *)p->data;
}

/*
 * With many peers each step of session, window and peer is a line that is not in the
 * cache: all packets take one step before the first one takes the next.
 */
static void prefetch_slots(const struct worker *w, const struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = &b->pkts[i];

		if (p->drop == DROP_NONE && p->kind == PACKET_DATA)
			session_prefetch_slot(w->dp->sessions, le32_get(&data_header(p)->receiver));
	}
}

static void prefetch_sessions(const struct worker *w, const struct batch *b, struct open_batch *o)
{
	const struct session *last = NULL;

	for (unsigned i = 0; i < b->n; i++) {
		const struct packet *p = &b->pkts[i];

		o->found[i] = NULL;
		if (p->drop != DROP_NONE || p->kind != PACKET_DATA)
			continue;
		o->found[i] = session_in_slot(w->dp->sessions, le32_get(&data_header(p)->receiver));
		if (o->found[i] && o->found[i] != last) {
			last = o->found[i];
			session_prefetch(last);
		}
	}
}

static void prefetch_peer(const struct session *s, uint64_t counter)
{
	replay_prefetch(&s->replay, counter);
	__builtin_prefetch(s->peer);
	__builtin_prefetch(&s->peer->last_rx_ns, 1);
}

/* Peers have arrived while the engine worked; their paths are compared next. */
static void prefetch_paths(const struct open_batch *o)
{
	for (unsigned k = 0; k < o->jobs; k++)
		if (!k || o->session[k] != o->session[k - 1])
			__builtin_prefetch(peer_path_get(o->session[k]->peer));
}

static void make_jobs(struct batch *b, struct open_batch *o)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		struct session *s = o->found[i];
		struct aead_job *j;
		uint64_t counter;

		if (p->drop != DROP_NONE || p->kind != PACKET_DATA)
			continue;
		p->session = le32_get(&data_header(p)->receiver);
		counter = le64_get(&data_header(p)->counter);
		if (!s || s->local_index != p->session) {
			packet_drop(p, DROP_OPEN_UNKNOWN_INDEX);
			continue;
		}
		if (b->now_ns >= s->expire_ns) {
			packet_drop(p, DROP_OPEN_EXPIRED);
			continue;
		}
		if (counter >= WG_REJECT_AFTER_MESSAGES) {
			packet_drop(p, DROP_OPEN_COUNTER_LIMIT);
			continue;
		}
		if (!o->jobs || o->session[o->jobs - 1] != s)
			prefetch_peer(s, counter);
		o->session[o->jobs] = s;
		o->packet_of[o->jobs] = (uint8_t)i;
		j = &o->job[o->jobs++];
		j->key = s->recv_key;
		j->counter = counter;
		j->src = p->data + WG_DATA_HEADER_BYTES;
		j->dst = p->data + WG_DATA_HEADER_BYTES;
		j->len = p->len - WG_DATA_MIN_BYTES;
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

static bool is_allowed_source(const struct worker *w, const struct ip_info *ip, uint32_t peer)
{
	uint32_t entry = ip->family == AF_INET ? fib_lookup4(w->dp->mesh, ip->src)
					       : fib_lookup6(w->dp->mesh, ip->src);

	return fib_entry_id(entry) == peer;
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
	if (!is_allowed_source(w, ip, p->peer_in)) {
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

static void note_address(struct worker *w, const struct packet *p, const struct session *s,
			 uint64_t now_ns)
{
	const struct peer_path *path = peer_path_get(s->peer);
	struct worker_event e;

	if (!p->remote || p->vni_lane)
		return;
	if (path && path->path.kind == DPAPI_PATH_UDP &&
	    memcmp(&path->path.remote, p->remote, sizeof(*p->remote)) == 0)
		return;
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

static void end_run(struct worker *w, const struct open_run *r, uint64_t now_ns)
{
	struct session *s = r->session;

	if (!s)
		return;
	peer_note_rx(s->peer, now_ns, r->n_data, r->bytes, w->dp->worker_count > 1);
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
 * Counters in a row are marked at once: jobs from k on that are of one session and one
 * block of its window, each counter for the first time. Returns how many; verdicts go
 * into the packets' drop.
 */
static unsigned mark_replays(const struct worker *w, struct batch *b, const struct open_batch *o,
			     unsigned k)
{
	struct session *s = o->session[k];
	uint64_t block = replay_block(o->job[k].counter), bits = 0, too_old, fresh;
	enum replay_verdict why;
	unsigned n = 0;

	for (; k + n < o->jobs; n++) {
		const struct aead_job *j = &o->job[k + n];
		uint64_t bit = 1ull << replay_bit(j->counter);

		if (o->session[k + n] != s || !j->ok || replay_block(j->counter) != block ||
		    (bits & bit))
			break;
		bits |= bit;
	}
	fresh = replay_mark(&s->replay, block, bits, w->dp->worker_count > 1, &too_old, &why);
	for (unsigned i = 0; i < n && fresh != bits; i++) {
		uint64_t bit = 1ull << replay_bit(o->job[k + i].counter);

		if (!(fresh & bit))
			packet_drop(&b->pkts[o->packet_of[k + i]],
				    replay_drop(too_old & bit ? REPLAY_TOO_OLD : why));
	}
	return n;
}

static void take_in(struct worker *w, struct batch *b, unsigned i, struct session *s,
		    struct open_run *run)
{
	struct packet *p = &b->pkts[i];

	if (run->session != s) {
		end_run(w, run, b->now_ns);
		*run = (struct open_run){.session = s};
	}
	note_address(w, p, s, b->now_ns);
	unwrap(w, b, i, s);
	if (p->kind == PACKET_INNER && p->drop == DROP_NONE) {
		run->n_data++;
		run->bytes += p->len;
	}
}

/* Sources of what has been opened are looked up next. */
static void warm_sources(const struct worker *w, const struct batch *b, const struct open_batch *o)
{
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
		else if (o->job[k].len >= IP_V4_HEADER_BYTES && inner[0] >> 4 == 4)
			q[n++] = (struct fib_query){
				.addr = ((const struct ip_v4_header *)inner)->src,
			};
	}
	fib_warm(w->dp->mesh, q, n);
}

void open_burst(struct worker *w, struct batch *b)
{
	struct open_run run = {NULL, 0, 0};
	struct open_batch o;

	o.jobs = 0;
	prefetch_slots(w, b);
	prefetch_sessions(w, b, &o);
	make_jobs(b, &o);
	if (o.jobs == 0)
		return;
	w->engine->open(w->aead, o.job, o.jobs);
	prefetch_paths(&o);
	if (fib_is_large(w->dp->mesh))
		warm_sources(w, b, &o);
	for (unsigned k = 0; k < o.jobs;) {
		unsigned n = 1;

		if (o.job[k].ok)
			n = mark_replays(w, b, &o, k);
		else
			packet_drop(&b->pkts[o.packet_of[k]], DROP_OPEN_BAD_TAG);
		for (; n; n--, k++)
			if (b->pkts[o.packet_of[k]].drop == DROP_NONE)
				take_in(w, b, o.packet_of[k], o.session[k], &run);
	}
	end_run(w, &run, b->now_ns);
}
