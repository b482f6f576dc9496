/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which packets are opened, and with what: sessions are found and judged once a run
 * of packets with one receiver index.
 */
#include "dataplane/stage/open_jobs.h"

#include "dataplane/dataplane.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/wire/wg.h"

/* Runs of one session in a batch from which on it is worth to look ahead. */
#define PREFETCH_RUNS 4

/* Packets that may be opened, and in how many runs of one receiver index. */
struct open_list {
	uint8_t packet[BATCH_MAX];
	unsigned n, runs;
};

/*
 * With many peers each step of session, window and peer is a line that is not in the
 * cache: all packets take one step before the first one takes the next.
 */
static void list_data(const struct worker *w, struct batch *b, struct open_list *l)
{
	uint32_t last = 0;

	l->n = 0;
	l->runs = 0;
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];

		if (p->drop != DROP_NONE || p->kind != PACKET_DATA)
			continue;
		p->session = le32_get(&((const struct wg_msg_data *)p->data)->receiver);
		if (p->session != last || !l->runs) {
			last = p->session;
			l->runs++;
			session_prefetch_slot(w->dp->sessions, last);
		}
		l->packet[l->n++] = (uint8_t)i;
	}
}

static void prefetch_sessions(const struct worker *w, const struct batch *b,
			      const struct open_list *l)
{
	for (unsigned i = 0; i < l->n; i++) {
		const struct session *s =
			session_in_slot(w->dp->sessions, b->pkts[l->packet[i]].session);

		if (s)
			session_prefetch_rx(s);
	}
}

static void prefetch_peer(const struct session *s, uint64_t counter)
{
	replay_prefetch(&s->replay, counter);
	peer_prefetch(s->peer);
}

static void make_jobs(const struct worker *w, struct batch *b, const struct open_list *l,
		      struct open_batch *o)
{
	enum drop_reason why = DROP_OPEN_UNKNOWN_INDEX;
	struct session *s = NULL;

	for (unsigned i = 0; i < l->n; i++) {
		struct packet *p = &b->pkts[l->packet[i]];
		uint64_t counter = le64_get(&((const struct wg_msg_data *)p->data)->counter);
		struct aead_job *j;

		if (!s || s->local_index != p->session) {
			why = DROP_OPEN_UNKNOWN_INDEX;
			s = session_find(w->dp->sessions, p->session);
			if (s) {
				why = b->now_ns >= s->expire_ns ? DROP_OPEN_EXPIRED : DROP_NONE;
				if (o->is_ahead)
					prefetch_peer(s, counter);
			}
		}
		if (why != DROP_NONE) {
			packet_drop(p, why);
			continue;
		}
		if (counter >= WG_REJECT_AFTER_MESSAGES) {
			packet_drop(p, DROP_OPEN_COUNTER_LIMIT);
			continue;
		}
		o->session[o->jobs] = s;
		o->packet_of[o->jobs] = l->packet[i];
		j = &o->job[o->jobs++];
		j->key = s->recv_key;
		j->counter = counter;
		j->src = p->data + WG_DATA_HEADER_BYTES;
		j->dst = p->data + WG_DATA_HEADER_BYTES;
		j->len = p->len - WG_DATA_MIN_BYTES;
	}
}

void open_jobs_make(const struct worker *w, struct batch *b, struct open_batch *o)
{
	struct open_list l;

	o->jobs = 0;
	list_data(w, b, &l);
	o->is_ahead = l.runs >= PREFETCH_RUNS && session_table_is_large(w->dp->sessions);
	if (o->is_ahead)
		prefetch_sessions(w, b, &l);
	make_jobs(w, b, &l, o);
}
