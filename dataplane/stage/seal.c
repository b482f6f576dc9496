/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear to sealed, in passes over the batch: pick session and path, reserve the
 * counters of each run of packets with one atomic add, write headers and padding,
 * encrypt all. A packet whose peer has no session is copied to the staging, and
 * causewayd is asked for a handshake.
 *
 *   headroom | inner packet | pad  | tail        in place, the data pointer moves
 *        header ciphertext ........ tag          back over the 16 bytes of header
 */
#include <string.h>
#include <sys/socket.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "dataplane/staging.h"
#include "dataplane/table/lane.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/base/bug.h"
#include "lib/base/clock.h"
#include "lib/wire/ecn.h"
#include "lib/wire/wg.h"

#define ASK_NS	      NS_PER_SEC
#define REKEY_TELL_NS NS_PER_SEC

struct seal_batch {
	struct session *session[BATCH_MAX]; /* by job */
	uint8_t packet_of[BATCH_MAX];	    /* by job */
	struct aead_job job[BATCH_MAX];
	unsigned jobs;
};

/* The peer that was looked at last: packets of one flow come in a row. */
struct seal_peer {
	uint32_t id;
	struct peer *peer;
	struct session *session;
	const struct dpapi_path *path;
	uint32_t vni_lane;
};

/* The worker's lane to this peer, if it carries data now. */
static void pick_lane(struct worker *w, struct peer_lanes *lanes, uint64_t now_ns,
		      struct seal_peer *sp)
{
	const struct lane_use *use = lane_pick(lanes, w->id, now_ns);
	struct worker_event e = {
		.type = DPAPI_EVENT_LANE_TRAFFIC, .peer_id = sp->id, .time_ns = now_ns};

	if (use && now_ns < use->session->expire_ns) {
		sp->session = use->session;
		sp->path = &use->path;
		sp->vni_lane = (uint32_t)use->path.lane << PACKET_LANE_SHIFT;
	}
	if (peer_claim(&lanes->told_ns, now_ns, LANE_TELL_NS))
		worker_post(w, &e);
}

static void pick_peer(struct worker *w, const struct packet *p, uint64_t now_ns,
		      struct seal_peer *sp)
{
	struct peer_lanes *lanes;
	uint32_t id = p->peer_out;
	const struct peer_path *path;

	*sp = (struct seal_peer){.id = id, .peer = peer_get(w->dp->peers, id)};
	if (!sp->peer)
		return;
	sp->session = peer_tx_session(sp->peer);
	if (sp->session && now_ns >= sp->session->expire_ns)
		sp->session = NULL;
	path = peer_path_get(sp->peer);
	sp->path = path ? &path->path : NULL;
	lanes = peer_lanes_get(sp->peer);
	/* Keepalives are lane 0's: they confirm its session. */
	if (lanes && sp->session && p->kind == PACKET_INNER)
		pick_lane(w, lanes, now_ns, sp);
}

static void ask_handshake(struct worker *w, struct peer *peer, uint64_t now_ns)
{
	struct worker_event e = {
		.type = DPAPI_EVENT_HANDSHAKE, .peer_id = peer->id, .time_ns = now_ns};

	if (peer_claim(&peer->asked_ns, now_ns, ASK_NS))
		worker_post(w, &e);
}

/* No session: the packet waits, the batch forgets it. */
static void stage(struct worker *w, struct packet *p, struct peer *peer, uint64_t now_ns)
{
	enum drop_reason lost = DROP_NONE;

	if (p->kind == PACKET_INNER) {
		lost = staging_put(w->staging, p, now_ns);
		ask_handshake(w, peer, now_ns);
	}
	p->out = PACKET_OUT_NONE;
	p->port_out = PORT_NONE;
	/* What overflowed is the peer's oldest, not this one, but one is lost either way. */
	packet_drop(p, lost);
}

static uint8_t inner_tos(const struct packet *p)
{
	if (p->len < 2)
		return 0;
	return p->data[0] >> 4 == 4 ? p->data[1] : (uint8_t)(p->data[0] << 4 | p->data[1] >> 4);
}

/* Moves a packet to where header, padding and tag fit around it. */
static bool make_room(struct worker *w, struct packet *p, uint32_t pad)
{
	uint8_t *to;

	if (p->headroom >= WG_DATA_HEADER_BYTES && p->tailroom >= pad + WG_TAG_BYTES)
		return true;
	to = w->scratch + w->scratch_used + PACKET_HEADROOM;
	w->scratch_used += PACKET_HEADROOM + p->len + PACKET_TAILROOM;
	if (w->scratch_used > WORKER_SCRATCH_BYTES)
		return false;
	memcpy(to, p->data, p->len);
	p->data = to;
	p->headroom = PACKET_HEADROOM;
	p->tailroom = PACKET_TAILROOM;
	return true;
}

/* Everything about one packet but its counter and its encryption. */
static void prepare(struct worker *w, struct packet *p, const struct seal_peer *sp, unsigned i,
		    struct seal_batch *o)
{
	uint32_t pad =
		wg_padding(p->len, atomic_load_explicit(&sp->peer->mtu, memory_order_relaxed));
	struct aead_job *j = &o->job[o->jobs];
	struct wg_msg_data *h;

	if (!sp->path || sp->path->kind == DPAPI_PATH_NONE) {
		packet_drop(p, DROP_SEAL_NO_PATH);
		return;
	}
	if (!make_room(w, p, pad)) {
		packet_drop(p, DROP_SEAL_NO_BUFFER);
		return;
	}
	p->outer_tos = ecn_encap(inner_tos(p));
	/* pad is less, but of the tag's room: a length that the compiler knows. */
	memset(p->data + p->len, 0, WG_PADDING);
	p->session = sp->session->local_index;
	p->vni_lane = sp->vni_lane;
	p->remote = &sp->path->remote;
	p->out = sp->path->kind == DPAPI_PATH_CHANNEL ? PACKET_OUT_CHANNEL : PACKET_OUT_UDP;
	p->port_out = (uint8_t)sp->path->local_port;
	j->key = sp->session->send_key;
	j->src = p->data;
	j->dst = p->data;
	j->len = p->len + pad;
	h = (struct wg_msg_data *)(p->data - WG_DATA_HEADER_BYTES);
	le32_put(&h->type, WG_MSG_DATA);
	le32_put(&h->receiver, sp->session->remote_index);
	o->session[o->jobs] = sp->session;
	o->packet_of[o->jobs++] = (uint8_t)i;
}

static void tell_rekey(struct worker *w, struct session *s, uint64_t counter, uint64_t now_ns)
{
	struct worker_event e;

	if (!(s->rekey_tx_ns && now_ns > s->rekey_tx_ns) && counter <= WG_REKEY_AFTER_MESSAGES)
		return;
	if (!session_claim_rekey(s, now_ns, REKEY_TELL_NS))
		return;
	e = (struct worker_event){.type = DPAPI_EVENT_REKEY,
				  .peer_id = s->peer->id,
				  .local_index = s->local_index,
				  .time_ns = now_ns};
	worker_post(w, &e);
}

/* Jobs first .. first + n - 1 belong to one session: counters, and what it did. */
static unsigned number_run(struct worker *w, struct batch *b, struct seal_batch *o, unsigned first,
			   unsigned n)
{
	struct session *s = o->session[first];
	uint64_t counter, n_data = 0, bytes = 0;

	if (!session_reserve(s, n, w->dp->worker_count > 1, &counter)) {
		for (unsigned k = first; k < first + n; k++)
			packet_drop(&b->pkts[o->packet_of[k]], DROP_SEAL_COUNTER_LIMIT);
		return 0;
	}
	for (unsigned k = 0; k < n; k++) {
		struct packet *p = &b->pkts[o->packet_of[first + k]];
		struct wg_msg_data *h = (struct wg_msg_data *)(p->data - WG_DATA_HEADER_BYTES);

		le64_put(&h->counter, counter + k);
		o->job[first + k].counter = counter + k;
		if (p->kind == PACKET_INNER) {
			n_data++;
			bytes += p->len;
		} else {
			w->stats.keepalives_sent++;
		}
	}
	peer_note_tx(s->peer, b->now_ns, n_data, bytes, w->dp->worker_count > 1);
	tell_rekey(w, s, counter, b->now_ns);
	return n;
}

static void finish(struct batch *b, const struct seal_batch *o)
{
	for (unsigned k = 0; k < o->jobs; k++) {
		struct packet *p = &b->pkts[o->packet_of[k]];

		p->data -= WG_DATA_HEADER_BYTES;
		p->headroom -= WG_DATA_HEADER_BYTES;
		p->len = (uint16_t)(o->job[k].len + WG_DATA_MIN_BYTES);
		p->tailroom = 0;
		p->kind = PACKET_SEALED;
	}
}

/* Counters for every run of one session; jobs that got none leave the batch. */
static void number(struct worker *w, struct batch *b, struct seal_batch *o)
{
	unsigned kept = 0;

	for (unsigned first = 0, n; first < o->jobs; first += n) {
		for (n = 1; first + n < o->jobs && o->session[first + n] == o->session[first]; n++)
			;
		if (number_run(w, b, o, first, n) == 0)
			continue;
		for (unsigned k = first; kept != first && k < first + n; k++) {
			unsigned to = kept + k - first;

			o->job[to] = o->job[k];
			o->packet_of[to] = o->packet_of[k];
			o->session[to] = o->session[k];
		}
		kept += n;
	}
	o->jobs = kept;
}

static bool is_to_peer(const struct packet *p)
{
	return p->drop == DROP_NONE && p->peer_out != PEER_NONE;
}

/*
 * With many peers session and path are lines that are not in the cache, nor is the peer
 * where the packet did not come by way of its MTU: all are fetched before the first is used.
 */
static void prefetch_peers(const struct worker *w, const struct batch *b)
{
	uint32_t last = PEER_NONE;

	for (unsigned i = 0; i < b->n; i++) {
		const struct peer *peer;
		const struct session *s;

		if (!is_to_peer(&b->pkts[i]) || b->pkts[i].peer_out == last)
			continue;
		last = b->pkts[i].peer_out;
		peer = peer_get(w->dp->peers, last);
		if (!peer)
			continue;
		s = peer_tx_session(peer);
		if (s)
			session_prefetch_tx(s);
		__builtin_prefetch(peer_path_get(peer));
	}
}

void seal_burst(struct worker *w, struct batch *b)
{
	struct seal_peer sp = {.id = PEER_NONE};
	struct seal_batch o;

	o.jobs = 0;
	if (session_table_is_large(w->dp->sessions))
		prefetch_peers(w, b);
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (!is_to_peer(p))
			continue;
		if (p->peer_out != sp.id)
			pick_peer(w, p, b->now_ns, &sp);
		if (!sp.peer)
			packet_drop(p, DROP_ROUTE_NO_PEER);
		else if (!sp.session)
			stage(w, p, sp.peer, b->now_ns);
		else
			prepare(w, p, &sp, i, &o);
	}
	if (o.jobs == 0)
		return;
	number(w, b, &o);
	w->engine->seal(w->aead, o.job, o.jobs);
	finish(b, &o);
}
