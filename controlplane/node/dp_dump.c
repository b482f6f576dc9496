/* SPDX-License-Identifier: Apache-2.0 */
#include "controlplane/node/dp_dump.h"

#include <errno.h>
#include <stdlib.h>

#include "controlplane/node/dp_path.h"
#include "controlplane/node/dp_sync.h"
#include "controlplane/node/peer.h"
#include "controlplane/node/peer_lanes.h"
#include "controlplane/node/ways.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

static void *grow(void *array, size_t item, uint32_t count, uint32_t *room)
{
	uint32_t want = *room ? 2 * *room : 64;
	void *p;

	if (count < *room)
		return array;
	p = realloc(array, want * item);
	if (p)
		*room = want;
	return p;
}

int dp_dump_add_peer(struct dp_dump *d, const struct dpapi_peer_state *st)
{
	void *p = grow(d->peers, sizeof(*d->peers), d->peer_count, &d->peer_room);

	if (!p)
		return -ENOMEM;
	d->peers = p;
	d->peers[d->peer_count++] = *st;
	return 0;
}

int dp_dump_add_session(struct dp_dump *d, const struct dpapi_session_state *st)
{
	void *p = grow(d->sessions, sizeof(*d->sessions), d->session_count, &d->session_room);

	if (!p)
		return -ENOMEM;
	d->sessions = p;
	d->sessions[d->session_count++] = *st;
	return 0;
}

void dp_dump_fini(struct dp_dump *d)
{
	free(d->peers);
	free(d->sessions);
	*d = (struct dp_dump){0};
}

/* Beyond all ids in use on either side. */
static uint32_t id_above_all(const struct dp_dump *d, const struct node *n)
{
	uint32_t top = n->id_room;

	for (uint32_t i = 0; i < d->peer_count; i++)
		if (d->peers[i].id >= top)
			top = d->peers[i].id + 1;
	return top;
}

int dp_dump_take_ids(struct dp_dump *d, struct node *n)
{
	uint32_t spare = id_above_all(d, n);
	int rc = 0;

	for (uint32_t i = 0; i < d->peer_count && !rc; i++) {
		const struct dpapi_peer_state *st = &d->peers[i];
		struct node_peer *p = node_peer_by_key(n, st->public_key);
		struct node_peer *there = node_peer_by_id(n, st->id);

		if (st->id == 0 || st->id > 4 * CONFIG_PEERS_MAX)
			return -EBADMSG;
		if (there == p && p)
			continue;
		/* Who sits on an id that is another key's in the dataplane moves away. */
		if (there)
			rc = node_peer_renumber(n, there, spare++);
		if (p && !rc)
			rc = node_peer_renumber(n, p, st->id);
	}
	return rc;
}

void dp_dump_drop_strangers(const struct dp_dump *d, struct node *n)
{
	for (uint32_t i = 0; i < d->peer_count; i++) {
		const struct dpapi_peer_state *st = &d->peers[i];
		const struct node_peer *p = node_peer_by_id(n, st->id);

		if (!p || memcmp(p->cfg->public_key.bytes, st->public_key, KEY_BYTES) != 0)
			dp_sync_peer_del(n, st->id);
	}
}

void dp_dump_take_state(const struct dp_dump *d, struct node *n)
{
	uint64_t now = clock_now_ns();

	for (uint32_t i = 0; i < d->peer_count; i++) {
		const struct dpapi_peer_state *st = &d->peers[i];
		struct node_peer *p = node_peer_by_id(n, st->id);
		bool alive = st->last_rx_ns &&
			     now - st->last_rx_ns < WG_REJECT_AFTER_TIME_S * NS_PER_SEC;

		if (!p)
			continue;
		p->rx_bytes = st->rx_bytes;
		p->tx_bytes = st->tx_bytes;
		p->rx_packets = st->rx_packets;
		p->tx_packets = st->tx_packets;
		p->last_rx_ns = st->last_rx_ns;
		p->last_tx_ns = st->last_tx_ns;
		/* It has heard the peer there; the configuration may know an older place. */
		if (peer_has_ways(p)) {
			if (alive)
				peer_ways_adopt(p, &st->path);
		} else if (st->path.kind != DPAPI_PATH_NONE &&
			   (alive || p->path.kind == DPAPI_PATH_NONE)) {
			p->path = st->path;
		}
	}
}

static int session_cmp(const void *a, const void *b)
{
	const struct dpapi_session_state *sa = a, *sb = b;

	if (sa->peer_id != sb->peer_id)
		return sa->peer_id < sb->peer_id ? -1 : 1;
	/* Lanes behind the sessions that they are of. */
	if (sa->lane != sb->lane)
		return sa->lane < sb->lane ? -1 : 1;
	return sa->born_ns < sb->born_ns ? -1 : sa->born_ns > sb->born_ns;
}

/* Of a peer's sessions in order: how many are no lanes. */
static uint32_t count_plain(const struct dpapi_session_state *st, uint32_t count)
{
	uint32_t plain = 0;

	while (plain < count && st[plain].lane == 0)
		plain++;
	return plain;
}

/* Behind adopt_peer: a lane goes with the session that it is of. */
static void adopt_lanes(struct node *n, const struct dpapi_session_state *st, uint32_t count)
{
	struct node_peer *p = node_peer_by_id(n, st->peer_id);

	for (uint32_t i = count_plain(st, count); i < count; i++)
		if (!p || n->is_new_identity || !peer_lanes_adopt(p, &st[i]))
			dp_sync_session_del(n, st[i].local_index);
}

/* Sessions first..first+count are one peer's. */
static void adopt_peer(struct node *n, const struct dpapi_session_state *st, uint32_t count)
{
	struct node_peer *p = node_peer_by_id(n, st->peer_id);
	struct wg_peer_adopted adopted[WG_PEER_ADOPT_MAX];
	struct wg_peer_event ev = {.type = WG_EV_ADOPTED, .adopted.sessions = adopted};

	/* The youngest ones are those that matter. */
	for (; count > WG_PEER_ADOPT_MAX; st++, count--)
		dp_sync_session_del(n, st->local_index);
	for (; count > 0; st++, count--) {
		/* With another private key than now, a session says nothing of who we are. */
		if (!p || n->is_new_identity ||
		    index_table_claim(&n->indices, st->local_index, p->id)) {
			dp_sync_session_del(n, st->local_index);
			continue;
		}
		adopted[ev.adopted.count++] = (struct wg_peer_adopted){
			.local_index = st->local_index,
			.remote_index = st->remote_index,
			.born_ns = st->born_ns,
			.is_initiator = st->flags & DPAPI_SESSION_INITIATOR,
			.is_confirmed = st->flags & DPAPI_SESSION_CONFIRMED,
		};
	}
	if (p && ev.adopted.count) {
		log_info("peer.adopted", "peer=%s sessions=%u", p->cfg->name, ev.adopted.count);
		peer_event(p, &ev);
	}
}

void dp_dump_adopt(struct dp_dump *d, struct node *n)
{
	if (d->session_count)
		qsort(d->sessions, d->session_count, sizeof(*d->sessions), session_cmp);
	for (uint32_t i = 0, k; i < d->session_count; i = k) {
		for (k = i; k < d->session_count; k++)
			if (d->sessions[k].peer_id != d->sessions[i].peer_id)
				break;
		adopt_peer(n, &d->sessions[i], count_plain(&d->sessions[i], k - i));
		adopt_lanes(n, &d->sessions[i], k - i);
	}
}

static bool dump_has(const struct dp_dump *d, uint32_t peer_id, uint32_t local_index)
{
	uint32_t low = 0, high = d->session_count;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (d->sessions[mid].peer_id < peer_id)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < d->session_count && d->sessions[low].peer_id == peer_id; low++)
		if (d->sessions[low].local_index == local_index)
			return true;
	return false;
}

static void reconcile_session(const struct dp_dump *d, struct node_peer *p, struct wg_session s)
{
	struct wg_peer_event ev = {.type = WG_EV_SESSION_GONE, .local_index = s.local_index};

	if (s.state == WG_SESSION_NONE)
		return;
	if (!dump_has(d, p->id, s.local_index)) {
		peer_event(p, &ev);
	} else if (s.state == WG_SESSION_INSTALLING) {
		/* Only the acknowledgement was lost. */
		ev.type = WG_EV_INSTALLED;
		peer_event(p, &ev);
	}
}

void dp_dump_reconcile(struct dp_dump *d, struct node *n)
{
	if (d->session_count)
		qsort(d->sessions, d->session_count, sizeof(*d->sessions), session_cmp);
	for (uint32_t id = 1; id < n->id_room; id++) {
		struct node_peer *p = n->by_id[id];
		struct wg_sessions s;

		if (!p)
			continue;
		s = p->engine.sessions;
		reconcile_session(d, p, s.previous);
		reconcile_session(d, p, s.current);
		reconcile_session(d, p, s.next);
	}
	for (uint32_t i = 0; i < d->session_count; i++) {
		const struct dpapi_session_state *st = &d->sessions[i];
		struct node_peer *p = node_peer_by_id(n, st->peer_id);
		struct wg_peer_event ev = {.type = WG_EV_CONFIRMED, .local_index = st->local_index};

		if (st->lane) {
			if (!p || !peer_lanes_adopt(p, st))
				dp_sync_session_del(n, st->local_index);
			continue;
		}
		if (index_table_owner(&n->indices, st->local_index) != st->peer_id)
			dp_sync_session_del(n, st->local_index);
		else if (p && (st->flags & DPAPI_SESSION_CONFIRMED))
			peer_event(p, &ev);
	}
}
