/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/wg_world.h"

#include "lib/base/bug.h"

#include <errno.h>
#include <sodium.h>

#define HOP_NS	     (200 * NS_PER_US)
#define ACTIVITY_NS  (2 * SEC) /* unanswered for this long is told */
#define WALL_BASE_NS (1700000000ull * SEC)

struct data_msg {
	uint32_t receiver;
	bool is_keepalive;
	uint8_t key[WG_KEY_BYTES];
};

enum item_kind { ITEM_HANDSHAKE, ITEM_DATA, ITEM_TO_CTL, ITEM_TO_DP, ITEM_ACTIVITY };

struct world_item {
	uint64_t at_ns;
	uint64_t order; /* items of one time keep their order */
	enum item_kind kind;
	uint32_t number;      /* who gets it */
	uint32_t instance;    /* of the process it was meant for */
	uint32_t dp_instance; /* ITEM_TO_CTL: that said so; its socket dies with it */
	size_t len;
	union {
		uint8_t bytes[sizeof(struct wg_msg_initiation)];
		struct data_msg data;
		struct wg_peer_event event;
		struct wg_peer_action action;
		uint64_t since_ns;
	};
};

static uint64_t random64(struct world *w)
{
	uint64_t z = w->seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void random_fill(void *ctx, void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)random64(ctx);
}

static struct world *world_of(struct world_node *n)
{
	return (struct world *)((char *)(n - n->number) - offsetof(struct world, node));
}

static uint32_t index_alloc(void *ctx, uint32_t peer_id)
{
	struct world_node *n = ctx;
	uint32_t index = (uint32_t)random64(world_of(n)) | 1;

	CHECK(peer_id == 1);
	CHECK(n->live_count < WORLD_INDEX_MAX);
	n->live_index[n->live_count++] = index;
	return index;
}

static bool index_is_live(const struct world_node *n, uint32_t index)
{
	for (uint32_t i = 0; i < n->live_count; i++) {
		if (n->live_index[i] == index)
			return true;
	}
	return false;
}

static void index_free(void *ctx, uint32_t index)
{
	struct world_node *n = ctx;

	for (uint32_t i = 0; i < n->live_count; i++) {
		if (n->live_index[i] == index) {
			n->live_index[i] = n->live_index[--n->live_count];
			return;
		}
	}
	CHECK(!"an index was freed that is not live");
}

static struct wg_time time_of(const struct world *w, const struct world_node *n)
{
	return (struct wg_time){w->now_ns, WALL_BASE_NS + w->now_ns + (uint64_t)n->wall_skew_ns};
}

static struct world_item *enqueue(struct world *w, enum item_kind kind, uint32_t number,
				  uint64_t delay_ns)
{
	static uint64_t order;
	struct world_item *item;

	CHECK(w->queued < WORLD_QUEUE_MAX);
	item = &w->queue[w->queued++];
	memset(item, 0, sizeof(*item));
	item->kind = kind;
	item->number = number;
	item->at_ns = w->now_ns + delay_ns;
	item->order = order++;
	return item;
}

static void wire_handshake(struct world *w, uint32_t from, const void *msg, size_t len)
{
	enum wg_msg_type type = *(const uint8_t *)msg;
	struct world_item *item;

	w->node[from].sent[type]++;
	if (w->lose && w->lose(w, from, type))
		return;
	item = enqueue(w, ITEM_HANDSHAKE, !from, w->delay_ns);
	memcpy(item->bytes, msg, len);
	item->len = len;
}

static void tell(struct world *w, struct world_node *n, struct wg_peer_event event)
{
	struct world_item *item;

	if (!n->ctl_is_up)
		return;
	item = enqueue(w, ITEM_TO_CTL, n->number, HOP_NS);
	item->instance = n->ctl_instance;
	item->dp_instance = n->dp_instance;
	item->event = event;
}

/* The rule of wg_sessions.h: the youngest that is confirmed. */
static struct dp_session *dp_sender(struct world *w, struct world_node *n)
{
	struct dp_session *best = NULL;

	for (int i = 0; i < DP_SESSIONS_MAX; i++) {
		struct dp_session *s = &n->sessions[i];

		if (s->used && s->confirmed && w->now_ns < s->s.expire_ns &&
		    (!best || s->s.born_ns > best->s.born_ns))
			best = s;
	}
	return best;
}

static void dp_note_sent(struct world *w, struct world_node *n)
{
	n->rx_unanswered_ns = 0;
	if (n->rx_told)
		tell(w, n, (struct wg_peer_event){.type = WG_EV_RX_UNANSWERED});
	n->rx_told = false;
	if (w->now_ns - n->traffic_told_ns >= SEC) {
		n->traffic_told_ns = w->now_ns;
		tell(w, n, (struct wg_peer_event){.type = WG_EV_TRAFFIC, .since_ns = w->now_ns});
	}
}

static void dp_send(struct world *w, struct world_node *n, struct dp_session *s, bool is_keepalive)
{
	CHECK(w->now_ns - s->s.born_ns < WG_REJECT_AFTER_TIME_S * SEC);
	dp_note_sent(w, n);
	if (is_keepalive)
		n->keepalives++;
	else
		n->sent[WG_MSG_DATA]++;
	if (!is_keepalive && !n->tx_unanswered_ns) {
		n->tx_unanswered_ns = w->now_ns;
		enqueue(w, ITEM_ACTIVITY, n->number, ACTIVITY_NS)->since_ns = w->now_ns;
	}
	if (s->s.rekey_tx_ns && w->now_ns > s->s.rekey_tx_ns && !s->rekey_told) {
		s->rekey_told = true;
		tell(w, n,
		     (struct wg_peer_event){.type = WG_EV_REKEY_TX,
					    .local_index = s->s.local_index});
	}
	if (!w->lose || !w->lose(w, n->number, WG_MSG_DATA)) {
		struct data_msg *m = &enqueue(w, ITEM_DATA, !n->number, w->delay_ns)->data;

		m->receiver = s->s.remote_index;
		m->is_keepalive = is_keepalive;
		memcpy(m->key, s->s.keys.send, WG_KEY_BYTES);
	}
}

static void dp_flush(struct world *w, struct world_node *n)
{
	struct dp_session *s = dp_sender(w, n);

	for (; s && n->staged; n->staged--)
		dp_send(w, n, s, false);
}

void world_app_send(struct world *w, uint32_t number)
{
	struct world_node *n = &w->node[number];
	struct dp_session *s;

	if (!n->dp_is_up)
		return;
	s = dp_sender(w, n);
	if (s) {
		dp_send(w, n, s, false);
		return;
	}
	if (n->staged < WORLD_STAGED_MAX)
		n->staged++;
	if (!n->need_told_ns || w->now_ns - n->need_told_ns >= SEC) {
		n->need_told_ns = w->now_ns;
		tell(w, n, (struct wg_peer_event){.type = WG_EV_NEED_HANDSHAKE});
	}
}

static void dp_receive(struct world *w, struct world_node *n, const struct data_msg *m)
{
	struct dp_session *s = NULL;

	if (!n->dp_is_up)
		return;
	for (int i = 0; i < DP_SESSIONS_MAX; i++) {
		if (n->sessions[i].used && n->sessions[i].s.local_index == m->receiver)
			s = &n->sessions[i];
	}
	if (!s || w->now_ns >= s->s.expire_ns) {
		n->data_lost += !m->is_keepalive;
		return;
	}
	CHECK(memcmp(m->key, s->s.keys.recv, WG_KEY_BYTES) == 0);
	n->tx_unanswered_ns = 0;
	if (n->tx_told)
		tell(w, n, (struct wg_peer_event){.type = WG_EV_TX_UNANSWERED});
	n->tx_told = false;
	if (!s->confirmed) {
		s->confirmed = true;
		tell(w, n,
		     (struct wg_peer_event){.type = WG_EV_CONFIRMED,
					    .local_index = s->s.local_index});
		dp_flush(w, n);
	}
	if (s->s.rekey_rx_ns && w->now_ns > s->s.rekey_rx_ns && !s->rekey_told) {
		s->rekey_told = true;
		tell(w, n,
		     (struct wg_peer_event){.type = WG_EV_REKEY_RX,
					    .local_index = s->s.local_index});
	}
	if (m->is_keepalive)
		return;
	n->data_received++;
	if (!n->rx_unanswered_ns) {
		n->rx_unanswered_ns = w->now_ns;
		enqueue(w, ITEM_ACTIVITY, n->number, ACTIVITY_NS)->since_ns = w->now_ns;
	}
}

static void dp_activity(struct world *w, struct world_node *n, uint64_t since_ns)
{
	if (n->tx_unanswered_ns == since_ns && !n->tx_told) {
		n->tx_told = true;
		tell(w, n,
		     (struct wg_peer_event){.type = WG_EV_TX_UNANSWERED, .since_ns = since_ns});
	}
	if (n->rx_unanswered_ns == since_ns && !n->rx_told) {
		n->rx_told = true;
		tell(w, n,
		     (struct wg_peer_event){.type = WG_EV_RX_UNANSWERED, .since_ns = since_ns});
	}
}

static void dp_install(struct world *w, struct world_node *n, const struct wg_peer_install *install)
{
	struct dp_session *place = NULL;

	for (int i = 0; i < DP_SESSIONS_MAX; i++) {
		struct dp_session *s = &n->sessions[i];

		CHECK(!s->used || s->s.local_index != install->local_index);
		if (!s->used && !place)
			place = s;
	}
	CHECK(place);
	*place = (struct dp_session){
		.used = true, .confirmed = install->is_confirmed, .s = *install};
	CHECK(install->expire_ns == install->born_ns + 180 * SEC);
	tell(w, n,
	     (struct wg_peer_event){.type = WG_EV_INSTALLED, .local_index = install->local_index});
	dp_flush(w, n);
}

static void dp_apply(struct world *w, struct world_node *n, const struct wg_peer_action *a)
{
	struct dp_session *s;

	switch (a->type) {
	case WG_ACT_INSTALL_SESSION:
		dp_install(w, n, &a->install);
		return;
	case WG_ACT_DELETE_SESSION:
		for (int i = 0; i < DP_SESSIONS_MAX; i++) {
			if (n->sessions[i].used && n->sessions[i].s.local_index == a->local_index)
				n->sessions[i] = (struct dp_session){0};
		}
		return;
	case WG_ACT_SEND_KEEPALIVE:
		s = dp_sender(w, n);
		if (s)
			dp_send(w, n, s, true);
		return;
	case WG_ACT_DROP_STAGED:
		n->staged_dropped += n->staged;
		n->staged = 0;
		return;
	case WG_ACT_SEND_INITIATION:
	case WG_ACT_SEND_RESPONSE:
	case WG_ACT_ZERO_KEYS:
		CHECK(!"not for the dataplane");
	}
}

static bool dp_has(const struct world_node *n, uint32_t local_index)
{
	for (int i = 0; i < DP_SESSIONS_MAX; i++) {
		if (n->sessions[i].used && n->sessions[i].s.local_index == local_index)
			return true;
	}
	return false;
}

static void note_initiation(struct world *w, struct world_node *n, const void *msg)
{
	uint64_t spacing_ns = w->now_ns - n->last_initiation_ns;

	if (n->last_initiation_ns && spacing_ns < n->shortest_spacing_ns)
		n->shortest_spacing_ns = spacing_ns;
	n->last_initiation_ns = w->now_ns;
	memcpy(w->last_initiation[n->number], msg, sizeof(struct wg_msg_initiation));
}

static void act(struct world *w, struct world_node *n, const struct wg_peer_action *a)
{
	struct world_item *item;

	switch (a->type) {
	case WG_ACT_SEND_INITIATION:
		note_initiation(w, n, &a->initiation);
		wire_handshake(w, n->number, &a->initiation, sizeof(a->initiation));
		return;
	case WG_ACT_SEND_RESPONSE:
		/* only what the dataplane can open may be answered for */
		CHECK(!n->dp_is_up || dp_has(n, le32_get(&a->response.sender)));
		wire_handshake(w, n->number, &a->response, sizeof(a->response));
		return;
	case WG_ACT_ZERO_KEYS:
		n->zeroed++;
		return;
	case WG_ACT_INSTALL_SESSION:
	case WG_ACT_DELETE_SESSION:
	case WG_ACT_SEND_KEEPALIVE:
	case WG_ACT_DROP_STAGED:
		item = enqueue(w, ITEM_TO_DP, n->number, HOP_NS);
		item->instance = n->dp_instance;
		item->action = *a;
		return;
	}
}

/* Each index the engine has is live, alone, and nothing else is. */
static void world_check(const struct world_node *n)
{
	const struct wg_peer *p = &n->peer;
	const struct wg_session *all[] = {&p->sessions.previous, &p->sessions.current,
					  &p->sessions.next};
	uint32_t seen[4];
	uint32_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i]->state != WG_SESSION_NONE)
			seen[count++] = all[i]->local_index;
	}
	if (p->initiator == WG_INITIATOR_SENT)
		seen[count++] = p->handshake.local_index;
	CHECK(count == n->live_count);
	for (uint32_t i = 0; i < count; i++) {
		CHECK(index_is_live(n, seen[i]));
		for (uint32_t j = 0; j < i; j++)
			CHECK(seen[i] != seen[j]);
	}
}

void world_event(struct world *w, uint32_t number, struct wg_peer_event event)
{
	struct world_node *n = &w->node[number];
	struct wg_time now = time_of(w, n);
	struct wg_peer_actions actions;
	int err;

	err = wg_peer_handle(&n->peer, &event, &now, &actions);
	CHECK(err == 0 || actions.count == 0);
	if (event.type == WG_EV_INITIATION || event.type == WG_EV_RESPONSE ||
	    event.type == WG_EV_COOKIE)
		n->last_error = err;
	world_check(n);
	for (uint32_t i = 0; i < actions.count; i++)
		act(w, n, &actions.action[i]);
	wg_peer_actions_wipe(&actions);
	CHECK(wg_peer_next_deadline(&n->peer) > w->now_ns || event.type != WG_EV_TICK);
}

void world_deliver(struct world *w, uint32_t number, const void *msg, size_t len)
{
	struct world_node *n = &w->node[number];
	struct endpoint source = {.addr = {AF_INET, {192, 0, 2, (uint8_t)!number}}, .port = 41641};
	struct wg_initiation_in in;
	const uint8_t *bytes = msg;

	if (!n->ctl_is_up)
		return;
	if (bytes[0] == WG_MSG_COOKIE) {
		world_event(w, number, (struct wg_peer_event){.type = WG_EV_COOKIE, .cookie = msg});
		return;
	}
	if (!wg_cookie_mac1_verify(&n->id, msg, len))
		return;
	if (n->under_load && !wg_cookie_mac2_verify(&n->checker, msg, len, &source, w->now_ns)) {
		struct wg_msg_cookie reply;

		wg_cookie_reply(&n->checker, &n->id, &w->random, msg, len, &source, w->now_ns,
				&reply);
		wire_handshake(w, number, &reply, sizeof(reply));
		return;
	}
	n->mac2_seen += !sodium_is_zero(bytes + len - WG_MAC_BYTES, WG_MAC_BYTES);
	if (bytes[0] == WG_MSG_RESPONSE) {
		world_event(w, number,
			    (struct wg_peer_event){.type = WG_EV_RESPONSE, .response = msg});
		return;
	}
	CHECK(wg_initiation_open(&in, &n->id, msg) == 0);
	CHECK(memcmp(in.remote_static, n->peer.remote.public_key, WG_KEY_BYTES) == 0);
	world_event(w, number, (struct wg_peer_event){.type = WG_EV_INITIATION, .initiation = &in});
}

static void dispatch(struct world *w, const struct world_item *item)
{
	struct world_node *n = &w->node[item->number];

	switch (item->kind) {
	case ITEM_HANDSHAKE:
		world_deliver(w, item->number, item->bytes, item->len);
		return;
	case ITEM_DATA:
		dp_receive(w, n, &item->data);
		return;
	case ITEM_TO_CTL:
		if (n->ctl_is_up && item->instance == n->ctl_instance &&
		    item->dp_instance == n->dp_instance)
			world_event(w, item->number, item->event);
		return;
	case ITEM_TO_DP:
		if (n->dp_is_up && item->instance == n->dp_instance)
			dp_apply(w, n, &item->action);
		return;
	case ITEM_ACTIVITY:
		dp_activity(w, n, item->since_ns);
		return;
	}
}

/* The first item in time, or -1. */
static int first_item(const struct world *w)
{
	int best = -1;

	for (uint32_t i = 0; i < w->queued; i++) {
		const struct world_item *a = &w->queue[i];

		if (best < 0 || a->at_ns < w->queue[best].at_ns ||
		    (a->at_ns == w->queue[best].at_ns && a->order < w->queue[best].order))
			best = (int)i;
	}
	return best;
}

static void step(struct world *w, uint64_t end_ns)
{
	int at = first_item(w);
	uint64_t next_ns = at < 0 ? end_ns : w->queue[at].at_ns;
	int who = -1;
	bool is_tick = false;

	for (int i = 0; i < 2; i++) {
		struct world_node *n = &w->node[i];
		uint64_t tick_ns = n->ctl_is_up ? wg_peer_next_deadline(&n->peer) : UINT64_MAX;

		if (n->app_interval_ns && n->app_next_ns < next_ns) {
			next_ns = n->app_next_ns;
			who = i;
			is_tick = false;
		}
		if (tick_ns < next_ns) {
			next_ns = tick_ns;
			who = i;
			is_tick = true;
		}
	}
	if (next_ns >= end_ns) {
		w->now_ns = end_ns;
		return;
	}
	if (next_ns > w->now_ns)
		w->now_ns = next_ns;
	if (who >= 0 && is_tick) {
		world_event(w, (uint32_t)who, (struct wg_peer_event){.type = WG_EV_TICK});
	} else if (who >= 0) {
		w->node[who].app_next_ns = w->now_ns + w->node[who].app_interval_ns;
		world_app_send(w, (uint32_t)who);
	} else {
		struct world_item item = w->queue[at];

		w->queue[at] = w->queue[--w->queued];
		dispatch(w, &item);
	}
}

void world_run(struct world *w, uint64_t for_ns)
{
	uint64_t end_ns = w->now_ns + for_ns;

	while (w->now_ns < end_ns)
		step(w, end_ns);
}

static void ctl_make(struct world *w, struct world_node *n, const uint8_t *last_accepted,
		     const uint8_t *last_sent)
{
	struct wg_peer_config config = {
		.id = 1,
		.self = &n->id,
		.random = &w->random,
		.indices = &w->indices[n->number],
	};

	memcpy(config.public_key, w->node[!n->number].id.public_key, WG_KEY_BYTES);
	memcpy(config.last_accepted, last_accepted, WG_TIMESTAMP_BYTES);
	memcpy(config.last_sent, last_sent, WG_TIMESTAMP_BYTES);
	CHECK(wg_peer_init(&n->peer, &config) == 0);
	n->ctl_is_up = true;
	n->ctl_instance++;
}

void world_init(struct world *w, uint64_t seed)
{
	static const uint8_t none[WG_TIMESTAMP_BYTES];
	uint8_t key[WG_KEY_BYTES];

	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->now_ns = 1000 * SEC;
	w->delay_ns = 20 * NS_PER_MS;
	w->queue = calloc(WORLD_QUEUE_MAX, sizeof(*w->queue));
	CHECK(w->queue);
	w->random = (struct wg_random){w, random_fill};
	for (uint32_t i = 0; i < 2; i++) {
		struct world_node *n = &w->node[i];

		n->number = i;
		n->dp_is_up = true;
		n->shortest_spacing_ns = UINT64_MAX;
		random_fill(w, key, sizeof(key));
		CHECK(wg_identity_init(&n->id, key) == 0);
		w->indices[i] = (struct wg_indices){n, index_alloc, index_free};
	}
	/* node 0 has the lower public key: it wins when handshakes cross */
	if (memcmp(w->node[0].id.public_key, w->node[1].id.public_key, WG_KEY_BYTES) > 0) {
		struct wg_identity swap = w->node[0].id;

		w->node[0].id = w->node[1].id;
		w->node[1].id = swap;
	}
	for (int i = 0; i < 2; i++)
		ctl_make(w, &w->node[i], none, none);
}

void world_fini(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		if (w->node[i].ctl_is_up)
			wg_peer_fini(&w->node[i].peer);
		CHECK(w->node[i].live_count == 0);
	}
	free(w->queue);
}

void world_dp_kill(struct world *w, uint32_t number)
{
	struct world_node *n = &w->node[number];

	n->dp_is_up = false;
	memset(n->sessions, 0, sizeof(n->sessions));
	n->staged = 0;
	n->need_told_ns = 0;
	n->tx_unanswered_ns = n->rx_unanswered_ns = 0;
	n->tx_told = n->rx_told = false;
}

void world_dp_start(struct world *w, uint32_t number)
{
	struct world_node *n = &w->node[number];

	n->dp_is_up = true;
	n->dp_instance++;
	world_event(w, number, (struct wg_peer_event){.type = WG_EV_DATAPLANE_RESTARTED});
}

void world_ctl_kill(struct world *w, uint32_t number)
{
	w->node[number].ctl_is_up = false;
}

void world_ctl_start(struct world *w, uint32_t number)
{
	struct world_node *n = &w->node[number];
	struct wg_peer_adopted adopted[WG_PEER_ADOPT_MAX];
	uint8_t accepted[WG_TIMESTAMP_BYTES], sent[WG_TIMESTAMP_BYTES];
	uint32_t count = 0;

	/* what is on disk, and nothing else */
	memcpy(accepted, n->peer.remote.last_accepted, sizeof(accepted));
	memcpy(sent, n->peer.remote.last_sent, sizeof(sent));
	n->live_count = 0;
	ctl_make(w, n, accepted, sent);
	for (int i = 0; i < DP_SESSIONS_MAX; i++) {
		const struct dp_session *s = &n->sessions[i];

		if (!s->used)
			continue;
		n->live_index[n->live_count++] = s->s.local_index;
		adopted[count++] = (struct wg_peer_adopted){
			.local_index = s->s.local_index,
			.remote_index = s->s.remote_index,
			.born_ns = s->s.born_ns,
			.is_initiator = s->s.is_initiator,
			.is_confirmed = s->confirmed,
		};
	}
	world_event(w, number,
		    (struct wg_peer_event){.type = WG_EV_ADOPTED,
					   .adopted = {.sessions = adopted, .count = count}});
	/* a dataplane repeats its standing signals to a new controller */
	n->tx_told = n->rx_told = false;
	if (n->tx_unanswered_ns)
		dp_activity(w, n, n->tx_unanswered_ns);
	if (n->rx_unanswered_ns)
		dp_activity(w, n, n->rx_unanswered_ns);
}
