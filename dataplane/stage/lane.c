/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing of messages about lanes. causewayd says on which session each goes, from
 * which port and where to: it probes sessions and pairs that carry no data yet.
 * They are few; the way of data does not know them.
 */
#include <string.h>

#include "dataplane/dataplane.h"
#include "dataplane/stage/stage.h"
#include "dataplane/table/peer.h"
#include "dataplane/table/session.h"
#include "lib/wire/wg.h"

static void seal_one(struct worker *w, struct packet *p, struct session *s, uint64_t now_ns)
{
	uint32_t pad =
		wg_padding(p->len, atomic_load_explicit(&s->peer->mtu, memory_order_relaxed));
	struct aead_job j = {.key = s->send_key, .src = p->data, .dst = p->data};
	struct wg_msg_data *h = (struct wg_msg_data *)(p->data - WG_DATA_HEADER_BYTES);

	if (p->headroom < WG_DATA_HEADER_BYTES || p->tailroom < pad + WG_TAG_BYTES) {
		packet_drop(p, DROP_SEAL_NO_BUFFER);
		return;
	}
	if (!session_reserve(s, 1, w->dp->worker_count > 1, &j.counter)) {
		packet_drop(p, DROP_SEAL_COUNTER_LIMIT);
		return;
	}
	memset(p->data + p->len, 0, pad);
	j.len = p->len + pad;
	le32_put(&h->type, WG_MSG_DATA);
	le32_put(&h->receiver, s->remote_index);
	le64_put(&h->counter, j.counter);
	w->engine->seal(w->aead, &j, 1);
	p->data -= WG_DATA_HEADER_BYTES;
	p->len = (uint16_t)(j.len + WG_DATA_MIN_BYTES);
	p->kind = PACKET_SEALED;
	p->out = PACKET_OUT_UDP;
	/* As a keepalive does: it is no data that waits for an answer. In a lane it may be lost. */
	if (s->lane == 0)
		peer_note_tx(s->peer, now_ns, 0, 0, w->dp->worker_count > 1);
}

void lane_burst(struct worker *w, struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		struct packet *p = &b->pkts[i];
		struct session *s;

		if (p->drop != DROP_NONE || p->kind != PACKET_LANE)
			continue;
		s = session_find(w->dp->sessions, p->session);
		if (!s || s->peer->id != p->peer_out || b->now_ns >= s->expire_ns ||
		    !session_is_confirmed(s))
			packet_drop(p, DROP_ROUTE_NO_PEER);
		else
			seal_one(w, p, s, b->now_ns);
	}
}
